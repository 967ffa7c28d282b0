// Are the scaled rotary frequencies those of Hugging Face transformers?
//
// The numbers come from a separate implementation of `modeling_rope_utils.py` in numpy, in double precision.
import CKernels
import Engine
import Foundation
import Testing
import Weights

@Suite struct RotaryTests {
    private func frequencies(_ base: Double, _ dimension: Int, _ scaling: RotaryScaling?) -> RotaryFrequencies {
        RotaryFrequencies(config: ModelConfig(
            family: .llama, vocabularySize: 8, hiddenSize: dimension, layerCount: 1, headCount: 1,
            keyValueHeadCount: 1, headDimension: dimension, intermediateSize: 8, rmsEpsilon: 1e-5, rotaryBase: base,
            rotaryScaling: scaling, contextTokens: 16, tiedEmbeddings: true))
    }

    private func equal(_ actual: RotaryFrequencies, _ expected: [Double]) -> Bool {
        actual.frequencies.count == expected.count
            && zip(actual.frequencies, expected).allSatisfy { abs($0 / $1 - 1) < 1e-9 }
    }

    @Test func `unscaled and linear`() {
        #expect(equal(frequencies(10000, 8, nil), [1, 0.1, 0.01, 0.001]))
        let linear = frequencies(10000, 8, .linear(factor: 2))
        #expect(equal(linear, [0.5, 0.05, 0.005, 0.0005]) && linear.scale == 1)
    }

    @Test func `llama3 keeps short waves, stretches long ones and blends between`() {
        let actual = frequencies(500_000, 16, .llama3(
            factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextTokens: 8192))
        #expect(equal(actual, [
            1, 0.19392274474869, 0.037606030930864, 0.0072926647372171,
            0.00052484616099295, 3.4281021959526e-05, 6.6478698711812e-06, 1.2891731721516e-06,
        ]))
    }

    /// Against the C library, which is right to a bit of a double: half a unit in the last place of a float.
    @Test func `the table holds cosines and sines`() {
        let frequencies = (0..<32).map { exact_power(10_000, -Double($0) / 32) }
        for (index, frequency) in frequencies.enumerated() {
            #expect(abs(frequency / pow(10_000, -Double(index) / 32) - 1) < 1e-13)
        }
        var cosines = [Float](repeating: 0, count: 3000 * 32)
        var sines = cosines
        rotary_table(&cosines, &sines, frequencies, 1, 32, 0, 3000)
        for position in stride(from: 0, to: 3000, by: 7) {
            for (index, frequency) in frequencies.enumerated() {
                let angle = Double(position) * frequency
                #expect(abs(Double(cosines[position * 32 + index]) - cos(angle)) <= 3e-8)
                #expect(abs(Double(sines[position * 32 + index]) - sin(angle)) <= 3e-8)
            }
        }
    }

    @Test func `YaRN ramps between interpolation and extrapolation`() {
        let scaling = { (factor: Double?) in
            RotaryScaling.yarn(
                factor: 4, betaFast: 32, betaSlow: 1, originalContextTokens: 2048, attentionFactor: factor)
        }
        let actual = frequencies(10000, 16, scaling(nil))
        #expect(equal(actual, [
            1, 0.31622776601684, 0.1, 0.025693505988868,
            0.00625, 0.0013834964763237, 0.00025, 7.9056941504209e-05,
        ]))
        #expect(abs(actual.scale - 1.138629436111989) < 1e-12)
        #expect(frequencies(10000, 16, scaling(0.5)).scale == 0.5)
    }
}
