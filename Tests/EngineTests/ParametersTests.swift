// Are parameters laid out and initialized as promised?
import CKernels
import Engine
import Foundation
import Rollouts
import Testing
import Weights

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

@Suite struct MasterPlacementTests {
    private let config = ModelConfig(
        family: .llama, vocabularySize: 64, hiddenSize: 32, layerCount: 1, headCount: 2, keyValueHeadCount: 1,
        headDimension: 16, intermediateSize: 48, rmsEpsilon: 1e-5, rotaryBase: 10_000, rotaryScaling: nil,
        contextTokens: 16, tiedEmbeddings: true)

    private func rounded(_ seed: UInt64) -> Parameters {
        let parameters = Parameters(config: config)
        parameters.initializeRandom(seed: seed, standardDeviation: 0.05)
        let special: [Float] = [0, -0.0, .infinity, -.infinity, 1, -1, 0.5, 0x1p-110, 0x1.fep127]
        for (index, value) in special.enumerated() { parameters.all[index] = value }
        parameters.round(to: .bfloat16)
        return parameters
    }

    @Test func `spread masters round to the policy they came from, on any number of threads`() {
        let (policy, spread, other) = (rounded(1), rounded(1), rounded(1))
        spread.spread(within: .bfloat16, seed: 5, threads: ThreadPool(threadCount: 2))
        other.spread(within: .bfloat16, seed: 5, threads: ThreadPool(threadCount: 1))
        #expect(zip(spread.values, other.values).allSatisfy { $0.bitPattern == $1.bitPattern })
        #expect(zip(spread.values, policy.values).count { $0 != $1 } > policy.count * 9 / 10)
        spread.round(to: .bfloat16)
        #expect(zip(spread.values, policy.values).allSatisfy { $0.bitPattern == $1.bitPattern })
    }

    @Test func `masters that were never rounded are left where they are`() {
        let (whole, spread) = (Parameters(config: config), Parameters(config: config))
        for parameters in [whole, spread] { parameters.initializeRandom(seed: 3, standardDeviation: 0.05) }
        spread.spread(within: .bfloat16, seed: 5, threads: ThreadPool(threadCount: 1))
        #expect(zip(spread.values, whole.values).count { $0 != $1 } < whole.count / 1000)
    }

    /// A step of a hundredth of the spacing moves no number that is in the middle of its cell, and by one spacing each
    /// hundredth of those that are anywhere in it: on the average by what it is. 5,000 numbers: deviation of 0.14 of it.
    @Test func `small updates show in the rounded weights at once, at their own size`() {
        let (middle, spread) = (rounded(2), rounded(2))
        spread.spread(within: .bfloat16, seed: 9, threads: ThreadPool(threadCount: 1))
        let before = Array(middle.values)
        for parameters in [middle, spread] {
            let all = parameters.all
            for index in all.indices { all[index] += abs(before[index]) * 0x1p-7 * 0.01 }
            parameters.round(to: .bfloat16)
        }
        let moved = { (parameters: Parameters) in
            var (sum, wanted) = (0.0, 0.0)
            for index in 20..<(64 * 32) {
                sum += Double(parameters.values[index] - before[index])
                wanted += Double(abs(before[index])) * 0x1p-7 * 0.01
            }
            return sum / wanted
        }
        #expect(moved(middle) == 0)
        #expect(abs(moved(spread) - 1) < 0.8)
    }
}
