// How gradients travel back through one transformer block. Mirrors Forward.swift step by step, in reverse.
import CKernels
import Glibc
import Weights

/// The backward pass of blocks: gradients of weights are added to `trained`, those of rows pass through `rows`.
struct BackwardPass {
    let model: TransformerModel
    let batch: FlatBatch
    let trained: TrainedWeights
    let rows: TrainingWorkspace.Gradients

    private var config: ModelConfig { model.config }
    private var threads: ThreadPool { model.threads }
    private var count: Int { batch.rowCount }

    /// `rows.hidden` holds ∂loss/∂(the block's output) before and ∂loss/∂(its input) after.
    func block(_ layer: Int, _ block: BlockRows) {
        guard let kept = block.kept else { preconditionFailure("BackwardPass: nothing was kept of layer \(layer)") }
        let place = model.parameters.layout.layers[layer]
        let layers = BlockLayers(model.parameters, layer, exact: model.exact)

        layers.down.backwardInput(rows.hidden, into: rows.activated, rows: count, threads: threads)
        activation(block)
        weights(layer, .down, layers.down, rows.hidden, rows.activated, at: place.down)
        model.normalize(block.middle, place.middleNorm, into: block.normed, inverse: nil, rows: count)
        weights(layer, .gateUp, layers.gateUp, rows.gateUp, block.normed, at: place.gateUp)
        layers.gateUp.backwardInput(rows.gateUp, into: rows.normed, rows: count, threads: threads)
        norm(place.middleNorm, inverse: kept.middleInverse, x: block.middle)

        weights(layer, .output, layers.output, rows.hidden, block.attended, at: place.output)
        layers.output.backwardInput(rows.hidden, into: rows.attended, rows: count, threads: threads)
        model.attention.backward(block, batch: batch, from: rows.attended, into: rows.projections)
        position(place, kept)
        model.normalize(block.input, place.inputNorm, into: block.normed, inverse: nil, rows: count)
        weights(
            layer, .projections, layers.projections, rows.projections, block.normed, at: place.projections,
            bias: place.projectionBias)
        layers.projections.backwardInput(rows.projections, into: rows.normed, rows: count, threads: threads)
        norm(place.inputNorm, inverse: kept.inputInverse, x: block.input)
    }

    /// `rows.hidden` holds ∂loss/∂(the first block's input). A token may occur in many rows.
    func embedding() {
        guard case .all(let total) = trained else { return }
        let cut = Cut(config.hiddenSize)
        threads.parallel(cut.count) { part in
            rows_scatter_add(
                total.base + model.parameters.layout.embedding, rows.hidden, batch.tokens, Int64(count),
                Int64(config.hiddenSize), Int64(cut[part].lowerBound), Int64(cut[part].upperBound))
        }
    }

    /// What a dense layer's weights, or the adapters over it, have of the gradient.
    private func weights(
        _ layer: Int, _ matrix: AdapterTraining.Matrix, _ linear: Linear, _ dy: UnsafePointer<Float>,
        _ x: UnsafePointer<Float>, at offset: Int, bias: Int? = nil
    ) {
        switch trained {
        case .all(let total):
            linear.backwardWeight(
                dy, x, into: total.base + offset, bias: bias.map { total.base + $0 }, rows: count, threads: threads)
        case .adapters(let adapters):
            adapters.addGradient(layer: layer, matrix, dy, x, rows: count, threads: threads)
        }
    }

    private func activation(_ block: BlockRows) {
        let size = config.intermediateSize
        threads.parallelRows(count, width: 6 * size) { range in
            let at = range.lowerBound * size
            swiglu_backward(
                rows.gateUp + 2 * at, rows.activated + at, block.gateUp + 2 * at, Int64(range.count), Int64(size))
        }
    }

    /// rows.hidden += gradient of norm(x) by x, given rows.normed.
    private func norm(_ offset: Int, inverse: UnsafePointer<Float>, x: UnsafePointer<Float>) {
        let hidden = config.hiddenSize
        if case .all(let total) = trained {
            let cut = Cut(hidden)
            threads.parallel(cut.count) { part in
                rmsnorm_backward_weight(
                    total.base + offset, inverse, rows.normed, Int64(hidden), x, Int64(hidden), Int64(count), 1,
                    Int64(hidden), Int64(cut[part].lowerBound), Int64(cut[part].upperBound))
            }
        }
        threads.parallelRows(count, width: 2 * hidden) { range in
            let at = range.lowerBound * hidden
            rmsnorm_backward_input(
                rows.hidden + at, Int64(hidden), inverse + range.lowerBound, rows.normed + at, Int64(hidden), x + at,
                Int64(hidden), model.parameters.base + offset, Int64(range.count), 1, Int64(hidden), 1)
        }
    }

    /// rows.projections: from rotated and normalized queries and keys to what the projections gave.
    private func position(_ place: ParameterLayout.Layer, _ kept: BlockRows.Kept) {
        let stride = config.projectionSize
        let queries = config.headCount
        let turned = queries + config.keyValueHeadCount
        batch.positions.withUnsafeBufferPointer { positions in
            threads.parallelRows(count, width: stride) { range in
                model.rotary.apply(
                    rows.projections, stride: stride, positions: positions.baseAddress!, rows: range, heads: turned,
                    direction: -1)
            }
        }
        guard let queryNorm = place.queryNorm, let keyNorm = place.keyNorm, let raw = kept.rawProjections,
            let queryInverse = kept.queryInverse, let keyInverse = kept.keyInverse
        else { return }
        heads(0..<queries, queryNorm, queryInverse, raw)
        heads(queries..<turned, keyNorm, keyInverse, raw)
    }

    private func heads(
        _ heads: Range<Int>, _ offset: Int, _ inverse: UnsafePointer<Float>, _ raw: UnsafePointer<Float>
    ) {
        let dimension = config.headDimension
        let stride = config.projectionSize
        let x = raw + heads.lowerBound * dimension
        let dy = rows.projections + heads.lowerBound * dimension
        if case .all(let total) = trained {
            let cut = Cut(dimension)
            threads.parallel(cut.count) { part in
                rmsnorm_backward_weight(
                    total.base + offset, inverse, dy, Int64(stride), x, Int64(stride), Int64(count),
                    Int64(heads.count), Int64(dimension), Int64(cut[part].lowerBound), Int64(cut[part].upperBound))
            }
        }
        threads.parallelRows(count, width: heads.count * dimension) { range in
            let at = range.lowerBound * stride
            rmsnorm_backward_input(
                dy + at, Int64(stride), inverse + range.lowerBound * heads.count, dy + at, Int64(stride), x + at,
                Int64(stride), model.parameters.base + offset, Int64(range.count), Int64(heads.count),
                Int64(dimension), 0)
        }
    }
}
