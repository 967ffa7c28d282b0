// `coordinator verify`: how a user tries a verifier before a run.

import Datasets
import Foundation
import Recipes
import Rollouts
import Verifiers

package struct VerifyJob {
    var verifier: String
    var data: String
    var overrides: [String]
    var json: Bool

    package init(verifier: String, data: String, overrides: [String], json: Bool) {
        self.verifier = verifier
        self.data = data
        self.overrides = overrides
        self.json = json
    }

    package func run() throws -> Int32 {
        let options = try resolve()
        let judge = try makeVerifier(options)
        var counts = [Verdict.Outcome.right: 0, .wrong: 0, .noVerdict: 0]
        let reader = try jsonLines(path: data)
        while let row = try reader.next() {
            let verdict = judge.verify(
                completion: try reader.text(of: "completion", in: row), answer: try reader.text(of: "answer", in: row),
                prompt: row["prompt"]?.text ?? "")
            counts[verdict.outcome, default: 0] += 1
            Output.line(json ? jsonLine(reader.lineNumber, verdict) : textLine(reader.lineNumber, verdict))
        }
        let summary = "right \(counts[.right]!), wrong \(counts[.wrong]!), no verdict \(counts[.noVerdict]!)"
        if json { Output.note(summary) } else { Output.line(summary) }
        return 0
    }

    private func resolve() throws -> VerifierOptions {
        if verifier.hasSuffix(".yaml") || verifier.hasSuffix(".yml") {
            return try RecipeReader.load(path: verifier, overrides: overrides.map { "verifier." + $0 }).verifier
        }
        return try RecipeReader.verifier(kind: verifier, overrides: overrides)
    }

    private func textLine(_ line: Int, _ verdict: Verdict) -> String {
        let word = String(describing: verdict.outcome).padding(toLength: 9, withPad: " ", startingAt: 0)
        return "\(line)\t\(word)\t\(verdict.score)\t\(verdict.reason)"
    }

    private func jsonLine(_ line: Int, _ verdict: Verdict) -> String {
        let name = switch verdict.outcome {
        case .right: "right"
        case .wrong: "wrong"
        case .noVerdict: "no_verdict"
        }
        return JSONText.object([
            ("line", .integer(line)), ("verdict", .string(name)), ("score", .number(verdict.score)),
            ("reason", .string(verdict.reason)),
        ])
    }
}
