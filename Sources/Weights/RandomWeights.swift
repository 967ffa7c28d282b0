// What a model starts from when no file gives it weights.

import CKernels
import Rollouts

package enum RandomWeights {
    /// Matrices N(0, deviation²), norms 1, biases 0: a function of the seed and each element's place alone.
    /// - Parameter parameters: all tensors of the config back to back, in its order.
    package static func fill(
        _ parameters: UnsafeMutableBufferPointer<Float>, config: ModelConfig, seed: UInt64, standardDeviation: Float
    ) {
        precondition(parameters.count == config.tensors.reduce(0) { $0 + $1.elementCount }, "room for other tensors")
        var offset = 0
        for (index, tensor) in config.tensors.enumerated() {
            let values = UnsafeMutableBufferPointer(rebasing: parameters[offset..<offset + tensor.elementCount])
            if tensor.dimensions.count == 1 {
                values.update(repeating: tensor.name.hasSuffix(".bias") ? 0 : 1)
            } else if let base = values.baseAddress {
                let tagged = UInt64(index) | UInt64(KeyedRandom.Use.initialisation.rawValue) << 56
                normal_fill(base, 0, Int64(values.count), seed, tagged, standardDeviation)
            }
            offset += tensor.elementCount
        }
    }
}
