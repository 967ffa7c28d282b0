// Does the summary say what changed, and how sure that is?

import Cluster
import Rollouts
import Testing

@testable import Telemetry

private typealias Example = EvaluationReport.Example

@Suite struct `The summary` {
    @Test func `compares before and after, overall and by source, with examples`() {
        let question = "What is 3 + 2? Answer with the number only."
        let before = report(
            0, right: 20, wrong: 44, noVerdict: 1, length: 23.1,
            sources: [("max_of_3", 4, 32), ("add_1digit", 16, 32)],
            examples: [
                Example(prompt: question, completion: "The answer is:\n6.", answer: "5", outcome: .wrong),
                Example(prompt: "Only before", completion: "x", answer: "", outcome: .noVerdict),
            ])
        let after = report(
            40, right: 40, wrong: 24, length: 4, sources: [("max_of_3", 12, 32), ("add_1digit", 28, 32)],
            examples: [Example(prompt: question, completion: "5", answer: "5", outcome: .right)])
        #expect(
            Summary.lines(before: before, after: after).joined(separator: "\n") == """
                Held-out accuracy   before                       step 40                      change
                overall             31.3 % (21.2–43.4)   20/64   62.5 % (50.3–73.3)   40/64   +31.3
                max_of_3            12.5 % (5.0–28.1)    4/32    37.5 % (22.9–54.7)   12/32   +25.0
                add_1digit          50.0 % (33.6–66.4)   16/32   87.5 % (71.9–95.0)   28/32   +37.5

                In parentheses: 95 % Wilson intervals. Before and after do not overlap: the difference is hardly chance.
                Mean completion length: 23.1 → 4.0 tokens.
                Without a verdict, and not counted: 1 completion.

                What is 3 + 2? Answer with the number only.  (answer: 5)
                  before  wrong  The answer is:⏎6.
                  after   right  5

                Only before
                  before  no verdict  x
                """)
    }

    @Test func `does not praise what may be chance`() {
        let lines = Summary.lines(before: report(0, right: 20, wrong: 44), after: report(5, right: 24, wrong: 40))
        #expect(lines[1] == "overall             31.3 % (21.2–43.4)   20/64   37.5 % (26.7–49.7)   24/64   +6.3")
        #expect(lines[3].hasSuffix("Before and after overlap: with this many prompts the difference may be chance."))
    }

    @Test func `of nothing judged compares nothing`() {
        let lines = Summary.lines(before: report(0, right: 0, wrong: 0), after: report(5, right: 1, wrong: 1))
        #expect(lines[1] == "overall             –        0/0   50.0 % (9.5–90.5)   1/2   –")
        #expect(lines[3] == "Nothing was judged, so there is nothing to compare.")
    }

    @Test func `names a source that only one of the two has`() {
        let lines = Summary.lines(
            before: report(0, right: 1, wrong: 1, sources: [("a", 1, 2)]),
            after: report(5, right: 1, wrong: 1, sources: [("b", 1, 2)]))
        #expect(lines[2].hasPrefix("a   "))
        #expect(lines[3].hasPrefix("b   "))
        #expect(lines[2].hasSuffix("–") && lines[3].hasSuffix("–"))
    }

    @Test func `cuts completions at the width`() {
        let long = Example(
            prompt: String(repeating: "p", count: 200), completion: String(repeating: "日", count: 200), answer: "5",
            outcome: .wrong)
        let lines = Summary.lines(
            before: report(0, right: 1, wrong: 1, examples: [long]), after: report(1, right: 1, wrong: 1), width: 60)
        for line in lines.suffix(2) { #expect(DisplayText.width(line) <= 60) }
        #expect(lines[lines.count - 2].hasSuffix("…  (answer: 5)"))
    }

    @Test func `of one evaluation alone`() {
        let alone = report(3, right: 1, wrong: 1, noVerdict: 2, length: 4.25, sources: [("a", 1, 1), ("b", 0, 1)])
        #expect(
            Summary.lines(alone).joined(separator: "\n") == """
                Held-out accuracy   right
                overall             50.0 % (9.5–90.5)      1/2
                a                   100.0 % (20.7–100.0)   1/1
                b                   0.0 % (0.0–79.3)       0/1

                Mean completion length: 4.3 tokens.
                Without a verdict, and not counted: 2 completions.
                """)
    }
}
