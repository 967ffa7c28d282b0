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

    /// Rows of a matrix that a passing copy holds at most.
    private static let passingRows = 8192

    /// Calls `body` with the packed matrix, or with one after another of its parts and the first row of each.
    func eachPart(
        of linear: Linear, _ direction: PackedWeights.Direction, of parameters: Parameters, _ copies: PackedCopies,
        threads: ThreadPool, _ body: (PackedWeights, Int) -> Void
    ) {
        let key = Key(offset: linear.weight - UnsafePointer(parameters.base), direction: direction)
        if let found = packed[key], found.version == parameters.revision { return body(found, 0) }
        precondition(
            parameters.isWhole, "PackedParameters: a set for sampling has no \(direction) weights at \(key.offset)")
        switch copies {
        case .kept:
            let weights = packed[key]
                ?? PackedWeights(outputs: linear.outputs, inputs: linear.inputs, direction: direction)
            packed[key] = weights
            weights.update(from: linear.weight, version: parameters.revision, threads: threads)
            body(weights, 0)
        case .passing:
            for first in stride(from: 0, to: linear.outputs, by: Self.passingRows) {
                let weights = PackedWeights(
                    outputs: min(Self.passingRows, linear.outputs - first), inputs: linear.inputs,
                    direction: direction, in: passing)
                weights.update(
                    from: linear.weight + first * linear.inputs, version: parameters.revision, threads: threads)
                body(weights, first)
            }
        }
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

    func forward(
        _ linear: Linear, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, rows: Int, adding: Bool,
        threads: ThreadPool
    ) {
        parameters.packed.eachPart(of: linear, .forward, of: parameters, copies, threads: threads) { weights, first in
            exact(linear).forward(
                x, weights, from: first, into: y, rows: rows, adding: adding, workspace: workspace, threads: threads)
        }
    }

    func inputGradient(
        _ linear: Linear, _ dy: UnsafePointer<Float>, into dx: UnsafeMutablePointer<Float>, rows: Int,
        threads: ThreadPool
    ) {
        parameters.packed.eachPart(of: linear, .backward, of: parameters, copies, threads: threads) { weights, first in
            exact(linear).inputGradient(
                dy, weights, from: first, into: dx, rows: rows, workspace: workspace, threads: threads)
        }
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
