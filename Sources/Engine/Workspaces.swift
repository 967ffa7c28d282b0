// The buffers of forward and backward passes: allocated once, grown when a larger batch comes, reused for ever.
import CKernels
import Weights

/// Hands out consecutive aligned pieces of one buffer.
private struct Carver {
    private var sizes: [Int] = []

    /// Index of a piece of `count` elements.
    mutating func piece(_ count: Int) -> Int {
        sizes.append((count + 15) / 16 * 16)
        return sizes.count - 1
    }

    func carve(_ buffer: FloatBuffer) -> [UnsafeMutablePointer<Float>] {
        var next = buffer.reserve(sizes.reduce(0, +))
        return sizes.map { size in
            defer { next += size }
            return next
        }
    }
}

/// Rows of a pass that keeps nothing: every layer uses the same.
final class ForwardWorkspace {
    private let buffer = FloatBuffer(count: 0)

    func rows(for config: ModelConfig, count: Int) -> BlockRows {
        var carver = Carver()
        let hidden = carver.piece(count * config.hiddenSize)
        let normed = carver.piece(count * config.hiddenSize)
        let projections = carver.piece(count * config.projectionSize)
        let attended = carver.piece(count * config.headCount * config.headDimension)
        let gateUp = carver.piece(count * 2 * config.intermediateSize)
        let activated = carver.piece(count * config.intermediateSize)
        let pieces = carver.carve(buffer)
        return BlockRows(
            input: pieces[hidden], middle: pieces[hidden], output: pieces[hidden], normed: pieces[normed],
            projections: pieces[projections], attended: pieces[attended], gateUp: pieces[gateUp],
            activated: pieces[activated], kept: nil)
    }
}

/// Rows of a pass that a backward pass follows: what it needs is kept for each layer, about
/// 2·hidden + P + 2·intermediate floats a token and layer (21 KB for SmolLM2-135M, 0.6 MB for all its layers). What
/// attention gave is computed again. Where whole blocks are, only their inputs are kept (hidden floats a token and
/// layer), and all else is shared.
final class TrainingWorkspace {
    private let buffer = FloatBuffer(count: 0)

    /// Gradients of rows while they travel back.
    struct Gradients {
        /// (T, d): ∂loss/∂(a block's output, then its middle, then its input); and of a norm's output.
        var hidden, normed: UnsafeMutablePointer<Float>
        /// (T, P), (T, heads·head dimension), (T, 2F), and (T, F) that becomes the activated rows.
        var projections, attended, gateUp, activated: UnsafeMutablePointer<Float>
    }

    func rows(
        for config: ModelConfig, count: Int, recompute: Bool
    ) -> (layers: [BlockRows], gradients: Gradients) {
        var carver = Carver()
        let inputs = (0...config.layerCount).map { _ in carver.piece(count * config.hiddenSize) }
        let own = (0..<(recompute ? 1 : config.layerCount)).map { _ in LayerPieces(&carver, config, count) }
        let attendedSize = count * config.headCount * config.headDimension
        let sharedAttended = carver.piece(attendedSize)
        let normed = carver.piece(count * config.hiddenSize)
        let activated = carver.piece(count * config.intermediateSize)
        let hidden = carver.piece(count * config.hiddenSize)
        let normedGradient = carver.piece(count * config.hiddenSize)
        let projections = carver.piece(count * config.projectionSize)
        let attended = carver.piece(attendedSize)
        let gateUp = carver.piece(count * 2 * config.intermediateSize)
        let pieces = carver.carve(buffer)
        let rows = (0..<config.layerCount).map { index in
            own[recompute ? 0 : index].rows(
                pieces, input: inputs[index], output: inputs[index + 1], normed: normed, attended: sharedAttended,
                activated: activated)
        }
        return (rows, Gradients(
            hidden: pieces[hidden], normed: pieces[normedGradient], projections: pieces[projections],
            attended: pieces[attended], gateUp: pieces[gateUp], activated: pieces[activated]))
    }

    private struct LayerPieces {
        let middle, projections, gateUp, inputInverse, middleInverse, logSums: Int
        var rawProjections, queryInverse, keyInverse: Int?

        init(_ carver: inout Carver, _ config: ModelConfig, _ count: Int) {
            middle = carver.piece(count * config.hiddenSize)
            projections = carver.piece(count * config.projectionSize)
            gateUp = carver.piece(count * 2 * config.intermediateSize)
            inputInverse = carver.piece(count)
            middleInverse = carver.piece(count)
            logSums = carver.piece(count * config.headCount)
            if config.hasQueryKeyNorm {
                rawProjections = carver.piece(count * config.projectionSize)
                queryInverse = carver.piece(count * config.headCount)
                keyInverse = carver.piece(count * config.keyValueHeadCount)
            }
        }

        func rows(
            _ pieces: [UnsafeMutablePointer<Float>], input: Int, output: Int, normed: Int, attended: Int, activated: Int
        ) -> BlockRows {
            BlockRows(
                input: pieces[input], middle: pieces[middle], output: pieces[output], normed: pieces[normed],
                projections: pieces[projections], attended: pieces[attended], gateUp: pieces[gateUp],
                activated: pieces[activated],
                kept: BlockRows.Kept(
                    inputInverse: pieces[inputInverse], middleInverse: pieces[middleInverse],
                    logSums: pieces[logSums], rawProjections: rawProjections.map { pieces[$0] },
                    queryInverse: queryInverse.map { pieces[$0] }, keyInverse: keyInverse.map { pieces[$0] }))
        }
    }
}
