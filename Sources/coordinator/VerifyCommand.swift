// `coordinator verify`: try a verifier before a run.

import ArgumentParser
import Runtime

struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Judge the rows of a JSONL file (completion, answer): verdict, score and reason of each.",
        discussion: """
            VERIFIER is a kind (exact, numeric, choice, regex, format) or a recipe file, whose verifier is taken. \
            --set changes its keys, e.g. --set extract=last_number.
            """)

    @Argument(help: "A verifier's kind, or a recipe file.")
    var verifier: String

    @Option(help: "JSONL file.")
    var data: String

    @Option(name: .customLong("set"), help: "Change one key of the verifier: key=value. May be given several times.")
    var overrides: [String] = []

    @Flag(help: "One JSON object a row instead of text.")
    var json = false

    func run() throws {
        try runOrExplain { try VerifyJob(verifier: verifier, data: data, overrides: overrides, json: json).run() }
    }
}
