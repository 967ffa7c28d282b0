// How does a GGUF file say that rotary frequencies follow Llama 3's scaling? By the divisor of each frequency, in the
// tensor `rope_freqs.weight`.

import Foundation

enum RotaryFactors {
    /// The settings that Llama 3.1 and 3.3 (factor 8) and Llama 3.2 (factor 32) were published with.
    static let published: [RotaryScaling] = [8, 32].map {
        .llama3(factor: $0, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextTokens: 8192)
    }

    /// Divisors of the D/2 rotary frequencies base^(-2i/D): 1 for short waves, `factor` for waves longer than the
    /// original context allows, and in between a blend. Source: Hugging Face transformers, `modeling_rope_utils.py`,
    /// `llama3`.
    static func divisors(
        base: Double, headDimension: Int, factor: Double, low: Double, high: Double, originalContextTokens: Int
    ) -> [Double] {
        (0..<headDimension / 2).map { index in
            let frequency = pow(base, -Double(2 * index) / Double(headDimension))
            let turns = Double(originalContextTokens) * frequency / (2 * Double.pi)
            if turns > high { return 1 }
            if turns < low { return factor }
            let blend = (turns - low) / (high - low)
            return 1 / ((1 - blend) / factor + blend)
        }
    }

    /// As the tensor; nil for scalings that GGUF files say in their metadata.
    static func tensor(_ scaling: RotaryScaling, base: Double, headDimension: Int) -> [Float]? {
        guard case .llama3(let factor, let low, let high, let context) = scaling else { return nil }
        return divisors(
            base: base, headDimension: headDimension, factor: factor, low: low, high: high,
            originalContextTokens: context
        ).map { Float($0) }
    }

    /// Which scaling the tensor stands for.
    /// - Returns: nil when every divisor is 1, which changes nothing.
    static func recognize(
        _ divisors: [Float], base: Double, headDimension: Int, file: String
    ) throws(WeightsError) -> RotaryScaling? {
        let tolerance: Float = 1e-4
        func matches(_ candidate: [Float]) -> Bool {
            candidate.count == divisors.count
                && zip(candidate, divisors).allSatisfy { abs($0 - $1) <= tolerance * abs($0) }
        }
        if matches(divisors.map { _ in 1 }) { return nil }
        for scaling in published {
            if let candidate = tensor(scaling, base: base, headDimension: headDimension), matches(candidate) {
                return scaling
            }
        }
        throw WeightsError(
            file: file, subject: "tensor `\(GGUFNaming.rotaryFactors)`",
            found: "frequency divisors \(divisors.prefix(3)) to \(divisors.last ?? 0)",
            expected: "those of Llama 3.1 (factor 8) or 3.2 (factor 32)",
            advice: "open the model's Hugging Face folder, whose config.json states the scaling")
    }
}

extension RotaryScaling {
    /// What YaRN multiplies queries and keys by where nothing else is said. Source: arXiv:2309.00071, section 3.4.
    static func yarnAttentionFactor(_ factor: Double) -> Double { factor <= 1 ? 1 : 0.1 * log(factor) + 1 }
}
