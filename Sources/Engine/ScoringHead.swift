// From hidden states to log-probs without ever holding all logits, and back.
import CKernels
import Glibc
import Weights

/// Final norm, LM head, log-softmax and the choice of targets, over blocks of rows. R rows have targets. Log-probs and
/// entropies are computed by the sampler's own function, so that equal logits give equal bits.
///
/// After `score(…, retainLogits: true)` the logits of the first rows stay in memory up to `retainedBytes`; `backward`
/// computes the others again.
final class ScoringHead {
    private let parameters: Parameters
    private let threads: ThreadPool
    private let exact: ExactProducts?
    private let retainedBytes: Int
    private let rowsBuffer = FloatBuffer(count: 0)
    private let logitsBuffer = FloatBuffer(count: 0)
    private let normedBuffer = FloatBuffer(count: 0)
    private let scratchBuffer = FloatBuffer(count: 0)
    private var forward: Forward?

    private static let blockBytes = 96 << 20

    private struct Forward {
        var temperature: Double
        var retainedRows: Int
        var blockRows: Int
        var entropies: [Float]
        /// (R, d), (R, d), (R), (R)
        var selected, normed, inverse, logSums: UnsafeMutablePointer<Float>
        /// (R, d) scratch for backward.
        var gradient: UnsafeMutablePointer<Float>
        /// (retained rows, V), and room for a block that is not retained.
        var logits, scratchLogits: UnsafeMutablePointer<Float>

        /// The same from row `firstRow` on, with the entropies of these scores.
        func part(firstRow: Int, hidden: Int, vocabulary: Int, scores: Range<Int>) -> Forward {
            Forward(
                temperature: temperature, retainedRows: max(0, retainedRows - firstRow), blockRows: blockRows,
                entropies: Array(entropies[scores]), selected: selected + firstRow * hidden,
                normed: normed + firstRow * hidden, inverse: inverse + firstRow, logSums: logSums + firstRow,
                gradient: gradient + firstRow * hidden, logits: logits + firstRow * vocabulary,
                scratchLogits: scratchLogits)
        }
    }

    init(parameters: Parameters, threads: ThreadPool, exact: ExactProducts?, retainedBytes: Int) {
        self.retainedBytes = retainedBytes
        self.exact = exact
        self.parameters = parameters
        self.threads = threads
    }

    private var config: ModelConfig { parameters.config }
    private var linear: Linear {
        Linear(
            parameters, weight: parameters.layout.head, outputs: config.vocabularySize, inputs: config.hiddenSize,
            exact: exact)
    }

    /// Logits (rows, V) of all rows of `hidden` (rows, d).
    func logits(_ hidden: UnsafePointer<Float>, rows: Int, into logits: UnsafeMutablePointer<Float>) {
        let normed = normedBuffer.reserve(rows * config.hiddenSize)
        normalize(hidden, into: normed, inverse: nil, rows: rows)
        linear.forward(normed, into: logits, rows: rows, threads: threads)
    }

    /// - Parameter hidden: (T, d), the last block's output.
    func score(
        _ hidden: UnsafePointer<Float>, batch: FlatBatch, temperature: Double, retainLogits: Bool
    ) -> TokenScores {
        precondition(temperature > 0, "ScoringHead: temperature = \(temperature), must be above 0")
        let state = prepare(batch, temperature: temperature, retainLogits: retainLogits)
        let rows = batch.headRows.count
        rows_gather(state.selected, hidden, batch.headRows, Int64(rows), Int64(config.hiddenSize))
        normalize(state.selected, into: state.normed, inverse: state.inverse, rows: rows)
        var scores = TokenScores(
            logProbs: [Float](repeating: 0, count: batch.scoreCount),
            entropies: [Float](repeating: 0, count: batch.scoreCount))
        scores.logProbs.withUnsafeMutableBufferPointer { logProbs in
            scores.entropies.withUnsafeMutableBufferPointer { entropies in
                let logProbs = logProbs.baseAddress!
                let entropies = entropies.baseAddress!
                let set = sampling_best_instruction_set()
                let scratch = scoringScratch()
                eachBlock(state, rows: rows) { block, logits, _ in
                    computeLogits(state, block, logits)
                    rowParts(block, batch) { part, offsets, targets, outputs in
                        scratch.with { scratch in
                            var targets = sampling_targets(
                                offsets: offsets, tokens: targets, outputs: outputs, log_probs: logProbs,
                                entropies: entropies, log_sums: state.logSums + part.lowerBound)
                            sampling_score_rows(
                                set, logits + (part.lowerBound - block.lowerBound) * config.vocabularySize,
                                Int64(config.vocabularySize), temperature, &targets, Int64(part.count), scratch)
                        }
                    }
                }
            }
        }
        forward = state
        forward?.entropies = scores.entropies
        return scores
    }

    /// Adds to the gradients of the head and the final norm what the groups of `batch` contribute; dHidden (T, d) is
    /// overwritten. Follows `score` of a batch that holds these groups: theirs are the rows with targets from
    /// `firstRow` on and the scores from `firstScore` on. Retained logits are used up: each group once.
    /// - Parameter total: nil where both are frozen.
    func backward(
        _ gradients: TokenGradients, batch: FlatBatch, firstRow: Int = 0, firstScore: Int = 0,
        into dHidden: UnsafeMutablePointer<Float>, accumulating total: Parameters?
    ) {
        guard let whole = forward else { preconditionFailure("ScoringHead: backward without score") }
        let rows = batch.headRows.count
        let state = whole.part(
            firstRow: firstRow, hidden: config.hiddenSize, vocabulary: config.vocabularySize,
            scores: firstScore..<(firstScore + batch.scoreCount))
        let hidden = config.hiddenSize
        eachBlock(state, rows: rows) { block, logits, retained in
            if !retained { computeLogits(state, block, logits) }
            replaceByGradient(logits, block, state, gradients, batch)
            let dNormed = state.gradient + block.lowerBound * hidden
            linear.backwardInput(logits, into: dNormed, rows: block.count, threads: threads)
            if let total {
                linear.backwardWeight(
                    logits, state.normed + block.lowerBound * hidden, into: total.base + parameters.layout.head,
                    rows: block.count, threads: threads)
            }
        }
        let norm = parameters.layout.finalNorm
        if let total {
            addNormWeightGradient(
                total.base + norm, inverse: state.inverse, dy: state.gradient, x: state.selected, rows: rows)
        }
        threads.parallelRows(rows, width: hidden) { range in
            let at = range.lowerBound * hidden
            rmsnorm_backward_input(
                state.gradient + at, Int64(hidden), state.inverse + range.lowerBound, state.gradient + at,
                Int64(hidden), state.selected + at, Int64(hidden), parameters.base + norm, Int64(range.count), 1,
                Int64(hidden), 0)
        }
        memset(dHidden, 0, batch.rowCount * hidden * MemoryLayout<Float>.stride)
        let cut = Cut(hidden)
        threads.parallel(cut.count) { part in
            rows_scatter_add(
                dHidden, state.gradient, batch.headRows, Int64(rows), Int64(hidden), Int64(cut[part].lowerBound),
                Int64(cut[part].upperBound))
        }
    }

    private func prepare(_ batch: FlatBatch, temperature: Double, retainLogits: Bool) -> Forward {
        let rows = batch.headRows.count
        let rowBytes = config.vocabularySize * MemoryLayout<Float>.stride
        let blockRows = max(16, min(rows, ScoringHead.blockBytes / rowBytes / 16 * 16))
        let retained = retainLogits ? retainedBytes / rowBytes / blockRows * blockRows : 0
        let logitRows = min(rows, retained) + (retained < rows ? blockRows : 0)
        _ = logitsBuffer.reserve(logitRows * config.vocabularySize)
        let wide = (rows * config.hiddenSize + 15) / 16 * 16
        let base = rowsBuffer.reserve(3 * wide + 2 * rows)
        let logits = logitsBuffer.base
        return Forward(
            temperature: temperature, retainedRows: min(rows, retained), blockRows: blockRows, entropies: [],
            selected: base, normed: base + wide, inverse: base + 3 * wide, logSums: base + 3 * wide + rows,
            gradient: base + 2 * wide, logits: logits,
            scratchLogits: logits + min(rows, retained) * config.vocabularySize)
    }

    /// Memory for the sampler's scoring, for each part that can run at once.
    private func scoringScratch() -> ScratchSlots {
        let bytes = Int(sampling_scratch_bytes(Int64(config.vocabularySize)))
        let size = (bytes + 63) / 64 * 16
        return ScratchSlots(scratchBuffer.reserve(size * threads.threadCount), size, threads.threadCount)
    }

    /// Blocks of rows with the place of their logits, and whether those stay after the block.
    private func eachBlock(
        _ state: Forward, rows: Int, _ body: (Range<Int>, UnsafeMutablePointer<Float>, Bool) -> Void
    ) {
        for first in stride(from: 0, to: rows, by: state.blockRows) {
            let block = first..<min(first + state.blockRows, rows)
            let retained = block.upperBound <= state.retainedRows
            body(block, retained ? state.logits + first * config.vocabularySize : state.scratchLogits, retained)
        }
    }

    private func computeLogits(_ state: Forward, _ block: Range<Int>, _ logits: UnsafeMutablePointer<Float>) {
        linear.forward(
            state.normed + block.lowerBound * config.hiddenSize, into: logits, rows: block.count, threads: threads)
    }

    private func replaceByGradient(
        _ logits: UnsafeMutablePointer<Float>, _ block: Range<Int>, _ state: Forward, _ gradients: TokenGradients,
        _ batch: FlatBatch
    ) {
        gradients.logProbs.withUnsafeBufferPointer { dLogProbs in
            (gradients.entropies ?? []).withUnsafeBufferPointer { dEntropies in
                state.entropies.withUnsafeBufferPointer { entropies in
                    rowParts(block, batch) { part, offsets, targets, outputs in
                        logits_gradient(
                            logits + (part.lowerBound - block.lowerBound) * config.vocabularySize,
                            state.logSums + part.lowerBound, dLogProbs.baseAddress,
                            dEntropies.isEmpty ? nil : dEntropies.baseAddress, entropies.baseAddress, offsets,
                            targets, outputs, Float(1 / state.temperature), Int64(part.count),
                            Int64(config.vocabularySize))
                    }
                }
            }
        }
    }

    private func rowParts(
        _ block: Range<Int>, _ batch: FlatBatch,
        _ body: (Range<Int>, UnsafePointer<Int32>, UnsafePointer<Int32>, UnsafePointer<Int32>) -> Void
    ) {
        batch.offsets.withUnsafeBufferPointer { offsets in
            batch.targets.withUnsafeBufferPointer { targets in
                batch.outputs.withUnsafeBufferPointer { outputs in
                    threads.parallelRows(block.count, width: config.vocabularySize) { range in
                        let part = (block.lowerBound + range.lowerBound)..<(block.lowerBound + range.upperBound)
                        body(
                            part, offsets.baseAddress! + part.lowerBound, targets.baseAddress!, outputs.baseAddress!)
                    }
                }
            }
        }
    }

    private func normalize(
        _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, inverse: UnsafeMutablePointer<Float>?,
        rows: Int
    ) {
        let hidden = config.hiddenSize
        threads.parallelRows(rows, width: hidden) { range in
            let at = range.lowerBound * hidden
            rmsnorm_forward(
                y + at, Int64(hidden), inverse.map { $0 + range.lowerBound }, x + at, Int64(hidden),
                parameters.base + parameters.layout.finalNorm, Int64(range.count), 1, Int64(hidden),
                config.rmsEpsilon)
        }
    }

    private func addNormWeightGradient(
        _ dWeight: UnsafeMutablePointer<Float>, inverse: UnsafePointer<Float>, dy: UnsafePointer<Float>,
        x: UnsafePointer<Float>, rows: Int
    ) {
        let hidden = config.hiddenSize
        let cut = Cut(hidden)
        threads.parallel(cut.count) { part in
            let range = cut[part]
            rmsnorm_backward_weight(
                dWeight, inverse, dy, Int64(hidden), x, Int64(hidden), Int64(rows), 1, Int64(hidden),
                Int64(range.lowerBound), Int64(range.upperBound))
        }
    }
}
