// How weights learn: gradients of micro-batches are summed, then one AdamW update uses and clears them.
import CKernels
import Glibc
import Rollouts
import Weights

/// What an update changes, and where its gradients are summed.
enum TrainedWeights {
    case all(Parameters)
    case adapters(AdapterTraining)

    var all: Parameters? { if case .all(let gradients) = self { gradients } else { nil } }

    var count: Int {
        switch self {
        case .all(let gradients): gradients.count
        case .adapters(let adapters): adapters.layout.elementCount
        }
    }

    var gradients: UnsafeMutablePointer<Float> {
        switch self {
        case .all(let gradients): gradients.base
        case .adapters(let adapters): adapters.gradients.baseAddress!
        }
    }

    func weights(of model: TransformerModel) -> UnsafeMutablePointer<Float> {
        switch self {
        case .all: model.parameters.base
        case .adapters(let adapters): adapters.values.baseAddress!
        }
    }
}

/// Owns gradients and AdamW's state. The learner's whole interface to the model: what it wants is
/// ∂loss/∂log-prob (and ∂loss/∂entropy) per token, so no algorithm is known here.
package final class Trainer {
    package let model: TransformerModel
    package let options: OptimizerOptions
    let trained: TrainedWeights
    /// Updates made so far, for AdamW's bias correction; set it together with `state` when resuming.
    package var updateCount = 0
    /// Made when it is first asked for: who only computes gradients has none.
    package private(set) lazy var state = OptimizerState(options.state, count: trained.count)
    private let workspace = TrainingWorkspace()

    /// - Parameter adapters: trained instead of the model's weights; they are merged into them already.
    package init(model: TransformerModel, options: OptimizerOptions, adapters: AdapterTraining? = nil) {
        self.model = model
        self.options = options
        trained = adapters.map { .adapters($0) } ?? .all(Parameters(config: model.config))
    }

    /// Sums since the last update, in the order of `ModelConfig.tensors`.
    /// - Precondition: all weights are trained.
    package var gradients: Parameters {
        guard let gradients = trained.all else { preconditionFailure("Trainer: only adapters have gradients") }
        return gradients
    }
    package var adapters: AdapterTraining? {
        if case .adapters(let adapters) = trained { adapters } else { nil }
    }
    /// What is trained, in the order of `state` and of the gradients.
    package var shapes: [TensorShape] { adapters?.layout.tensors ?? model.config.tensors }

    /// One micro-batch: forward, `gradients` of the scores, backward; adds to the gradients.
    /// The closure must return one number per score; it runs between forward and backward and must not use the model.
    /// - Parameter units: numbers of consecutive groups, all groups together. Each unit's gradient is computed by
    ///   itself and added in turn, so in exact arithmetic the sums over many micro-batches depend on the units and
    ///   their order alone, not on which of them share a micro-batch. nil: all groups are one unit.
    package func accumulate(
        _ groups: [SequenceGroup], units: [Int]? = nil, temperature: Double,
        gradients function: (TokenScores) -> TokenGradients
    ) {
        guard !groups.isEmpty else { return }
        let config = model.config
        let units = units ?? [groups.count]
        precondition(
            units.allSatisfy { $0 > 0 } && units.reduce(0, +) == groups.count,
            "Trainer: units of \(units) groups, there are \(groups.count)")
        let batch = FlatBatch(
            groups, vocabularySize: config.vocabularySize, contextTokens: config.contextTokens)
        let (layers, rows) = workspace.rows(
            for: config, count: batch.rowCount, recompute: options.recompute == .blocks)
        forward(batch, layers)
        let scores = model.head.score(
            layers.last!.output, batch: batch, temperature: temperature, retainLogits: true)
        let wanted = function(scores)
        precondition(
            wanted.logProbs.count == batch.scoreCount
                && (wanted.entropies?.count ?? batch.scoreCount) == batch.scoreCount,
            "Trainer: \(wanted.logProbs.count) and \(wanted.entropies?.count ?? batch.scoreCount) gradients "
                + "for \(batch.scoreCount) tokens")
        if units.count == 1 {
            backward(batch, wanted, layers, rows, from: UnitStart())
            return
        }
        var start = UnitStart()
        var first = 0
        for count in units {
            let unit = FlatBatch(
                groups[first..<first + count], vocabularySize: config.vocabularySize,
                contextTokens: config.contextTokens)
            let scores = start.score..<(start.score + unit.scoreCount)
            let part = TokenGradients(
                logProbs: Array(wanted.logProbs[scores]), entropies: wanted.entropies.map { Array($0[scores]) })
            backward(unit, part, layers.map { $0.advanced(by: start.row, config) }, rows, from: start)
            start.row += unit.rowCount
            start.headRow += unit.headRows.count
            start.score = scores.upperBound
            first += count
        }
    }

    /// Where a unit begins in its micro-batch.
    private struct UnitStart {
        var row = 0
        var headRow = 0
        var score = 0
    }

    private func backward(
        _ unit: FlatBatch, _ wanted: TokenGradients, _ layers: [BlockRows], _ rows: TrainingWorkspace.Gradients,
        from start: UnitStart
    ) {
        model.head.backward(
            wanted, batch: unit, firstRow: start.headRow, firstScore: start.score, into: rows.hidden,
            accumulating: trained.all)
        let pass = BackwardPass(model: model, batch: unit, trained: trained, rows: rows)
        for layer in layers.indices.reversed() {
            if options.recompute == .blocks {
                forwardAgain(layer, layers[layer], unit)
            } else {
                model.attention.forward(layers[layer], batch: unit)
            }
            pass.block(layer, layers[layer])
        }
        pass.embedding()
    }

    /// All of what `pass.block` needs and a later block has overwritten: the same numbers, since a unit's rows depend
    /// on no others (exact arithmetic) or are all rows (float32).
    private func forwardAgain(_ layer: Int, _ block: BlockRows, _ unit: FlatBatch) {
        unit.positions.withUnsafeBufferPointer { positions in
            model.forward(layer, block, rows: unit.rowCount, positions: positions.baseAddress!, again: true) {
                model.attention.forward(block, batch: unit)
            }
        }
    }

    private func forward(_ batch: FlatBatch, _ layers: [BlockRows]) {
        model.rotary.reserve(batch.longestContext)
        model.embed(batch.tokens, into: layers[0].input)
        batch.positions.withUnsafeBufferPointer { positions in
            for (index, block) in layers.enumerated() {
                model.forward(index, block, rows: batch.rowCount, positions: positions.baseAddress!) {
                    model.attention.forward(block, batch: batch)
                }
            }
        }
    }

    /// Clips the global gradient norm, then one step of AdamW (weight decay on every tensor), then clears the
    /// gradients.
    /// - Returns: the gradient norm before clipping. When it is not finite nothing was learned: weights, moments and
    ///   `updateCount` are as before, the gradients are cleared, and the caller decides what to do about it.
    package func update(learningRate: Double) -> Double {
        let norm = gradientNorm()
        guard norm.isFinite else {
            clearGradients()
            return norm
        }
        updateCount += 1
        let clipped = options.gradientClip > 0 && norm > options.gradientClip
        let step = adamw_step(
            gradient_scale: Float(clipped ? options.gradientClip / norm : 1), beta1: Float(options.beta1),
            beta2: Float(options.beta2), epsilon: Float(options.epsilon),
            keep: Float(1 - learningRate * options.weightDecay),
            step_size: Float(learningRate / (1 - repeated(options.beta1, updateCount))),
            second_scale: Float(1 / (1 - repeated(options.beta2, updateCount)).squareRoot()))
        state.update(
            trained.weights(of: model), trained.gradients, step: step, updateCount: updateCount,
            threads: model.threads)
        adapters?.merge(into: model.parameters, threads: model.threads)
        model.parameters.changed()
        return norm
    }

    /// base^count by multiplications alone: the same bits with every C library.
    private func repeated(_ base: Double, _ count: Int) -> Double {
        var (result, square, left) = (1.0, base, count)
        while left > 0 {
            if left & 1 == 1 { result *= square }
            square *= square
            left >>= 1
        }
        return result
    }

    private func gradientNorm() -> Double {
        let (count, gradients) = (trained.count, trained.gradients)
        let parts = (count + OptimizerState.partSize - 1) / OptimizerState.partSize
        let sums = [Double](unsafeUninitializedCapacity: parts) { sums, initialized in
            let sums = sums.baseAddress!
            model.threads.parallel(parts) { part in
                let at = part * OptimizerState.partSize
                sums[part] = sum_of_squares(gradients + at, Int64(min(OptimizerState.partSize, count - at)))
            }
            initialized = parts
        }
        return sums.reduce(0, +).squareRoot()
    }
}
