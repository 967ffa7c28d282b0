// `coordinator evaluate`: how often a policy is right on a data file.

import ArgumentParser
import Runtime

struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Sample answers to the problems of a data file and count how many are right.",
        discussion: """
            RUN takes the newest checkpoint of that run and its recipe's verifier and prompt settings; MODEL (a GGUF \
            file or a folder) takes the defaults: field names prompt and answer, a numeric verifier on the last \
            number. --set changes any recipe key.
            """)

    @Argument(help: "A run's name, or a model (GGUF file or Hugging Face folder).")
    var subject: String

    @Option(help: "JSONL file, one problem a line.")
    var data: String

    @Option(help: "Sample at most this many problems of the file; 0 is all.")
    var limit: Int = 0

    @Option(help: "Completions per problem.")
    var samples: Int = 1

    @Option(name: .customLong("set"), help: "Change one recipe key: key.path=value. May be given several times.")
    var overrides: [String] = []

    @Flag(help: "One JSON object instead of text.")
    var json = false

    @Option(help: "Where runs are kept.")
    var runs: String = "runs"

    func run() throws {
        try runOrExplain {
            try EvaluateJob(
                subject: subject, data: data, limit: limit, samples: samples, overrides: overrides, json: json,
                runs: runs
            ).run()
        }
    }
}
