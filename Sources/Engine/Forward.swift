// How one transformer block turns rows into rows. Backward.swift mirrors this file step by step.
import CKernels
import Glibc
import Weights

/// Where one block reads and writes. T rows; d hidden size, F intermediate size, P = (heads + 2·key heads)·head
/// dimension. Where nothing is kept for a backward pass, `input`, `middle` and `output` are the same rows.
struct BlockRows {
    /// (T, d)
    var input, middle, output: UnsafeMutablePointer<Float>
    /// (T, d): scratch, both norms' outputs.
    var normed: UnsafeMutablePointer<Float>
    /// (T, P): queries, keys and values; queries and keys normalized and rotated.
    var projections: UnsafeMutablePointer<Float>
    /// (T, heads·head dimension): shared by all blocks.
    var attended: UnsafeMutablePointer<Float>
    /// (T, 2F), and scratch (T, F).
    var gateUp, activated: UnsafeMutablePointer<Float>
    var kept: Kept?

    /// What only a backward pass needs.
    struct Kept {
        /// (T): inverse root mean squares of the two norms.
        var inputInverse, middleInverse: UnsafeMutablePointer<Float>
        /// (T, heads)
        var logSums: UnsafeMutablePointer<Float>
        /// Qwen3: `projections` before the norm of queries and keys (T, P); inverses (T, heads), (T, key heads).
        var rawProjections, queryInverse, keyInverse: UnsafeMutablePointer<Float>?
    }
}

extension BlockRows {
    /// The same rows from number `row` on. Rows that hold nothing of their own (scratch) move too.
    func advanced(by row: Int, _ config: ModelConfig) -> BlockRows {
        let (hidden, projection) = (row * config.hiddenSize, row * config.projectionSize)
        let intermediate = row * config.intermediateSize
        return BlockRows(
            input: input + hidden, middle: middle + hidden, output: output + hidden, normed: normed + hidden,
            projections: projections + projection, attended: attended + row * config.headCount * config.headDimension,
            gateUp: gateUp + 2 * intermediate, activated: activated + intermediate,
            kept: kept.map { kept in
                Kept(
                    inputInverse: kept.inputInverse + row, middleInverse: kept.middleInverse + row,
                    logSums: kept.logSums + row * config.headCount,
                    rawProjections: kept.rawProjections.map { $0 + projection },
                    queryInverse: kept.queryInverse.map { $0 + row * config.headCount },
                    keyInverse: kept.keyInverse.map { $0 + row * config.keyValueHeadCount })
            })
    }
}

/// Dense layers of one block.
struct BlockLayers {
    let projections, output, gateUp, down: Linear

    init(_ parameters: Parameters, _ layer: Int, exact: ExactProducts?) {
        let config = parameters.config
        let place = parameters.layout.layers[layer]
        projections = Linear(
            parameters, weight: place.projections, bias: place.projectionBias, outputs: config.projectionSize,
            inputs: config.hiddenSize, exact: exact)
        output = Linear(
            parameters, weight: place.output, outputs: config.hiddenSize,
            inputs: config.headCount * config.headDimension, exact: exact)
        gateUp = Linear(
            parameters, weight: place.gateUp, outputs: 2 * config.intermediateSize, inputs: config.hiddenSize,
            exact: exact)
        down = Linear(
            parameters, weight: place.down, outputs: config.hiddenSize, inputs: config.intermediateSize, exact: exact)
    }
}

extension ModelConfig {
    /// Queries, keys and values of one row.
    var projectionSize: Int { (headCount + 2 * keyValueHeadCount) * headDimension }
}

extension ThreadPool {
    /// Rows 0..<count in ranges worth a thread's while; for work whose rows do not depend on each other.
    func parallelRows(_ count: Int, width: Int, _ body: (Range<Int>) -> Void) {
        let smallest = max(1, 8192 / max(width, 1))
        let parts = max(1, min(threadCount * 4, count / smallest))
        parallel(parts) { part in body((count * part / parts)..<(count * (part + 1) / parts)) }
    }
}

extension TransformerModel {
    /// - Parameters:
    ///   - again: for a backward pass that follows at once: `output`, which it does not need, is left as it was.
    ///   - attend: reads `projections`, writes `attended` (and `logSums` when kept).
    func forward(
        _ layer: Int, _ block: BlockRows, rows: Int, positions: UnsafePointer<Int32>, again: Bool = false,
        attend: () -> Void
    ) {
        let place = parameters.layout.layers[layer]
        let layers = BlockLayers(parameters, layer, exact: exact)
        normalize(block.input, place.inputNorm, into: block.normed, inverse: block.kept?.inputInverse, rows: rows)
        layers.projections.forward(block.normed, into: block.projections, rows: rows, threads: threads)
        position(block, place, rows: rows, positions: positions)
        attend()
        copy(block.input, to: block.middle, rows: rows)
        layers.output.forward(block.attended, into: block.middle, rows: rows, adding: true, threads: threads)

        normalize(block.middle, place.middleNorm, into: block.normed, inverse: block.kept?.middleInverse, rows: rows)
        layers.gateUp.forward(block.normed, into: block.gateUp, rows: rows, threads: threads)
        if again { return }
        let intermediate = config.intermediateSize
        threads.parallelRows(rows, width: 4 * intermediate) { range in
            swiglu_forward(
                block.activated + range.lowerBound * intermediate, block.gateUp + range.lowerBound * 2 * intermediate,
                Int64(range.count), Int64(intermediate))
        }
        copy(block.middle, to: block.output, rows: rows)
        layers.down.forward(block.activated, into: block.output, rows: rows, adding: true, threads: threads)
    }

    /// y ← norm(x) over whole rows, with the weight at `offset`.
    func normalize(
        _ x: UnsafePointer<Float>, _ offset: Int, into y: UnsafeMutablePointer<Float>,
        inverse: UnsafeMutablePointer<Float>?, rows: Int
    ) {
        let hidden = config.hiddenSize
        threads.parallelRows(rows, width: hidden) { range in
            let at = range.lowerBound * hidden
            rmsnorm_forward(
                y + at, Int64(hidden), inverse.map { $0 + range.lowerBound }, x + at, Int64(hidden),
                parameters.base + offset, Int64(range.count), 1, Int64(hidden), config.rmsEpsilon)
        }
    }

    /// Normalizes (Qwen3) and rotates queries and keys in place.
    private func position(
        _ block: BlockRows, _ place: ParameterLayout.Layer, rows: Int, positions: UnsafePointer<Int32>
    ) {
        let stride = config.projectionSize
        let turned = config.headCount + config.keyValueHeadCount
        threads.parallelRows(rows, width: stride) { range in
            if let raw = block.kept?.rawProjections {
                let at = range.lowerBound * stride
                memcpy(raw + at, block.projections + at, range.count * stride * MemoryLayout<Float>.stride)
            }
            if let queryNorm = place.queryNorm, let keyNorm = place.keyNorm {
                let queries = config.headCount
                normalizeHeads(block.projections, queryNorm, block.kept?.queryInverse, 0..<queries, rows: range)
                normalizeHeads(block.projections, keyNorm, block.kept?.keyInverse, queries..<turned, rows: range)
            }
            rotary.apply(
                block.projections, stride: stride, positions: positions, rows: range, heads: turned, direction: 1)
        }
    }

    private func normalizeHeads(
        _ projections: UnsafeMutablePointer<Float>, _ offset: Int, _ inverse: UnsafeMutablePointer<Float>?,
        _ heads: Range<Int>, rows: Range<Int>
    ) {
        let dimension = config.headDimension
        let stride = config.projectionSize
        let x = projections + rows.lowerBound * stride + heads.lowerBound * dimension
        rmsnorm_forward(
            x, Int64(stride), inverse.map { $0 + rows.lowerBound * heads.count }, x, Int64(stride),
            parameters.base + offset, Int64(rows.count), Int64(heads.count), Int64(dimension), config.rmsEpsilon)
    }

    private func copy(_ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, rows: Int) {
        guard x != UnsafePointer(y) else { return }
        memcpy(y, x, rows * config.hiddenSize * MemoryLayout<Float>.stride)
    }
}
