// Where the weights of one linear layer lie while kernels read them: bfloat16, in panels of 32 outputs.
import CKernels

/// W (outputs, inputs) packed for one direction, shared by every kernel and any number of rows. Two bytes a weight,
/// outputs rounded up to 32 and the other dimension to 2.
/// One owner: packed and read from one thread at a time, apart from the parts of one computation.
package final class PackedWeights {
    package enum Direction: Sendable {
        /// y (rows, outputs) = x·Wᵀ, summed over inputs.
        case forward
        /// dx (rows, inputs) = dy·W, summed over outputs.
        case backward
    }

    package let outputs: Int
    package let inputs: Int
    package let direction: Direction
    /// Of what is packed; nil before the first time.
    package private(set) var version: UInt64?
    private let buffer: FloatBuffer

    package convenience init(outputs: Int, inputs: Int, direction: Direction) {
        self.init(outputs: outputs, inputs: inputs, direction: direction, in: FloatBuffer(count: 0))
    }

    /// - Parameter buffer: grows as needed; whoever packs into it next ends the use of this copy.
    init(outputs: Int, inputs: Int, direction: Direction, in buffer: FloatBuffer) {
        precondition(outputs > 0 && inputs > 0, "PackedWeights: \(outputs) outputs of \(inputs) inputs")
        self.outputs = outputs
        self.inputs = inputs
        self.direction = direction
        self.buffer = buffer
        let (columns, reduction) = direction == .forward ? (outputs, inputs) : (inputs, outputs)
        _ = buffer.reserve(Int(matmul_bf16_weight_words(Int64(columns), Int64(reduction))))
    }

    package var memoryBytes: Int { buffer.count * MemoryLayout<UInt32>.stride }

    /// Elements of one result row, and how many terms each sums.
    var columns: Int { direction == .forward ? outputs : inputs }
    var reduction: Int { direction == .forward ? inputs : outputs }
    var operand: PackedOperand {
        PackedOperand(words: UnsafePointer(buffer.words), columns: columns, reduction: reduction)
    }

    /// Packs `weight` (outputs, inputs), rounded to nearest even, unless this version is packed already.
    package func update(from weight: UnsafePointer<Float>, version: UInt64, threads: ThreadPool) {
        pack(version, threads) { words, range in
            switch direction {
            case .forward:
                matmul_bf16_pack_weights(
                    words, weight, Int64(inputs), Int64(outputs), Int64(inputs), range.lowerBound, range.upperBound)
            case .backward:
                matmul_bf16_pack_transposed(
                    words, weight, Int64(inputs), Int64(inputs), Int64(outputs), range.lowerBound, range.upperBound)
            }
        }
    }

    /// The same of weights that are bfloat16 bits already.
    package func update(fromBFloat16 weight: UnsafePointer<UInt16>, version: UInt64, threads: ThreadPool) {
        pack(version, threads) { words, range in
            switch direction {
            case .forward:
                matmul_bf16_pack_weights_bf16(
                    words, weight, Int64(inputs), Int64(outputs), Int64(inputs), range.lowerBound, range.upperBound)
            case .backward:
                matmul_bf16_pack_transposed_bf16(
                    words, weight, Int64(inputs), Int64(inputs), Int64(outputs), range.lowerBound, range.upperBound)
            }
        }
    }

    /// Ranges of panels going forward, of pairs going backward: each reads rows of W that lie together.
    private func pack(
        _ version: UInt64, _ threads: ThreadPool, _ part: (UnsafeMutablePointer<UInt32>, Range<Int64>) -> Void
    ) {
        guard self.version != version else { return }
        let words = buffer.words
        let count = Int(
            direction == .forward ? matmul_bf16_panels(Int64(outputs)) : matmul_bf16_pairs(Int64(outputs)))
        let parts = min(count, threads.threadCount * 4)
        threads.parallel(parts) { index in
            part(words, Int64(count * index / parts)..<Int64(count * (index + 1) / parts))
        }
        self.version = version
    }
}

/// A packed second operand: `columns` results a row, each a sum of `reduction` terms.
struct PackedOperand {
    let words: UnsafePointer<UInt32>
    let columns: Int
    let reduction: Int
}

extension FloatBuffer {
    /// The same memory as 32-bit words, which only C kernels read and write.
    var words: UnsafeMutablePointer<UInt32> { UnsafeMutableRawPointer(base).assumingMemoryBound(to: UInt32.self) }
}
