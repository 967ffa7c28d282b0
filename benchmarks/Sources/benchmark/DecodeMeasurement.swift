// Decoding measured once, in this process, after prompts of given lengths: prints its readings as one line.

import ArgumentParser
import Engine
import Measurement
import Rollouts

/// `--batch` sequences that share no text, each with a prompt of so many tokens, go on together for `--new` tokens.
struct DecodeMeasurement: ParsableCommand {
    static let name = "measure-decode"
    static let configuration = CommandConfiguration(commandName: name, shouldDisplay: false)

    @OptionGroup var options: CommonOptions
    @OptionGroup var arithmetic: PrecisionOption

    @Option(help: "Sequences decoded together.")
    var batch = 8

    @Option(help: "Tokens of a prompt, separated by commas.")
    var contexts = "64"

    @Option(help: "Tokens sampled of each sequence.")
    var new = 24

    func validate() throws {
        guard batch >= 1, new >= 2, !lengths.isEmpty, lengths.allSatisfy({ $0 >= 1 }) else {
            throw ValidationError("--batch \(batch) --contexts \(contexts) --new \(new): positive numbers, --new from 2")
        }
    }

    /// What the speed is called.
    static func reading(batch: Int, context: Int) -> String { "decode_\(batch)_after_\(context)" }

    private var lengths: [Int] { contexts.split(separator: ",").map { Int($0) ?? 0 } }

    func run() throws {
        let model = try BenchmarkModel(
            path: options.model, threads: options.threads, precision: arithmetic.precision, for: .sampling)
        let bench = SamplingBench(model, tokenizer: nil)
        bench.sample(batch: batch, requests: (0..<batch).map { bench.request($0, prompt: 8, new: 4) })
        var readings = Readings()
        for length in lengths where length + new <= model.parameters.config.contextTokens {
            let run = bench.sample(
                batch: batch, requests: (0..<batch).map { bench.request($0, prompt: length, new: new) })
            readings[Self.reading(batch: batch, context: length)] = [Double(batch * (new - 1)) / (run.all - run.prefill)]
            readings["prefill_of_\(length)"] = [Double(batch * length) / run.prefill]
        }
        print(readings.line)
    }
}
