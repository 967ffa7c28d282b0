// What every case can be told.

import ArgumentParser
import Measurement
import Rollouts

struct CommonOptions: ParsableArguments {
    @Option(help: "Compute threads, ours and the peers'.")
    var threads = 2

    @Option(help: "A GGUF file or a Hugging Face folder.")
    var model = "models/SmolLM2-135M-Instruct.Q4_1.gguf"

    @Flag(help: "Measure the peers too, in turn with ours (benchmarks/peers/setup makes their environment).")
    var peer = false

    @Option(help: "How often each is measured; medians are compared. Default: 3, with --quick 1.")
    var rounds: Int?

    @Flag(help: "Small settings: does it work, not how fast is it.")
    var quick = false

    @Flag(help: "One JSON object as the last line.")
    var json = false

    func validate() throws {
        guard (1...1024).contains(threads) else { throw ValidationError("--threads \(threads): from 1 to 1024") }
        if let rounds, rounds < 1 { throw ValidationError("--rounds \(rounds): at least 1") }
    }

    /// Whether there is something to compare one thread with.
    var scales: Bool { threads > 1 }

    var roundCount: Int { rounds ?? (quick ? 1 : 3) }

    /// Prints what was found.
    /// - Parameters:
    ///   - shown: the findings of the table; nil for all.
    ///   - details: further tables, printed before it.
    func publish(
        _ report: Report, shown: [Finding]? = nil, details: [(title: String, table: TextTable)] = []
    ) throws {
        for (title, table) in details { print("\(title)\n\(table.text)\n") }
        var visible = report
        if let shown { visible.findings = shown }
        print(visible.text)
        if json { print(try report.json()) }
    }
}

struct PrecisionOption: ParsableArguments {
    @Option(help: "Arithmetic of our side: bfloat16 (exact) or float32 (OpenBLAS).")
    var precision = Precision.bfloat16
}

struct PeerChoice: ParsableArguments {
    @Option(help: "A peer to leave out, by its name's start: PyTorch's bfloat16 takes for ever where no instruction has it.")
    var without: [String] = []

    /// - Returns: ours, and the peers that are not to be left out.
    func chosen(_ contenders: [Contender]) throws -> [Contender] {
        for name in without where !contenders.dropFirst().contains(where: { $0.name.hasPrefix(name) }) {
            throw BenchmarkError("--without \(name): there is no such peer here")
        }
        return contenders.prefix(1)
            + contenders.dropFirst().filter { contender in !without.contains { contender.name.hasPrefix($0) } }
    }
}

extension Precision: ExpressibleByArgument {}

/// What went wrong around a measurement, in one line.
struct BenchmarkError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
