// Which arithmetic a model computes its matrix products in, and where its packed weights live.
import Rollouts

package enum Arithmetic: Sendable {
    /// OpenBLAS: deterministic on one kind of processor.
    case float32
    /// bfloat16 operands in the order of matmul_bf16.h: the same bits for any batch, thread count and processor.
    case exact(ExactKernel)

    package init(_ precision: Precision) throws(KernelChoiceError) {
        switch precision {
        case .float32: self = .float32
        case .bfloat16: self = .exact(try KernelChoice.current.kernel)
        }
    }
}

/// The bfloat16 copies of one `Parameters`' matrices, shared by all models over it: packed when first used, and again
/// after a change. One for each direction in use; only training uses `.backward`.
final class PackedParameters {
    private struct Key: Hashable {
        var offset: Int
        var direction: PackedWeights.Direction
    }
    private var packed: [Key: PackedWeights] = [:]

    /// Packs a matrix of bfloat16 for forward products.
    func fill(_ matrix: MatrixPlace, from numbers: UnsafePointer<UInt16>, version: UInt64, threads: ThreadPool) {
        let key = Key(offset: matrix.offset, direction: .forward)
        let weights = packed[key]
            ?? PackedWeights(outputs: matrix.outputs, inputs: matrix.inputs, direction: .forward)
        packed[key] = weights
        weights.update(fromBFloat16: numbers, version: version, threads: threads)
    }

    func weights(
        _ linear: Linear, _ direction: PackedWeights.Direction, of parameters: Parameters, threads: ThreadPool
    ) -> PackedWeights {
        let key = Key(offset: linear.weight - UnsafePointer(parameters.base), direction: direction)
        let weights = packed[key]
            ?? PackedWeights(outputs: linear.outputs, inputs: linear.inputs, direction: direction)
        packed[key] = weights
        precondition(
            parameters.isWhole || weights.version == parameters.revision,
            "PackedParameters: a set for sampling has no \(direction) weights at \(key.offset)")
        weights.update(from: linear.weight, version: parameters.revision, threads: threads)
        return weights
    }
}

/// One model's products in exact arithmetic. One owner, as the model.
final class ExactProducts {
    let kernel: ExactKernel
    private let parameters: Parameters
    private let workspace = ExactWorkspace()

    init(kernel: ExactKernel, parameters: Parameters) {
        self.kernel = kernel
        self.parameters = parameters
    }

    func forward(
        _ linear: Linear, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, rows: Int, adding: Bool,
        threads: ThreadPool
    ) {
        exact(linear).forward(
            x, parameters.packed.weights(linear, .forward, of: parameters, threads: threads), into: y, rows: rows,
            adding: adding, workspace: workspace, threads: threads)
    }

    func inputGradient(
        _ linear: Linear, _ dy: UnsafePointer<Float>, into dx: UnsafeMutablePointer<Float>, rows: Int,
        threads: ThreadPool
    ) {
        exact(linear).inputGradient(
            dy, parameters.packed.weights(linear, .backward, of: parameters, threads: threads), into: dx, rows: rows,
            workspace: workspace, threads: threads)
    }

    func weightGradient(
        _ linear: Linear, _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>,
        into dWeight: UnsafeMutablePointer<Float>, rows: Int, threads: ThreadPool
    ) {
        exact(linear).weightGradient(dy, x, into: dWeight, rows: rows, workspace: workspace, threads: threads)
    }

    private func exact(_ linear: Linear) -> ExactLinear {
        ExactLinear(kernel: kernel, outputs: linear.outputs, inputs: linear.inputs)
    }
}
