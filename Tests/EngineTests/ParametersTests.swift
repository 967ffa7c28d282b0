// Are parameters laid out and initialized as promised?
import CKernels
import Engine
import Foundation
import Rollouts
import Testing

@Suite struct ParametersTests {
    @Test(arguments: oddModels.indices) func `slices follow each other in the order of the config`(_ index: Int) {
        let config = oddModels[index]
        let parameters = Parameters(config: config)
        var offset = 0
        for (index, tensor) in config.tensors.enumerated() {
            let slice = parameters.slice(at: index)
            #expect(slice.baseAddress! - parameters.all.baseAddress! == offset)
            #expect(slice.count == tensor.elementCount)
            #expect(parameters[tensor.name].baseAddress == slice.baseAddress)
            offset += slice.count
        }
        #expect(parameters.count == offset && parameters.all.allSatisfy { $0 == 0 })
    }

    /// Own logarithm, sine and cosine against libm: float32 results of the same double formula, 1e-6.
    @Test func `initial weights are Box–Muller of keyed uniforms`() {
        let config = oddModels[1]
        let parameters = Parameters(config: config)
        parameters.initializeRandom(seed: 77, standardDeviation: 0.02)
        for (index, tensor) in config.tensors.enumerated() {
            let values = parameters.slice(at: index)
            if tensor.name.hasSuffix("norm.weight") {
                #expect(values.allSatisfy { $0 == 1 })
            } else if tensor.name.hasSuffix("bias") {
                #expect(values.allSatisfy { $0 == 0 })
            } else {
                let expected = values.indices.map { i in
                    let pair = UInt64(i) / 2 * 2
                    let u = KeyedRandom.uniform(seed: 77, use: .initialisation, UInt64(index), pair)
                    let w = KeyedRandom.uniform(seed: 77, use: .initialisation, UInt64(index), pair + 1)
                    let turn = i % 2 == 0 ? cos(2 * Double.pi * w) : sin(2 * Double.pi * w)
                    return Float(0.02 * (-2 * log(1 - u)).squareRoot() * turn)
                }
                #expect(largestDifference(values, expected) <= 1e-8, "\(tensor.name)")
            }
        }
    }

    /// 20,000 numbers: the mean's standard error is 0.007, the deviation's 0.005; five of them fail a right
    /// implementation less than once in a million seeds, and this seed is fixed.
    @Test func `initial weights have the wanted deviation`() {
        var values = [Float](repeating: 0, count: 20_001)
        normal_fill(&values, 0, 20_001, 3, 9, 1)
        let mean = values.reduce(0, +) / 20_001
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 20_001
        #expect(abs(mean) < 0.035 && abs(variance.squareRoot() - 1) < 0.025)
        var tail = [Float](repeating: 0, count: 1)
        normal_fill(&tail, 20_000, 20_001, 3, 9, 1)
        #expect(tail[0] == values[20_000])
    }

    @Test func `keyed bits in C equal those in Swift`() {
        for (seed, a, b) in [(UInt64(1), UInt64(0), UInt64(0)), (.max, (1 << 56) - 1, .max), (7, 123_456, 1 << 40)] {
            let tagged = a | UInt64(KeyedRandom.Use.initialisation.rawValue) << 56
            #expect(keyed_bits(seed, tagged, b) == KeyedRandom.bits(seed: seed, use: .initialisation, a, b))
        }
    }
}
