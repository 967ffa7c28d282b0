// What did the run do? Held-out accuracy before and after, with how sure that is, and what completions look like.

import Cluster
import Rollouts

package enum Summary {
    /// The report's lines for a terminal or a text file.
    /// - Parameters:
    ///   - before: the base model, over the same held-out prompts as `after`.
    ///   - exampleLimit: prompts whose completions are shown.
    package static func lines(
        before: EvaluationReport, after: EvaluationReport, width: Int = 100, exampleLimit: Int = 4
    ) -> [String] {
        var lines = table(before, after)
        lines.append("")
        lines.append(verdict(before, after))
        lines.append(
            "Mean completion length: \(DisplayText.fixed(before.completionTokensMean, digits: 1)) → "
                + "\(DisplayText.fixed(after.completionTokensMean, digits: 1)) tokens.")
        lines += withoutVerdict(before.noVerdict + after.noVerdict)
        return lines + examples(before, after, width: max(width, 40), limit: exampleLimit)
    }

    /// One evaluation alone, for `coordinator evaluate`.
    package static func lines(_ report: EvaluationReport) -> [String] {
        var rows = [("overall", report.right, report.right + report.wrong)]
        if report.bySource.count > 1 { rows += report.bySource.map { ($0.source, $0.right, $0.judged) } }
        let cells = rows.map { [DisplayText.printable($0.0)] + share($0.1, of: $0.2) }
        var lines = DisplayText.aligned([["Held-out accuracy", "right"]] + cells)
        lines.append("")
        lines.append("Mean completion length: \(DisplayText.fixed(report.completionTokensMean, digits: 1)) tokens.")
        lines += withoutVerdict(report.noVerdict)
        return lines
    }

    private static func withoutVerdict(_ count: Int) -> [String] {
        count == 0 ? [] : ["Without a verdict, and not counted: \(count) completion\(count == 1 ? "" : "s")."]
    }

    // MARK: - Table

    private static func table(_ before: EvaluationReport, _ after: EvaluationReport) -> [String] {
        func row(_ name: String, _ left: (right: Int, judged: Int), _ right: (right: Int, judged: Int)) -> [String] {
            [name] + share(left.right, of: left.judged) + share(right.right, of: right.judged) + [change(left, right)]
        }
        let first = before.step == 0 ? "before" : "step \(before.step)"
        var rows = [["Held-out accuracy", first, "", "step \(after.step)", "", "change"]]
        rows.append(row("overall", counts(before), counts(after)))
        var names = before.bySource.map(\.source)
        names += after.bySource.map(\.source).filter { !names.contains($0) }
        if names.count > 1 {
            for name in names {
                func of(_ report: EvaluationReport) -> (right: Int, judged: Int) {
                    report.bySource.first { $0.source == name }.map { ($0.right, $0.judged) } ?? (0, 0)
                }
                rows.append(row(DisplayText.printable(name), of(before), of(after)))
            }
        }
        return DisplayText.aligned(rows)
    }

    private static func counts(_ report: EvaluationReport) -> (right: Int, judged: Int) {
        (report.right, report.right + report.wrong)
    }

    /// "43.8 % (32.3–55.9)", "28/64"
    private static func share(_ right: Int, of judged: Int) -> [String] {
        guard judged > 0 else { return ["–", "0/0"] }
        let interval = wilsonInterval(right: right, of: judged)
        let bounds = [interval.lowerBound, interval.upperBound].map { DisplayText.fixed($0 * 100, digits: 1) }
        let percent = DisplayText.percent(Double(right) / Double(judged))
        return ["\(percent) (\(bounds.joined(separator: "–")))", "\(right)/\(judged)"]
    }

    /// In percentage points.
    private static func change(_ left: (right: Int, judged: Int), _ right: (right: Int, judged: Int)) -> String {
        guard left.judged > 0, right.judged > 0 else { return "–" }
        let points = (Double(right.right) / Double(right.judged) - Double(left.right) / Double(left.judged)) * 100
        let text = DisplayText.fixed(points, digits: 1)
        return text.hasPrefix("-") || text == "0.0" ? text : "+" + text
    }

    private static func verdict(_ before: EvaluationReport, _ after: EvaluationReport) -> String {
        let (left, right) = (counts(before), counts(after))
        guard left.judged > 0, right.judged > 0 else { return "Nothing was judged, so there is nothing to compare." }
        let intervals = (
            wilsonInterval(right: left.right, of: left.judged), wilsonInterval(right: right.right, of: right.judged)
        )
        let overlap = intervals.0.overlaps(intervals.1)
        return "In parentheses: 95 % Wilson intervals. "
            + (overlap
                ? "Before and after overlap: with this many prompts the difference may be chance."
                : "Before and after do not overlap: the difference is hardly chance.")
    }

    // MARK: - Examples

    private static func examples(
        _ before: EvaluationReport, _ after: EvaluationReport, width: Int, limit: Int
    ) -> [String] {
        var prompts: [EvaluationReport.Example] = []
        for example in before.examples + after.examples where !prompts.contains(where: { $0.prompt == example.prompt })
        {
            prompts.append(example)
        }
        return prompts.prefix(limit).flatMap { example in
            let answer = example.answer.isEmpty ? "" : "  (answer: \(DisplayText.printable(example.answer)))"
            let prompt = DisplayText.clipped(
                DisplayText.printable(example.prompt), to: width - DisplayText.width(answer))
            let pairs = [("before", before), ("after", after)].compactMap { name, report in
                report.examples.first { $0.prompt == example.prompt }.map { line(name, $0, width: width) }
            }
            return ["", DisplayText.clipped(prompt + answer, to: width)] + pairs
        }
    }

    private static func line(_ name: String, _ example: EvaluationReport.Example, width: Int) -> String {
        let mark =
            switch example.outcome {
            case .right: "right"
            case .wrong: "wrong"
            case .noVerdict: "no verdict"
            }
        let text = "  \(DisplayText.padded(name, to: 6))  \(DisplayText.padded(mark, to: 5))  "
        return text
            + DisplayText.clipped(DisplayText.printable(example.completion), to: width - DisplayText.width(text))
    }
}
