// Which token a row of logits and a uniform number give, and how probable it was.
import CKernels
import Rollouts

package struct SampledToken: Equatable, Sendable {
    package var token: Int32
    /// Nats, under the distribution that was sampled: truncated and renormalised. 0 when greedy.
    package var sampledLogProb: Float
    /// Nats, under the untruncated distribution at the same temperature; at temperature 1 when greedy.
    package var policyLogProb: Float
    /// Nats, of the distribution of `policyLogProb`.
    package var entropy: Float

    package init(token: Int32, sampledLogProb: Float, policyLogProb: Float, entropy: Float) {
        self.token = token
        self.sampledLogProb = sampledLogProb
        self.policyLogProb = policyLogProb
        self.entropy = entropy
    }
}

package enum SamplingOutcome: Equatable, Sendable {
    case drawn(SampledToken)
    /// A logit is NaN or +inf (`token` is the first such), or all are −inf (`token` is nil): nothing was sampled.
    case notFinite(token: Int?)
}

/// Samples rows of logits with scratch memory of its own: one caller at a time.
///
/// A token is a pure function of (row, options, uniform) with the same bits on every instruction set; the rules of
/// truncation and the errors of the numbers stand in `sampling.h`. A logit of −inf is a token that is never sampled.
package final class Sampler {
    package enum InstructionSet: UInt32, CaseIterable, Sendable {
        case baseline = 0
        case avx2 = 1
        case avx512 = 2

        /// The fastest that this processor has; every lower one works too.
        package static var best: InstructionSet {
            InstructionSet(rawValue: UInt32(sampling_best_instruction_set().rawValue))!
        }
    }

    package let vocabularySize: Int
    package let instructionSet: InstructionSet
    private let scratch: UnsafeMutableRawPointer

    package init(vocabularySize: Int, instructionSet: InstructionSet = .best) {
        precondition(vocabularySize > 0 && vocabularySize <= Int32.max, "Sampler: vocabulary of \(vocabularySize)")
        precondition(
            instructionSet.rawValue <= InstructionSet.best.rawValue,
            "Sampler: this processor has no \(instructionSet), at most \(InstructionSet.best)")
        self.vocabularySize = vocabularySize
        self.instructionSet = instructionSet
        scratch = .allocate(byteCount: Int(sampling_scratch_bytes(Int64(vocabularySize))), alignment: 64)
    }

    deinit { scratch.deallocate() }

    /// - Parameters:
    ///   - logits: (V)
    ///   - options: valid by `SamplingOptions.fault`.
    ///   - uniform: in [0, 1).
    package func sample(
        _ logits: UnsafeBufferPointer<Float>, options: SamplingOptions, uniform: Double
    ) -> SamplingOutcome {
        precondition(logits.count == vocabularySize, "Sampler: \(logits.count) logits for \(vocabularySize) tokens")
        precondition(uniform >= 0 && uniform < 1, "Sampler: uniform = \(uniform), must be in [0, 1)")
        var native = sampling_options(
            temperature: options.temperature, top_k: Int64(options.topK), top_p: options.topP, min_p: options.minP)
        var result = sampling_result()
        let status = sampling_draw(
            nativeSet, logits.baseAddress, Int64(vocabularySize), &native, uniform, scratch, &result)
        return outcome(status, result)
    }

    /// Log-prob (nats) of a given token at a temperature above 0, and the entropy: bit for bit what `sample` reports
    /// as `policyLogProb` and `entropy` for the same row and temperature. `sampledLogProb` repeats `policyLogProb`.
    package func score(
        _ logits: UnsafeBufferPointer<Float>, token: Int32, temperature: Double = 1
    ) -> SamplingOutcome {
        precondition(logits.count == vocabularySize, "Sampler: \(logits.count) logits for \(vocabularySize) tokens")
        precondition(token >= 0 && token < vocabularySize, "Sampler: token \(token) of \(vocabularySize)")
        precondition(temperature > 0 && temperature.isFinite, "Sampler: temperature = \(temperature), must be above 0")
        var result = sampling_result()
        let status = sampling_score(
            nativeSet, logits.baseAddress, Int64(vocabularySize), temperature, token, scratch, &result)
        return outcome(status, result)
    }

    private var nativeSet: sampling_instruction_set { .init(rawValue: .init(instructionSet.rawValue)) }

    private func outcome(_ status: sampling_status, _ result: sampling_result) -> SamplingOutcome {
        guard status == SAMPLING_DRAWN else { return .notFinite(token: result.token < 0 ? nil : Int(result.token)) }
        return .drawn(
            SampledToken(
                token: result.token, sampledLogProb: result.sampled_log_prob,
                policyLogProb: result.policy_log_prob, entropy: result.entropy))
    }
}

extension SamplingOptions {
    /// What makes these options unusable, with the value and what is allowed; nil when they are fine.
    package var fault: String? {
        if !(temperature >= 0 && temperature.isFinite) {
            return "temperature \(temperature): must be 0 (greedy) or a positive number"
        }
        if topK < 0 { return "top-k \(topK): must be 0 (off) or positive" }
        if !(topP > 0 && topP <= 1) { return "top-p \(topP): must be above 0 and at most 1 (off)" }
        if !(minP >= 0 && minP <= 1) { return "min-p \(minP): must be between 0 (off) and 1" }
        if maxNewTokens < 1 { return "limit of \(maxNewTokens) new tokens: must be at least 1" }
        if stopStrings.contains(where: \.isEmpty) { return "a stop string is empty" }
        return nil
    }
}
