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

/// How long the packed copy of a matrix lives.
package enum PackedCopies: Sendable {
    /// Until the weights change: two bytes a weight, and nothing to do for a product of few rows.
    case kept
    /// For one product, unless a kept one is there: no memory to speak of, and with a thousand rows 2 % of the time.
    case passing
}

/// The bfloat16 copies of one `Parameters`' matrices, shared by all models over it: packed when first used, and again
/// after a change. One for each direction in use; only training uses `.backward`.
final class PackedParameters {
    private struct Key: Hashable {
        var offset: Int
        var direction: PackedWeights.Direction
    }
    private var packed: [Key: PackedWeights] = [:]
    private let passing = FloatBuffer(count: 0)

    /// Packs a matrix of bfloat16 for forward products.
    func fill(_ matrix: MatrixPlace, from numbers: UnsafePointer<UInt16>, version: UInt64, threads: ThreadPool) {
        let key = Key(offset: matrix.offset, direction: .forward)
        let weights = packed[key]
            ?? PackedWeights(outputs: matrix.outputs, inputs: matrix.inputs, direction: .forward)
        packed[key] = weights
        weights.update(fromBFloat16: numbers, version: version, threads: threads)
    }

    /// - Returns: passing copies are good until the next call.
    func weights(
        _ linear: Linear, _ direction: PackedWeights.Direction, of parameters: Parameters, _ copies: PackedCopies,
        threads: ThreadPool
    ) -> PackedWeights {
        let key = Key(offset: linear.weight - UnsafePointer(parameters.base), direction: direction)
        if let found = packed[key], found.version == parameters.revision { return found }
        precondition(
            parameters.isWhole, "PackedParameters: a set for sampling has no \(direction) weights at \(key.offset)")
        let weights: PackedWeights
        switch copies {
        case .kept:
            weights = packed[key]
                ?? PackedWeights(outputs: linear.outputs, inputs: linear.inputs, direction: direction)
            packed[key] = weights
        case .passing:
            weights = PackedWeights(
                outputs: linear.outputs, inputs: linear.inputs, direction: direction, in: passing)
        }
        weights.update(from: linear.weight, version: parameters.revision, threads: threads)
        return weights
    }
}

/// One model's products in exact arithmetic. One owner, as the model.
final class ExactProducts {
    let kernel: ExactKernel
    private let parameters: Parameters
    private let copies: PackedCopies
    private let workspace = ExactWorkspace()

    init(kernel: ExactKernel, parameters: Parameters, copies: PackedCopies) {
        self.kernel = kernel
        self.parameters = parameters
        self.copies = copies
    }

    private func packed(
        _ linear: Linear, _ direction: PackedWeights.Direction, _ threads: ThreadPool
    ) -> PackedWeights {
        parameters.packed.weights(linear, direction, of: parameters, copies, threads: threads)
    }

    func forward(
        _ linear: Linear, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, rows: Int, adding: Bool,
        threads: ThreadPool
    ) {
        exact(linear).forward(
            x, packed(linear, .forward, threads), into: y, rows: rows, adding: adding, workspace: workspace,
            threads: threads)
    }

    func inputGradient(
        _ linear: Linear, _ dy: UnsafePointer<Float>, into dx: UnsafeMutablePointer<Float>, rows: Int,
        threads: ThreadPool
    ) {
        exact(linear).inputGradient(
            dy, packed(linear, .backward, threads), into: dx, rows: rows, workspace: workspace, threads: threads)
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
