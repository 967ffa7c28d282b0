// What AdamW remembers of each weight, in one of three precisions, and the pass that uses it.
import CKernels
import Rollouts
import Weights

/// The two moments of a flat list of weights.
package final class OptimizerState {
    package let kind: OptimizerOptions.State
    package let count: Int
    private let first: FloatBuffer
    private let second: FloatBuffer
    /// 8 bits: exponents of blocks of `ADAMW_BLOCK` weights, the first moment's, then the second's.
    private let exponents: FloatBuffer

    /// Elements of one part of an update: fixed, so neither the gradient norm nor the noise of rounding depends on the
    /// number of threads.
    static let partSize = 1 << 16

    /// Zeros.
    package init(_ kind: OptimizerOptions.State, count: Int) {
        self.kind = kind
        self.count = count
        let (weightsAFloat, blocks) = switch kind {
        case .float32: (1, 0)
        case .bfloat16: (2, 0)
        case .eightBit: (4, OptimizerState.blockCount(count))
        }
        first = FloatBuffer(count: (count + weightsAFloat - 1) / weightsAFloat)
        second = FloatBuffer(count: (count + weightsAFloat - 1) / weightsAFloat)
        exponents = FloatBuffer(count: (2 * blocks + 3) / 4)
    }

    package var memoryBytes: Int {
        (first.count + second.count + exponents.count) * MemoryLayout<Float>.stride
    }

    /// All of it, as it is written to disk: in 32 and 16 bits by the weights' tensors, in 8 bits as a whole, since
    /// blocks do not end where tensors do.
    /// - Parameter shapes: the weights, in their order.
    package func tensors(of shapes: [TensorShape]) -> [StateTensor] {
        precondition(
            shapes.reduce(0) { $0 + $1.elementCount } == count, "OptimizerState: \(count) weights, shapes of others")
        let moments = [("first_moment", first), ("second_moment", second)]
        if kind == .eightBit {
            let blocks = OptimizerState.blockCount(count)
            let exponents = UnsafeMutableRawPointer(self.exponents.base)
            return moments.enumerated().flatMap { index, moment in
                [
                    StateTensor(
                        TensorShape("\(moment.0).codes", [count]), .byte,
                        UnsafeMutableRawBufferPointer(start: moment.1.base, count: count)),
                    StateTensor(
                        TensorShape("\(moment.0).exponents", [blocks]), .byte,
                        UnsafeMutableRawBufferPointer(start: exponents + index * blocks, count: blocks)),
                ]
            }
        }
        let (element, size) = kind == .float32 ? (StateTensor.Element.float32, 4) : (.bfloat16, 2)
        return moments.flatMap { name, moment in
            var start = UnsafeMutableRawPointer(moment.base)
            return shapes.map { shape in
                let bytes = UnsafeMutableRawBufferPointer(start: start, count: shape.elementCount * size)
                start += bytes.count
                return StateTensor(TensorShape("\(name).\(shape.name)", shape.dimensions), element, bytes)
            }
        }
    }

    /// One step of AdamW over all weights; clears the gradients.
    /// - Parameter updateCount: of this update; with the element's index it decides the noise of rounding.
    package func update(
        _ weights: UnsafeMutablePointer<Float>, _ gradients: UnsafeMutablePointer<Float>, step: adamw_step,
        updateCount: Int, threads: ThreadPool
    ) {
        let size = OptimizerState.partSize
        var step = step
        withUnsafePointer(to: &step) { step in
            threads.parallel((count + size - 1) / size) { part in
                let at = part * size
                let length = Int64(min(size, count - at))
                switch kind {
                case .float32:
                    adamw_update(weights + at, gradients + at, first.base + at, second.base + at, length, step)
                case .bfloat16:
                    adamw_update_bf16(
                        weights + at, gradients + at, half(first) + at, half(second) + at, length, step,
                        OptimizerState.key(updateCount, part))
                case .eightBit:
                    let block = at / Int(ADAMW_BLOCK)
                    adamw_update_8bit(
                        weights + at, gradients + at, byte(first) + at, byte(second) + at, byte(exponents) + block,
                        byte(exponents) + OptimizerState.blockCount(count) + block, length, step,
                        OptimizerState.key(updateCount, part))
                }
            }
        }
    }

    /// Independent of the run's seed: rounding needs noise, not secrets.
    private static func key(_ updateCount: Int, _ part: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: KeyedRandom.bits(seed: 0, use: .rounding, UInt64(updateCount), UInt64(part)))
    }

    private static func blockCount(_ count: Int) -> Int { (count + Int(ADAMW_BLOCK) - 1) / Int(ADAMW_BLOCK) }

    // Only C kernels and disk read and write this memory, whatever its type is called.
    private func half(_ buffer: FloatBuffer) -> UnsafeMutablePointer<UInt16> {
        UnsafeMutableRawPointer(buffer.base).assumingMemoryBound(to: UInt16.self)
    }
    private func byte(_ buffer: FloatBuffer) -> UnsafeMutablePointer<UInt8> {
        UnsafeMutableRawPointer(buffer.base).assumingMemoryBound(to: UInt8.self)
    }
}
