// `coordinator sample`: talk to a policy.

import ArgumentParser
import Runtime

struct SampleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sample", abstract: "Talk to a model: type a line, read its answer. Ctrl-D ends.")

    @Argument(help: "A run's name, or a model (GGUF file or Hugging Face folder).")
    var subject: String

    @Option(help: "Answer this one prompt and exit.")
    var prompt: String?

    @Option(help: "A system turn before the conversation.")
    var system: String?

    @Option(help: "0 is greedy.")
    var temperature: Double = 0.7

    @Option(help: "Keep the K most probable tokens; 0 is all.")
    var topK: Int = 0

    @Option(help: "Keep the most probable tokens that make up this share; 1 is all.")
    var topP: Double = 0.95

    @Option(help: "Longest answer, in tokens.")
    var maxNewTokens: Int = 256

    @Option(help: "Repeats the same answer; default: another one each time.")
    var seed: UInt64?

    @Option(help: "Where runs are kept.")
    var runs: String = "runs"

    func run() throws {
        try runOrExplain {
            try SampleJob(
                subject: subject, prompt: prompt, system: system, temperature: temperature, topK: topK, topP: topP,
                maxNewTokens: maxNewTokens, seed: seed, runs: runs
            ).run()
        }
    }
}
