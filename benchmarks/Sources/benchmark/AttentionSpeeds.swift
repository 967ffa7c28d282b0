// What attention costs a token, by how much text stands before it; and what sampling one costs.

import CKernels
import Engine
import Glibc
import Measurement
import Rollouts
import Weights

struct AttentionSpeeds {
    private let config: ModelConfig
    private let cost: ModelCost
    private let threads: ThreadPool
    private let rounds: Int
    private let contexts: [Int]
    private let shape: attention_shape
    /// Of one layer, by context.
    private var decodeSeconds: [Int: [Double]] = [:]
    private var forwardSeconds: [Int: [Double]] = [:]
    private var backwardSeconds: [Int: [Double]] = [:]
    private var samplingSeconds: [Double] = []

    /// Sequences decoded together, none of which shares its text with another.
    private static let sequences = 8
    /// Keys and values of so many bytes are read by turns: a decode step's weights drive them from the caches.
    private static let cacheBytes = 400 << 20

    init(model: String, threads: ThreadPool, rounds: Int, quick: Bool) throws {
        config = try ModelSource.open(model).config
        cost = ModelCost(config)
        self.threads = threads
        self.rounds = rounds
        contexts = quick ? [64, 512] : [64, 256, 1024, 4096]
        shape = attention_shape(
            heads: Int64(config.headCount), key_heads: Int64(config.keyValueHeadCount),
            dimension: Int64(config.headDimension))
    }

    mutating func measure() {
        for context in contexts where context <= config.contextTokens {
            decodeSeconds[context] = decode(context)
            (forwardSeconds[context], backwardSeconds[context]) = prompt(context)
        }
        samplingSeconds = sampling()
    }

    /// Microseconds a token in all layers. Decoding reads its keys and values from memory.
    func findings(_ ceiling: MachineCeiling) -> [Finding] {
        let layers = Double(config.layerCount)
        func finding(
            _ name: String, _ seconds: [Double]?, tokens: Int, operations: Double, bytes: Double = 0
        ) -> Finding? {
            seconds.flatMap { Spread($0.map { $0 * layers / Double(tokens) * 1e6 }) }.map {
                Finding(
                    name, $0, unit: "µs/token", .lowerIsBetter,
                    ceiling: ceiling.seconds(operations: operations, bytes: bytes) * 1e6)
            }
        }
        var findings: [Finding?] = []
        for context in contexts {
            findings.append(
                finding(
                    "attention_decode_context\(context)", decodeSeconds[context], tokens: Self.sequences,
                    operations: cost.attentionOperations(context: Double(context)),
                    bytes: cost.cacheBytes(elementBytes: 4) * Double(context)))
        }
        for context in contexts {
            let operations = cost.attentionOperations(context: Double(context + 1) / 2)
            let tokens = Self.prompts * context
            findings.append(
                finding(
                    "attention_forward_context\(context)", forwardSeconds[context], tokens: tokens,
                    operations: operations))
            findings.append(
                finding(
                    "attention_backward_context\(context)", backwardSeconds[context], tokens: tokens,
                    operations: 2.5 * operations))
        }
        let sampling = Spread(samplingSeconds.map { $0 * 1e6 })
        findings.append(sampling.map { Finding("sampling_row", $0, unit: "µs/token", .lowerIsBetter) })
        return findings.compactMap { $0 }
    }

    /// Floats of one row of queries, keys and values.
    private var projectionSize: Int {
        (config.headCount + 2 * config.keyValueHeadCount) * config.headDimension
    }

    private func buffer(_ count: Int) -> UnsafeMutablePointer<Float> {
        let bytes = count * MemoryLayout<Float>.stride
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 2 << 20)
        madvise(memory, bytes, MADV_HUGEPAGE)  // as the engine's own buffers
        let values = memory.bindMemory(to: Float.self, capacity: count)
        var state: UInt32 = 7
        for index in 0..<count {
            state = state &* 1_664_525 &+ 1_013_904_223
            values[index] = Float(state >> 8) * 0x1p-24 - 0.5
        }
        return values
    }

    // MARK: - Decoding

    /// Seconds of one layer for the newest token of all sequences, each after `context` − 1 others.
    private func decode(_ context: Int) -> [Double] {
        let keyHeads = config.keyValueHeadCount
        let pageSize = Int(attention_page_size(shape))
        let pageTokens = 16
        let pagesEach = context / pageTokens
        let layerFloats = Self.sequences * pagesEach * keyHeads * pageSize
        let layers = max(1, Self.cacheBytes / (layerFloats * MemoryLayout<Float>.stride))
        let cache = buffer(layers * layerFloats)
        let projections = buffer(Self.sequences * projectionSize)
        let attended = buffer(Self.sequences * config.headCount * config.headDimension)
        defer {
            for memory in [cache, projections, attended] { memory.deallocate() }
        }
        let pages: [UnsafePointer<Float>?] = (0..<layers * Self.sequences * pagesEach).map {
            UnsafePointer(cache + $0 * keyHeads * pageSize)
        }
        var layer = 0
        return pages.withUnsafeBufferPointer { pages in
            [Int32(0)].withUnsafeBufferPointer { zero in
                [Int32(pageTokens)].withUnsafeBufferPointer { ownCount in
                    (0..<Int32(Self.sequences)).map { $0 }.withUnsafeBufferPointer { rows in
                        // All but a sequence's last page stand as its prefix.
                        let groups = (0..<layers * Self.sequences).map { index in
                            let first = pages.baseAddress! + index * pagesEach
                            return attention_decode_group(
                                prefix_pages: first, prefix_count: Int64(context - pageTokens), sequence_count: 1,
                                own_pages: first + pagesEach - 1, own_offsets: zero.baseAddress,
                                own_counts: ownCount.baseAddress, rows: rows.baseAddress! + index % Self.sequences)
                        }
                        let parts = Self.sequences * keyHeads
                        let size = (Int(attention_decode_workspace(shape, [groups[0]])) + 15) / 16 * 16
                        let scratch = buffer(parts * size)
                        defer { scratch.deallocate() }
                        return groups.withUnsafeBufferPointer { groups in
                            timings(rounds: rounds, least: 0.05) {
                                layer = (layer + 1) % layers
                                let base = groups.baseAddress! + layer * Self.sequences
                                threads.parallel(parts) { part in
                                    let keyHead = part % keyHeads
                                    attention_decode(
                                        attended, projections, shape, base + part / keyHeads,
                                        Int64(keyHead * pageSize), Int64(keyHead), scratch + part * size)
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    // MARK: - Prompts, forward and backward

    /// Texts in a pass.
    private static let prompts = 4

    /// Seconds of one layer over all tokens of some texts.
    private func prompt(_ context: Int) -> (forward: [Double], backward: [Double]) {
        let rows = Self.prompts * context
        let width = config.headCount * config.headDimension
        let projections = buffer(rows * projectionSize)
        let dProjections = buffer(rows * projectionSize)
        let attended = buffer(rows * width)
        let dAttended = buffer(rows * width)
        let logSums = buffer(rows * config.headCount)
        let groups = (0..<Self.prompts).map { index in
            attention_group(
                prompt_start: Int64(index * context), prompt_count: Int64(context), completion_count: 0, starts: nil,
                counts: nil)
        }
        let size = (Int(attention_workspace(shape, [groups[0]])) + 15) / 16 * 16
        let keyHeads = config.keyValueHeadCount
        let parts = Self.prompts * keyHeads
        let scratch = buffer(parts * size)
        defer {
            for memory in [projections, dProjections, attended, dAttended, logSums, scratch] { memory.deallocate() }
        }
        return groups.withUnsafeBufferPointer { groups in
            let forward = timings(rounds: rounds, least: 0.02) {
                threads.parallel(parts) { part in
                    attention_forward(
                        attended, logSums, projections, shape, groups.baseAddress! + part / keyHeads,
                        Int64(part % keyHeads), scratch + part * size)
                }
            }
            let backward = timings(rounds: rounds, least: 0.02) {
                threads.parallel(parts) { part in
                    attention_backward(
                        dProjections, dAttended, attended, logSums, projections, shape,
                        groups.baseAddress! + part / keyHeads, Int64(part % keyHeads), scratch + part * size)
                }
            }
            return (forward, backward)
        }
    }

    // MARK: - Sampling

    /// One thread, temperature 1, nothing truncated.
    private func sampling() -> [Double] {
        let vocabulary = config.vocabularySize
        let logits = buffer(vocabulary)
        defer { logits.deallocate() }
        let sampler = Sampler(vocabularySize: vocabulary)
        let row = UnsafeBufferPointer(start: UnsafePointer(logits), count: vocabulary)
        return timings(rounds: rounds, least: 0.05) {
            _ = sampler.sample(row, options: SamplingOptions(), uniform: 0.5)
        }
    }
}
