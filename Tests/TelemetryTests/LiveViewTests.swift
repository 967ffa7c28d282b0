// Is the terminal drawn without flicker and given back as it was?

import Cluster
import Foundation
import Rollouts
import Testing

@testable import Telemetry

private let small: RunView = {
    var view = RunView(run: "r", totalSteps: 2)
    view.phase = "sampling"
    return view
}()

@Suite struct `The live view` {
    private func drawn(isInPlace: Bool, rows: Int = 24, _ body: (LiveView) -> Void) -> String {
        let pipe = Pipe()
        do {
            let view = LiveView(
                descriptor: pipe.writing, isInPlace: isInPlace, style: .plain, size: { (columns: 41, rows: rows) })
            body(view)
        }
        return pipe.finish()
    }

    @Test func `redraws over itself and shows the cursor at the end`() {
        let lines = RunViewRendering.render(small, width: 40).map { $0 + "\u{1b}[K\n" }.joined()
        let count = RunViewRendering.render(small, width: 40).count
        let text = drawn(isInPlace: true) { view in
            view.update(small)
            view.stepTrained(small)
        }
        #expect(
            text == "\u{1b}[?25l\r" + lines + "\u{1b}[J" + "\u{1b}[\(count)A\r" + lines + "\u{1b}[J" + "\u{1b}[?25h")
    }

    @Test func `puts lines that stay above itself`() {
        let text = drawn(isInPlace: true) { view in
            view.update(small)
            view.print("stays")
            view.finish()
        }
        let count = RunViewRendering.render(small, width: 40).count
        #expect(text.contains("\u{1b}[\(count)A\rstays\u{1b}[K\nr  "))
        #expect(text.hasSuffix("\u{1b}[J\u{1b}[?25h"))
    }

    @Test func `never draws more lines than the window has`() {
        let text = drawn(isInPlace: true, rows: 3) { view in
            view.update(small)
            view.update(small)
        }
        #expect(text.contains("\u{1b}[2A\r"))
        #expect(text.filter { $0 == "\n" }.count == 4)
    }

    @Test func `without a terminal is one line a step, with a header now and then`() {
        var step = small
        let text = drawn(isInPlace: false) { view in
            for number in 1...21 {
                step.step = number
                view.update(step)
                view.stepTrained(step)
            }
            view.evaluated(RunView.HeldOut(step: 21, right: 1, judged: 2))
        }
        let lines = text.split(separator: "\n")
        #expect(lines.count == 24)
        #expect(lines[0] == RunViewRendering.plainHeader)
        #expect(lines[21] == RunViewRendering.plainHeader)
        #expect(lines[20].hasPrefix("       20/2"))
        #expect(lines[23].hasPrefix("held-out accuracy after step 21: 50.0 % (1 of 2"))
        #expect(!text.contains("\u{1b}"))
    }
}
