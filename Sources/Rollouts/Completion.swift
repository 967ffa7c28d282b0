// What is sampled: prompts, completions, groups.

/// One turn of a conversation. `role` is "system", "user" or "assistant".
package struct ChatMessage: Hashable, Sendable, Codable {
    package var role: String
    package var content: String
    package init(role: String, content: String) {
        self.role = role
        self.content = content
    }
}

/// What a group's completions continue.
package struct Prompt: Equatable, Sendable, Codable {
    package var key: GroupKey
    /// Token ids, chat template applied; never empty. Tokens in, tokens out: nothing re-tokenises them.
    package var tokens: [Int32]
    /// The question as a person reads it, for logs and verifiers.
    package var text: String
    /// The known answer; empty where there is none.
    package var answer: String
    /// Where the prompt comes from: data set or generated task, for metrics by task.
    package var source: String

    package init(key: GroupKey, tokens: [Int32], text: String, answer: String, source: String) {
        self.key = key
        self.tokens = tokens
        self.text = text
        self.answer = answer
        self.source = source
    }
}

package enum FinishReason: UInt8, Sendable, Codable {
    /// An end token or a stop string was sampled.
    case stop = 1
    /// The limit of new tokens or of the context was reached.
    case length = 2
}

/// The sampled tokens of one completion, and nothing else.
package struct Completion: Equatable, Sendable, Codable {
    /// Position in the group, from 0.
    package var index: Int
    /// Token ids, the end token included when it was sampled.
    package var tokens: [Int32]
    /// Per token: natural log of its probability under the distribution that was actually sampled
    /// (after temperature, top-k, top-p and min-p).
    package var sampledLogProbs: [Float]
    /// Per token: natural log of its probability under the untruncated distribution at the same temperature.
    /// Importance ratios are taken against these.
    package var policyLogProbs: [Float]
    /// Per token: entropy in nats of the untruncated distribution at the same temperature.
    package var entropies: [Float]
    /// The policy version that sampled each token.
    package var versions: [PolicyVersion]
    /// The tokens as text, end tokens and the stop string left out.
    package var text: String
    package var finish: FinishReason

    package init(
        index: Int, tokens: [Int32], sampledLogProbs: [Float], policyLogProbs: [Float], entropies: [Float],
        versions: [PolicyVersion], text: String, finish: FinishReason
    ) {
        self.index = index
        self.tokens = tokens
        self.sampledLogProbs = sampledLogProbs
        self.policyLogProbs = policyLogProbs
        self.entropies = entropies
        self.versions = versions
        self.text = text
        self.finish = finish
    }
}

/// Whether a completion is right. A failure to find out is its own outcome and never becomes a wrong answer.
package struct Verdict: Equatable, Sendable, Codable {
    package enum Outcome: UInt8, Sendable, Codable {
        case right = 1
        case wrong = 2
        /// The verifier crashed, timed out, or could not decide.
        case noVerdict = 3
    }
    package var outcome: Outcome
    /// The reward before shaping, usually 0...1. Meaningless for `.noVerdict`.
    package var score: Double
    /// One line a person can read.
    package var reason: String

    package init(_ outcome: Outcome, score: Double, reason: String) {
        self.outcome = outcome
        self.score = score
        self.reason = reason
    }
    package static func right(_ reason: String, score: Double = 1) -> Verdict {
        Verdict(.right, score: score, reason: reason)
    }
    package static func wrong(_ reason: String, score: Double = 0) -> Verdict {
        Verdict(.wrong, score: score, reason: reason)
    }
    package static func noVerdict(_ reason: String) -> Verdict { Verdict(.noVerdict, score: 0, reason: reason) }
}

/// A prompt with its completions, each judged: what a step trains on.
package struct CompletionGroup: Equatable, Sendable, Codable {
    package var prompt: Prompt
    /// In index order.
    package var completions: [Completion]
    /// One per completion, same order.
    package var verdicts: [Verdict]
    /// One per completion: the reward the learner uses. Completions without a verdict are never trained.
    package var rewards: [Double]

    package init(prompt: Prompt, completions: [Completion], verdicts: [Verdict], rewards: [Double]) {
        self.prompt = prompt
        self.completions = completions
        self.verdicts = verdicts
        self.rewards = rewards
    }
}
