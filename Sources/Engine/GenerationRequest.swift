// What a generator is asked and what it answers.
import Rollouts

/// One group to sample: completions of one prompt.
package struct GenerationRequest: Sendable {
    /// The caller's number; not in use by another request that has not ended.
    package var identifier: UInt64
    /// Names the group; part of the random key of every token.
    package var key: GroupKey
    package var prompt: [Int32]
    /// Which completions of the group, in the order of their start; part of the random key.
    package var completionIndices: [Int]
    package var sampling: SamplingOptions
    package var seed: UInt64
    /// The policy that the backend holds; every sampled token carries it.
    package var version: PolicyVersion
    /// A completion ends with the first of these; it counts among its tokens.
    package var endTokens: [Int32]

    package init(
        identifier: UInt64, key: GroupKey, prompt: [Int32], completionIndices: [Int], sampling: SamplingOptions,
        seed: UInt64, version: PolicyVersion, endTokens: [Int32]
    ) {
        self.identifier = identifier
        self.key = key
        self.prompt = prompt
        self.completionIndices = completionIndices
        self.sampling = sampling
        self.seed = seed
        self.version = version
        self.endTokens = endTokens
    }

    /// Why this cannot be sampled, in words; nil when it can.
    package func fault(vocabularySize: Int, contextTokens: Int) -> String? {
        if let fault = sampling.fault { return fault }
        if prompt.isEmpty { return "the prompt has no tokens" }
        if prompt.count >= contextTokens {
            return "the prompt has \(prompt.count) tokens, which leaves no room in a context of \(contextTokens)"
        }
        let vocabulary = 0..<vocabularySize
        if let token = prompt.first(where: { !vocabulary.contains(Int($0)) }) {
            return "prompt token \(token) is outside the vocabulary of \(vocabularySize)"
        }
        if let token = endTokens.first(where: { !vocabulary.contains(Int($0)) }) {
            return "end token \(token) is outside the vocabulary of \(vocabularySize)"
        }
        if completionIndices.isEmpty { return "no completion is asked for" }
        if let index = completionIndices.first(where: { !(0..<1 << 20).contains($0) }) {
            return "completion index \(index) is outside 0..<\(1 << 20)"
        }
        if Set(completionIndices).count < completionIndices.count { return "a completion index is asked for twice" }
        if !(0..<1 << 30).contains(key.step) || !(0..<1 << 24).contains(key.ordinal) {
            return "group \(key.step)/\(key.ordinal): step must be in 0..<\(1 << 30), ordinal in 0..<\(1 << 24)"
        }
        return nil
    }
}

/// One sampled completion. The arrays have one element per token.
package struct GeneratedCompletion: Equatable, Sendable {
    package var index: Int
    /// The end token, or the tokens that completed a stop string, included.
    package var tokens: [Int32]
    package var sampledLogProbs: [Float]
    package var policyLogProbs: [Float]
    package var entropies: [Float]
    package var versions: [PolicyVersion]
    package var finish: FinishReason
    /// The tokens' bytes that are text: neither the end token nor the stop string and what followed it. Where a limit
    /// cut the completion the last UTF-8 character may be incomplete.
    package var textBytes: [UInt8]

    package init(
        index: Int, tokens: [Int32], sampledLogProbs: [Float], policyLogProbs: [Float], entropies: [Float],
        versions: [PolicyVersion], finish: FinishReason, textBytes: [UInt8]
    ) {
        self.index = index
        self.tokens = tokens
        self.sampledLogProbs = sampledLogProbs
        self.policyLogProbs = policyLogProbs
        self.entropies = entropies
        self.versions = versions
        self.finish = finish
        self.textBytes = textBytes
    }
}

package enum GenerationEvent: Equatable, Sendable {
    case tokens(identifier: UInt64, completionIndex: Int, token: Int32)
    /// All completions of the request have ended; in index order.
    case finished(identifier: UInt64, [GeneratedCompletion])
    /// The request has ended without a result: it could not be sampled, or the model's numbers are not finite.
    case failed(identifier: UInt64, reason: String)
}
