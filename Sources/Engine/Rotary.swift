// How far each position turns queries and keys: powers and logarithms of our own, the same on every processor.
import CKernels
import Glibc
import Weights

/// Rotary frequencies of a model. Source for the scalings: Hugging Face transformers, `modeling_rope_utils.py`.
package struct RotaryFrequencies: Equatable {
    /// Radians per position for each pair of a head, head dimension / 2 of them.
    package var frequencies: [Double]
    /// Multiplies cosines and sines; 1 except for YaRN.
    package var scale = 1.0

    package init(config: ModelConfig) {
        let dimension = config.headDimension
        let plain = (0..<(dimension / 2)).map { exact_power(config.rotaryBase, -Double(2 * $0) / Double(dimension)) }
        switch config.rotaryScaling {
        case nil:
            frequencies = plain
        case .linear(let factor):
            frequencies = plain.map { $0 / factor }
        case .llama3(let factor, let low, let high, let original):
            frequencies = plain.map { RotaryFrequencies.llama3($0, factor, low, high, Double(original)) }
        case .yarn(let factor, let fast, let slow, let original, let attentionFactor):
            scale = attentionFactor ?? (factor > 1 ? 0.1 * exact_log(factor) + 1 : 1)
            let pair = { (rotations: Double) in
                Double(dimension) * exact_log(Double(original) / (rotations * 2 * Double.pi))
                    / (2 * exact_log(config.rotaryBase))
            }
            let first = max(floor(pair(fast)), 0)
            var last = min(ceil(pair(slow)), Double(dimension - 1))
            if first == last { last += 0.001 }
            frequencies = plain.enumerated().map { index, frequency in
                let ramp = min(max((Double(index) - first) / (last - first), 0), 1)
                return frequency / factor * ramp + frequency * (1 - ramp)
            }
        }
    }

    /// Long waves are stretched by `factor`, short ones kept, those between blended.
    private static func llama3(
        _ frequency: Double, _ factor: Double, _ low: Double, _ high: Double, _ original: Double
    ) -> Double {
        let wavelength = 2 * Double.pi / frequency
        if wavelength < original / high { return frequency }
        if wavelength > original / low { return frequency / factor }
        let smooth = (original / wavelength - low) / (high - low)
        return (1 - smooth) * frequency / factor + smooth * frequency
    }
}

/// Cosines and sines by position, made when first needed: a model may allow far longer contexts than a run uses.
final class RotaryTable {
    private let frequencies: RotaryFrequencies
    private var positions = 0
    private var values = FloatBuffer(count: 0)

    init(config: ModelConfig) { frequencies = RotaryFrequencies(config: config) }

    private var half: Int { frequencies.frequencies.count }

    /// Turns `heads` heads at the start of each row by its position; `direction` −1 is the backward pass.
    func apply(
        _ x: UnsafeMutablePointer<Float>, stride: Int, positions: UnsafePointer<Int32>, rows: Range<Int>, heads: Int,
        direction: Float
    ) {
        rotary_apply(
            x + rows.lowerBound * stride, Int64(stride), positions + rows.lowerBound, values.base,
            values.base + self.positions * half, Int64(rows.count), Int64(heads), Int64(half), direction)
    }

    /// Must be called for the largest position + 1 before `apply`.
    func reserve(_ count: Int) {
        guard count > positions else { return }
        positions = max(count, 2 * positions, 256)
        let cosines = values.reserve(2 * positions * half)
        rotary_table(
            cosines, cosines + positions * half, frequencies.frequencies, frequencies.scale, Int64(half), 0,
            Int64(positions))
    }
}
