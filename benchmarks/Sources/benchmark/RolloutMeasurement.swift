// Sampling measured once, in this process: prints its readings as one line.

import ArgumentParser
import Engine
import Foundation
import Measurement
import Rollouts
import Tokenization

struct RolloutMeasurement: ParsableCommand {
    static let name = "measure-rollout"
    static let configuration = CommandConfiguration(commandName: name, shouldDisplay: false)

    @OptionGroup var options: CommonOptions
    @OptionGroup var arithmetic: PrecisionOption

    func run() throws {
        let started = processStart
        let workload = RolloutWorkload(quick: options.quick)
        var readings = Readings()
        let model = try BenchmarkModel(
            path: options.model, threads: options.threads, precision: arithmetic.precision, for: .sampling)
        let bench = SamplingBench(model, tokenizer: try BenchmarkModel.tokenizer(of: options.model))
        bench.sample(batch: 1, requests: [bench.request(0, prompt: workload.promptTokens, new: 1)])
        readings["startup"] = [seconds(since: started)]
        for batch in workload.batches {
            let run = bench.sample(
                batch: batch,
                requests: (0..<batch).map {
                    bench.request($0, prompt: workload.promptTokens, new: workload.newTokens)
                })
            readings["prefill_\(batch)"] = [Double(batch * workload.promptTokens) / run.prefill]
            readings["decode_\(batch)"] = [Double(batch * (workload.newTokens - 1)) / (run.all - run.prefill)]
        }
        let completions = workload.groups * workload.groupSize
        let job = bench.sample(
            batch: completions,
            requests: (0..<workload.groups).map {
                bench.request(
                    $0, prompt: workload.promptTokens, completions: workload.groupSize, new: workload.newTokens)
            })
        readings["job_\(completions)x\(workload.newTokens)"] = [Double(completions * workload.newTokens) / job.all]
        mixed(bench, workload, &readings)
        readings["peak_bytes"] = [ProcessMemory.peakBytes]
        versionSwitch(bench, workload, completions, &readings)
        print(readings.line)
    }

    /// Four times as many completions as slots, of 1/8 to once the usual length.
    private func mixed(_ bench: SamplingBench, _ workload: RolloutWorkload, _ readings: inout Readings) {
        let slots = workload.groups * workload.groupSize / 2
        let shortest = UInt64(workload.newTokens / 8)
        let lengths = (0..<4 * slots).map { index in
            Int(shortest + KeyedRandom.integer(
                below: UInt64(workload.newTokens) - shortest + 1, seed: 2, use: .jitter, UInt64(index)))
        }
        let requests = lengths.enumerated().map { index, length in
            bench.request(index, prompt: workload.promptTokens, new: length)
        }
        let run = bench.sample(batch: slots, requests: requests)
        readings["mixed_lengths"] = [Double(run.counters.tokensSampled) / run.all]
        readings["slots_busy_share"] = [Self.busyShare(run.counters, slots: slots)]
        // The first token comes from the prompt's row.
        readings["slots_busy_share_possible"] = [scheduledShare(of: lengths.map { $0 - 1 }, slots: slots)]
        readings["slots_busy_share_while_waiting"] = [Self.busyShare(run.whileWaiting, slots: slots)]
    }

    private static func busyShare(_ counters: Generator.Counters, slots: Int) -> Double {
        Double(counters.decodedRows) / Double(max(1, counters.decodeSteps) * slots)
    }

    /// The step in which a new version's weights are packed, less a usual step.
    private func versionSwitch(
        _ bench: SamplingBench, _ workload: RolloutWorkload, _ batch: Int, _ readings: inout Readings
    ) {
        let requests = (0..<batch).map { bench.request($0, prompt: 8, new: 32) }
        let (generator, _) = bench.generator(batch: batch)
        for request in requests { generator.submit(request) }
        _ = generator.step()
        let usual = Spread((0..<7).map { _ in timed { _ = generator.step() } })!.median
        var switches: [Double] = []
        for _ in 0..<3 {
            let first = timed {
                bench.model.changeVersion()
                _ = generator.step()
            }
            switches.append(max(0, first - usual))
        }
        let cost = Spread(switches)!.median
        readings["version_switch"] = [cost]
        readings["version_switch_over_step"] = [cost / usual]
    }
}

/// Does the speed depend on how many prompts wait? 64 and 4,096 of them, short, one completion each.
struct QueueMeasurement: ParsableCommand {
    static let name = "measure-queue"
    static let configuration = CommandConfiguration(commandName: name, shouldDisplay: false)

    @OptionGroup var options: CommonOptions
    @OptionGroup var arithmetic: PrecisionOption

    func run() throws {
        let model = try BenchmarkModel(
            path: options.model, threads: options.threads, precision: arithmetic.precision, for: .sampling)
        let bench = SamplingBench(model, tokenizer: nil)
        let short = 64
        let long = options.quick ? 256 : 4096
        var readings = Readings()
        bench.sample(batch: 64, requests: queue(bench, short))
        // Short queues before, and after, the long one: the machine may have changed meanwhile.
        for turn in 0..<3 {
            for _ in 0..<3 { measure(bench, short, &readings) }
            if turn == 1 { measure(bench, long, &readings) }
        }
        readings["flatness"] = [readings["queue_\(long)"][0] / Spread(readings["queue_\(short)"])!.median]
        readings["peak_bytes"] = [ProcessMemory.peakBytes]
        print(readings.line)
    }

    private func queue(_ bench: SamplingBench, _ count: Int) -> [GenerationRequest] {
        (0..<count).map { bench.request($0, prompt: 6, new: 2) }
    }

    private func measure(_ bench: SamplingBench, _ count: Int, _ readings: inout Readings) {
        let run = bench.sample(batch: 64, requests: queue(bench, count))
        readings["queue_\(count)"].append(Double(count) / run.all)
    }
}

/// A model that samples, and what a run of requests took.
final class SamplingBench {
    struct Run {
        /// Seconds: of everything, and of the prompts' forward passes.
        var all, prefill: Double
        var counters: Generator.Counters
        /// Of the steps after which completions still waited.
        var whileWaiting: Generator.Counters
    }

    let model: BenchmarkModel
    private let transformer: TransformerModel
    private let tokenizer: Tokenizer?
    /// For one generator after the other, as a worker does it.
    private let pages: PagePool

    init(_ model: BenchmarkModel, tokenizer: Tokenizer?) {
        self.model = model
        self.tokenizer = tokenizer
        transformer = model.transformer()
        pages = PagePool(config: model.parameters.config)
    }

    /// Ends are ignored: a completion has `new` tokens.
    func request(_ number: Int, prompt: Int, completions: Int = 1, new: Int) -> GenerationRequest {
        var sampling = SamplingOptions()
        sampling.maxNewTokens = new
        return GenerationRequest(
            identifier: UInt64(number), key: GroupKey(purpose: .training, step: 1, ordinal: number),
            prompt: model.tokens(prompt, of: number), completionIndices: Array(0..<completions), sampling: sampling,
            seed: 1, version: .base, endTokens: [])
    }

    func generator(batch: Int) -> (Generator, TimedBackend) {
        let backend = TimedBackend(Decoder(model: transformer, pages: pages))
        let tokenizer = tokenizer
        let generator = Generator(
            backend: backend, batchLimit: batch, threadCount: model.threads.threadCount,
            parallel: model.threads.parallel, decode: { tokenizer?.bytes(of: $0) ?? [] })
        return (generator, backend)
    }

    @discardableResult func sample(batch: Int, requests: [GenerationRequest]) -> Run {
        let (generator, backend) = generator(batch: batch)
        var waiting = Generator.Counters()
        let all = timed {
            for request in requests { generator.submit(request) }
            while !generator.isIdle {
                let before = generator.counters
                _ = generator.step()
                guard generator.waitingCompletions > 0 else { continue }
                waiting.decodeSteps += generator.counters.decodeSteps - before.decodeSteps
                waiting.decodedRows += generator.counters.decodedRows - before.decodedRows
            }
        }
        return Run(
            all: all, prefill: backend.prefillSeconds, counters: generator.counters, whileWaiting: waiting)
    }
}

/// A decoder that adds up the time of its prefills.
final class TimedBackend: DecodeBackend {
    private let decoder: Decoder
    private(set) var prefillSeconds = 0.0

    init(_ decoder: Decoder) { self.decoder = decoder }

    var vocabularySize: Int { decoder.vocabularySize }
    var contextTokens: Int { decoder.contextTokens }

    func prefill(_ tokens: [Int32], logits: UnsafeMutableBufferPointer<Float>) -> PrefixIdentifier {
        let start = monotonicNanoseconds()
        defer { prefillSeconds += seconds(since: start) }
        return decoder.prefill(tokens, logits: logits)
    }

    func prefill(
        _ prompts: [[Int32]], logits: UnsafeMutableBufferPointer<Float>
    ) -> [PrefixIdentifier] {
        let start = monotonicNanoseconds()
        defer { prefillSeconds += seconds(since: start) }
        return decoder.prefill(prompts, logits: logits)
    }

    func makeSequence(prefix: PrefixIdentifier, reserve tokens: Int) -> SequenceIdentifier {
        decoder.makeSequence(prefix: prefix, reserve: tokens)
    }
    func releasePrefix(_ prefix: PrefixIdentifier) { decoder.releasePrefix(prefix) }
    func releaseSequence(_ sequence: SequenceIdentifier) { decoder.releaseSequence(sequence) }
    func decode(
        _ tokens: [Int32], sequences: [SequenceIdentifier], logits: UnsafeMutableBufferPointer<Float>
    ) {
        decoder.decode(tokens, sequences: sequences, logits: logits)
    }
}
