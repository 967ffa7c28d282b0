// Does the screen show what it should, at every width?

import Cluster
import Rollouts
import Testing

@testable import Telemetry

let sampleView: RunView = {
    var view = RunView(run: "quickstart", totalSteps: 40)
    view.phase = "sampling"
    view.groupsDone = 5
    view.groupsNeeded = 8
    view.elapsedSeconds = 61
    view.remainingSeconds = 125
    view.workers = [.init(.rollout, 2), .init(.verifier, 1), .init(.learner, 1)]
    view.take(report(0, right: 20, wrong: 44))
    view.take(
        metrics(
            12,
            [
                ("reward_mean", 0.4375), ("accuracy", 0.421875), ("kl_mean", 0.00031),
                ("rollout_tokens_per_second", 1234.5), ("completion_tokens_mean", 12.34),
            ]))
    view.take(report(10, right: 28, wrong: 36))
    view.note = Note(.warning, "worker host-2 was lost; 3 leases are given to others")
    return view
}()

private func shown(_ view: RunView, width: Int, style: ViewStyle = .plain) -> String {
    RunViewRendering.render(view, width: width, style: style).joined(separator: "\n")
}

@Suite struct `The view of a run` {
    @Test func `at the usual width`() {
        #expect(
            shown(sampleView, width: 80) == """
                quickstart  ▕███████████▍                          ▏  12/40  30 %  2m 05s left
                reward 0.438   accuracy 42.2 %   kl 3.1e-04   length 12.3   tokens/s 1235
                held-out 43.8 % (28/64) after step 10   +12.5 points since step 0
                now sampling 5/8   workers 2 rollout, 1 verifier, 1 learner   time 1m 01s
                · worker host-2 was lost; 3 leases are given to others
                """)
    }

    @Test func `in a narrow window`() {
        #expect(
            shown(sampleView, width: 40) == """
                quickstart  12/40  30 %  2m 05s left
                reward 0.438   accuracy 42.2 %
                kl 3.1e-04   length 12.3   tokens/s 1235
                held-out 43.8 % (28/64) after step 10
                +12.5 points since step 0
                now sampling 5/8
                workers 2 rollout, 1 verifier, 1 learner
                time 1m 01s
                · worker host-2 was lost; 3 leases are …
                """)
    }

    @Test func `before anything happened, without Unicode`() {
        #expect(
            shown(
                RunView(run: "tiny ü", totalSteps: 6), width: 50, style: ViewStyle(hasColor: false, hasUnicode: false))
                    == """
                    tiny ?  [------------------------------]  0/6  0 %
                    reward -   accuracy -   kl -   length -
                    tokens/s -
                    now starting   workers none
                    """)
    }

    @Test func `is never wider than the window`() {
        var view = sampleView
        view.run = "日本語の長い名前 🦉"
        view.phase = "waiting for a learner worker to join from another host"
        view.note = Note(.error, String(repeating: "日本", count: 100))
        for width in 20...140 {
            for line in RunViewRendering.render(view, width: width) {
                #expect(DisplayText.width(line) <= width, "\(width): \(line)")
            }
        }
    }

    @Test func `with color has the same text`() {
        let colored = shown(sampleView, width: 80, style: ViewStyle(hasColor: true, hasUnicode: true))
        #expect(colored.contains("\u{1b}[32m+12.5 points since step 0\u{1b}[0m"))
        #expect(colored.contains("\u{1b}[33mworker host-2 was lost"))
        #expect(colored.replacing(/\u{1b}\[[0-9]*m/, with: "") == shown(sampleView, width: 80))
    }

    @Test func `lets no text move the cursor`() {
        var view = sampleView
        view.run = "a\u{1b}[2Jb"
        view.note = Note(.info, "two\nlines\u{1b}]0;title\u{7}\u{202e}")
        let text = shown(view, width: 100)
        #expect(text.contains("a·[2Jb  "))
        #expect(text.hasSuffix("· two⏎lines·]0;title··"))
        #expect(!text.contains("\u{1b}"))
    }

    @Test func `line by line stands under its header`() {
        #expect(
            RunViewRendering.plainHeader == "       step   reward  accuracy        kl  length  tokens/s     left")
        #expect(
            RunViewRendering.plainLine(sampleView)
                == "      12/40    0.438    42.2 %   3.1e-04    12.3      1235   2m 05s")
    }

    @Test func `says how sure an evaluation is`() {
        #expect(
            RunViewRendering.plainLine(RunView.HeldOut(step: 10, right: 28, judged: 64))
                == "held-out accuracy after step 10: 43.8 % (28 of 64, 95 % interval 32.3–55.9 %)")
        #expect(
            RunViewRendering.plainLine(RunView.HeldOut(step: 0, right: 0, judged: 0))
                == "held-out accuracy before training: – (0 of 0, 95 % interval 0.0–100.0 %)")
    }

    @Test func `has a bar that every step moves`() {
        let bars = (0...40).map { RunViewRendering.bar(Double($0) / 40, columns: 12, style: .plain) }
        #expect(bars[0] == "▕          ▏")
        #expect(bars[1] == "▕▎         ▏")
        #expect(bars[20] == "▕█████     ▏")
        #expect(bars[40] == "▕██████████▏")
        #expect(Set(bars).count == 41)
    }

    @Test(arguments: [
        (["NO_COLOR": "1", "LANG": "en_US.UTF-8"], false, true), (["LANG": "C"], true, false),
        (["NO_COLOR": "", "LC_ALL": "de_DE.utf8", "LANG": "C"], true, true),
        (["LC_ALL": "C", "LANG": "en_US.UTF-8"], true, false),
    ])
    func `follows the environment`(environment: [String: String], color: Bool, unicode: Bool) {
        #expect(ViewStyle(environment: environment) == ViewStyle(hasColor: color, hasUnicode: unicode))
    }
}

@Suite struct `Numbers on the screen` {
    @Test(arguments: [
        (0.4375, "0.438"), (0, "0.000"), (12.34, "12.3"), (1234.5, "1235"), (-0.25, "-0.250"), (0.00031, "3.1e-04"),
        (9.99e-4, "1.0e-03"), (1_234_567, "1.2e+06"), (-2.5e-10, "-2.5e-10"), (.nan, "–"), (.infinity, "–"),
        (999.6, "1000"),
    ])
    func `are short`(value: Double, text: String) {
        #expect(DisplayText.short(value) == text)
    }

    @Test(arguments: [
        (0.0, "0s"), (59.4, "59s"), (60, "1m 00s"), (125, "2m 05s"), (3600, "1h 00m"), (12_000, "3h 20m"), (-1, "–"),
        (.infinity, "–"),
    ])
    func `are durations`(seconds: Double, text: String) {
        #expect(DisplayText.duration(seconds) == text)
    }

    @Test func `are rounded half away from zero`() {
        #expect(DisplayText.fixed(0.125, digits: 2) == "0.13")
        #expect(DisplayText.fixed(-0.125, digits: 2) == "-0.13")
        #expect(DisplayText.fixed(-0.001, digits: 2) == "0.00")
        #expect(DisplayText.fixed(2.5, digits: 0) == "3")
        #expect(DisplayText.percent(1.0 / 3) == "33.3 %")
    }

    @Test func `and texts are cut by columns, not by characters`() {
        #expect(DisplayText.width("a日🦉e\u{301}") == 6)
        #expect(DisplayText.clipped("日本語", to: 6) == "日本語")
        #expect(DisplayText.clipped("日本語", to: 5) == "日本…")
        #expect(DisplayText.clipped("日本語", to: 4) == "日…")
        #expect(DisplayText.clipped("abc", to: 0) == "")
    }
}
