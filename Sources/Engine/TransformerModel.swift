// What a model computes from tokens without learning: scores of completions, and logits.
import CKernels
import Weights

/// Forward passes over `parameters`, which it shares by reference: an update is seen by the next call.
/// One owner: a model, its trainer and its decoders are used from one thread.
package final class TransformerModel {
    package let parameters: Parameters
    package let threads: ThreadPool
    let shape: attention_shape
    let rotary: RotaryTable
    let attention: GroupAttention
    let head: ScoringHead
    /// nil for float32.
    let exact: ExactProducts?
    private let workspace = ForwardWorkspace()

    /// Rows of one pass of `score`: bounds its memory. Exact results do not depend on it, float32 ones by rounding.
    private static let scoreRowLimit = 4096

    /// - Parameters:
    ///   - copies: of matrices packed for exact products; decoding wants them kept.
    ///   - retainedLogitBytes: logits kept between the forward and backward passes of training; those that do not fit
    ///     are computed twice.
    package init(
        parameters: Parameters, threads: ThreadPool, arithmetic: Arithmetic = .float32, copies: PackedCopies = .kept,
        retainedLogitBytes: Int = 384 << 20
    ) {
        _ = BLAS.prepared
        let config = parameters.config
        precondition(
            config.headCount % config.keyValueHeadCount == 0 && config.headDimension % 2 == 0,
            "TransformerModel: \(config.headCount) heads, \(config.keyValueHeadCount) key heads, "
                + "head dimension \(config.headDimension)")
        self.parameters = parameters
        self.threads = threads
        shape = attention_shape(
            heads: Int64(config.headCount), key_heads: Int64(config.keyValueHeadCount),
            dimension: Int64(config.headDimension))
        rotary = RotaryTable(config: config)
        attention = GroupAttention(shape: shape, threads: threads)
        switch arithmetic {
        case .float32:
            precondition(parameters.isWhole, "TransformerModel: weights for exact sampling in float32 arithmetic")
            exact = nil
        case .exact(let kernel): exact = ExactProducts(kernel: kernel, parameters: parameters, copies: copies)
        }
        head = ScoringHead(
            parameters: parameters, threads: threads, exact: exact, retainedBytes: retainedLogitBytes)
    }

    package var config: ModelConfig { parameters.config }

    /// Log-prob and entropy of every completion token under softmax(logits / temperature). A group's prompt is
    /// computed once.
    package func score(_ groups: [SequenceGroup], temperature: Double) -> TokenScores {
        var scores = TokenScores(logProbs: [], entropies: [])
        var first = 0
        while first < groups.count {
            var last = first + 1
            var rows = groups[first].rowCount
            while last < groups.count, rows + groups[last].rowCount <= TransformerModel.scoreRowLimit {
                rows += groups[last].rowCount
                last += 1
            }
            let batch = FlatBatch(
                groups[first..<last], vocabularySize: config.vocabularySize, contextTokens: config.contextTokens)
            let hidden = finalHidden(batch)
            let part = head.score(hidden, batch: batch, temperature: temperature, retainLogits: false)
            scores.logProbs += part.logProbs
            scores.entropies += part.entropies
            first = last
        }
        return scores
    }

    /// Logits (T, V) after every token.
    package func logits(_ tokens: [Int32]) -> [Float] {
        let batch = FlatBatch(
            prompt: tokens, vocabularySize: config.vocabularySize, contextTokens: config.contextTokens)
        let hidden = finalHidden(batch)
        return [Float](unsafeUninitializedCapacity: tokens.count * config.vocabularySize) { logits, count in
            head.logits(hidden, rows: tokens.count, into: logits.baseAddress!)
            count = tokens.count * config.vocabularySize
        }
    }

    /// Hidden states (T, hidden) before the final norm; valid until the next pass of this model. `afterAttention`
    /// sees each layer's projections, keys rotated.
    func finalHidden(
        _ batch: FlatBatch, afterAttention: (Int, UnsafePointer<Float>) -> Void = { _, _ in }
    ) -> UnsafeMutablePointer<Float> {
        let rows = batch.rowCount
        rotary.reserve(batch.longestContext)
        let block = workspace.rows(for: config, count: rows)
        embed(batch.tokens, into: block.input)
        batch.positions.withUnsafeBufferPointer { positions in
            for layer in 0..<config.layerCount {
                forward(layer, block, rows: rows, positions: positions.baseAddress!) {
                    attention.forward(block, batch: batch)
                }
                afterAttention(layer, block.projections)
            }
        }
        return block.input
    }

    func embed(_ tokens: [Int32], into x: UnsafeMutablePointer<Float>) {
        let (count, hidden) = (Int64(tokens.count), Int64(config.hiddenSize))
        if let rows = parameters.embeddingRows {
            rows_gather_bf16(x, rows, tokens, count, hidden)
            return
        }
        // Exact arithmetic sees matrices in bfloat16 everywhere: what a snapshot holds of them is all that counts.
        let table = parameters.base + parameters.layout.embedding
        if exact == nil {
            rows_gather(x, table, tokens, count, hidden)
        } else {
            rows_gather_rounded(x, table, tokens, count, hidden)
        }
    }
}
