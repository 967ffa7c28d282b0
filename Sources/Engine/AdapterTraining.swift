// How low-rank adapters learn: their values, their gradients, and what an update does to the adapted weights.
import CKernels
import Rollouts
import Weights

/// Adapters over a frozen base. The model computes with W' = W + s·B·A, merged once per update by the function every
/// holder of the weights merges by; so forward passes know nothing of adapters, and learner and sampler have the same
/// bits. Backward, ∂loss/∂W' is never made: with u = s·x·Aᵀ and t = s·dy·B, both (rows, rank), dB += dyᵀ·u and
/// dA += tᵀ·x. In real arithmetic that is the chain rule's s·∂W'·Aᵀ and s·Bᵀ·∂W', at 2·rank·(inputs + outputs) instead
/// of inputs·outputs multiplications a row. All four products are made in the model's own arithmetic. The rounding of
/// W' to bfloat16 is passed straight through, as that of all weights is.
package final class AdapterTraining {
    /// Dense layers of a block as the engine computes them; the first and third are several modules side by side.
    enum Matrix: Int, CaseIterable {
        case projections, output, gateUp, down
    }

    package let layout: AdapterLayout
    package let base: BaseWeights
    private let valueBuffer: FloatBuffer
    private let gradientBuffer: FloatBuffer
    private let scratch = FloatBuffer(count: 0)
    /// By layer and matrix; nil where nothing is adapted.
    private let groups: [AdapterLayout.Group?]
    private let config: ModelConfig
    private let exact: Exact?
    /// Changes with the values: what was packed of an older revision is stale.
    private var revision: UInt64 = 1

    /// Copies of the two matrices as exact products want them, by offset.
    private final class Exact {
        let kernel: ExactKernel
        let workspace = ExactWorkspace()
        var packed: [Int: PackedWeights] = [:]
        init(_ kernel: ExactKernel) { self.kernel = kernel }
    }

    /// Adapters are zeros until `values` are set.
    package init(layout: AdapterLayout, base: BaseWeights, config: ModelConfig, arithmetic: Arithmetic) {
        self.layout = layout
        self.base = base
        self.config = config
        valueBuffer = FloatBuffer(count: layout.elementCount)
        gradientBuffer = FloatBuffer(count: layout.elementCount)
        var groups = [AdapterLayout.Group?](repeating: nil, count: config.layerCount * Matrix.allCases.count)
        for group in layout.groups {
            groups[group.layer * Matrix.allCases.count + Matrix(group.modules[0].name).rawValue] = group
        }
        self.groups = groups
        switch arithmetic {
        case .float32: exact = nil
        case .exact(let kernel): exact = Exact(kernel)
        }
    }

    /// In the layout's order. For writing too: then `merge` brings the model up to date.
    package var values: UnsafeMutableBufferPointer<Float> { valueBuffer.all }
    /// Sums since the last update.
    package var gradients: UnsafeMutableBufferPointer<Float> { gradientBuffer.all }

    /// Makes `parameters` what the values are now. Everything without an adapter must be the base's already.
    package func merge(into parameters: Parameters, threads: ThreadPool) {
        revision += 1
        base.mergeAgain(UnsafeBufferPointer(values), layout, into: parameters.all) { count, body in
            threads.parallel(count, body)
        }
    }

    /// Adds what `rows` rows of one dense layer contribute.
    /// - Parameters:
    ///   - dy: (rows, outputs of the whole matrix)
    ///   - x: (rows, inputs)
    func addGradient(
        layer: Int, _ matrix: Matrix, _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>, rows: Int,
        threads: ThreadPool
    ) {
        guard rows > 0, let group = groups[layer * Matrix.allCases.count + matrix.rawValue] else { return }
        let rank = layout.options.rank
        let modules = group.modules
        let wide = modules.count * rank
        let inputs = modules[0].inputs
        let width = matrix.width(config)
        let widest = modules.map(\.outputs).max()!
        // u and t of all modules side by side, u and t of one, and one module's part of dy.
        let u = scratch.reserve(rows * (2 * wide + 2 * rank + widest))
        let t = u + rows * wide
        let (ownU, ownT) = (t + rows * wide, t + rows * (wide + rank))
        let ownDy = ownT + rows * rank

        let stack = product(modules[0].a, outputs: wide, inputs: inputs)
        forward(stack, x, into: u, rows: rows, threads: threads)
        for (index, module) in modules.enumerated() {
            let b = product(module.b, outputs: module.outputs, inputs: rank)
            let start = matrix.start(of: module.name, config)
            var part = dy
            if module.outputs != width {
                copy(ownDy, module.outputs, dy + start, width, rows, module.outputs, 1, threads)
                part = UnsafePointer(ownDy)
            }
            copy(ownU, rank, u + index * rank, wide, rows, rank, layout.scale, threads)
            backwardWeight(b, part, ownU, into: module.b, rows: rows, threads: threads)
            backwardInput(b, part, into: ownT, rows: rows, threads: threads)
            copy(t + index * rank, wide, ownT, rank, rows, rank, layout.scale, threads)
        }
        backwardWeight(stack, t, x, into: modules[0].a, rows: rows, threads: threads)
    }

    private func copy(
        _ y: UnsafeMutablePointer<Float>, _ yStride: Int, _ x: UnsafePointer<Float>, _ xStride: Int, _ rows: Int,
        _ width: Int, _ scale: Float, _ threads: ThreadPool
    ) {
        threads.parallelRows(rows, width: width) { range in
            rows_scale(
                y + range.lowerBound * yStride, Int64(yStride), x + range.lowerBound * xStride, Int64(xStride),
                Int64(range.count), Int64(width), scale)
        }
    }

    // MARK: products in the model's arithmetic

    /// A matrix (outputs, inputs) at an offset of the values.
    private struct Product {
        var offset, outputs, inputs: Int
    }

    private func product(_ offset: Int, outputs: Int, inputs: Int) -> Product {
        Product(offset: offset, outputs: outputs, inputs: inputs)
    }

    private func linear(_ product: Product) -> Linear {
        Linear(
            weight: UnsafePointer(valueBuffer.base) + product.offset, outputs: product.outputs,
            inputs: product.inputs)
    }

    private func forward(
        _ product: Product, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, rows: Int,
        threads: ThreadPool
    ) {
        guard let exact else { return linear(product).forward(x, into: y, rows: rows, threads: threads) }
        ExactLinear(kernel: exact.kernel, outputs: product.outputs, inputs: product.inputs).forward(
            x, packed(product, .forward, exact, threads), into: y, rows: rows, workspace: exact.workspace,
            threads: threads)
    }

    private func backwardInput(
        _ product: Product, _ dy: UnsafePointer<Float>, into dx: UnsafeMutablePointer<Float>, rows: Int,
        threads: ThreadPool
    ) {
        guard let exact else { return linear(product).backwardInput(dy, into: dx, rows: rows, threads: threads) }
        ExactLinear(kernel: exact.kernel, outputs: product.outputs, inputs: product.inputs).inputGradient(
            dy, packed(product, .backward, exact, threads), into: dx, rows: rows, workspace: exact.workspace,
            threads: threads)
    }

    private func backwardWeight(
        _ product: Product, _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>, into offset: Int, rows: Int,
        threads: ThreadPool
    ) {
        let into = gradientBuffer.base + offset
        guard let exact else {
            return linear(product).backwardWeight(dy, x, into: into, rows: rows, threads: threads)
        }
        ExactLinear(kernel: exact.kernel, outputs: product.outputs, inputs: product.inputs).weightGradient(
            dy, x, into: into, rows: rows, workspace: exact.workspace, threads: threads)
    }

    /// Each matrix is used in one direction only, so its offset names its packed copy.
    private func packed(
        _ product: Product, _ direction: PackedWeights.Direction, _ exact: Exact, _ threads: ThreadPool
    ) -> PackedWeights {
        let weights = exact.packed[product.offset]
            ?? PackedWeights(outputs: product.outputs, inputs: product.inputs, direction: direction)
        exact.packed[product.offset] = weights
        weights.update(from: valueBuffer.base + product.offset, version: revision, threads: threads)
        return weights
    }
}

extension AdapterTraining.Matrix {
    /// Which one holds a module.
    init(_ module: LoRAOptions.Module) {
        switch module {
        case .query, .key, .value: self = .projections
        case .output: self = .output
        case .gate, .up: self = .gateUp
        case .down: self = .down
        }
    }

    /// Outputs of the whole matrix.
    func width(_ config: ModelConfig) -> Int {
        switch self {
        case .projections: config.projectionSize
        case .output, .down: config.hiddenSize
        case .gateUp: 2 * config.intermediateSize
        }
    }

    /// Where a module's outputs begin in it.
    func start(of module: LoRAOptions.Module, _ config: ModelConfig) -> Int {
        switch module {
        case .query, .output, .gate, .down: 0
        case .key: config.headCount * config.headDimension
        case .value: (config.headCount + config.keyValueHeadCount) * config.headDimension
        case .up: config.intermediateSize
        }
    }
}

extension Linear {
    /// A float32 layer over weights that are no model's own.
    fileprivate init(weight: UnsafePointer<Float>, outputs: Int, inputs: Int) {
        self.weight = weight
        bias = nil
        self.outputs = outputs
        self.inputs = inputs
        exact = nil
    }
}
