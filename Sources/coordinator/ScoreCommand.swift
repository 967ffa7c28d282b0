// `coordinator score`: token log-probs of given text.

import ArgumentParser
import Runtime

struct ScoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "score",
        abstract: "Token ids and log-probs of each row of a JSONL file, as JSONL.",
        discussion: """
            Each row has `text`, or `messages` (a list of role/content turns, rendered with the model's chat \
            template). Each output row has `tokens`, `log_probs` (natural log, temperature 1; the first token has \
            none, so null) and `sum`.
            """)

    @Argument(help: "A run's name, or a model (GGUF file or Hugging Face folder).")
    var subject: String

    @Option(help: "JSONL file.")
    var data: String

    @Option(help: "Where runs are kept.")
    var runs: String = "runs"

    func run() throws {
        try runOrExplain { try ScoreJob(subject: subject, data: data, runs: runs).run() }
    }
}
