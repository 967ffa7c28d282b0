// What happens to completions that reach, or come near, the limit of new tokens.

import Rollouts

/// Soft overlong punishment: 0 up to limit − buffer, then falling in a straight line to −factor at the limit.
/// Source: DAPO, arXiv:2503.14476 eq. 13.
/// - Returns: what is added to the reward; never positive for a positive factor.
package func overlongPenalty(tokenCount: Int, tokenLimit: Int, buffer: Int, factor: Double) -> Double {
    let excess = tokenCount - (tokenLimit - buffer)
    if excess <= 0 { return 0 }
    if excess >= buffer { return -factor }
    return -factor * Double(excess) / Double(buffer)
}

extension AlgorithmOptions {
    /// What `overlong: penalty` adds to a completion's reward. A truncated completion reached its limit, whichever it
    /// was (new tokens or context), and pays in full.
    package func overlongReward(tokenCount: Int, finish: FinishReason, tokenLimit: Int) -> Double {
        guard overlong == .penalty else { return 0 }
        if finish == .length { return -overlongFactor }
        return overlongPenalty(
            tokenCount: tokenCount, tokenLimit: tokenLimit, buffer: overlongBuffer, factor: overlongFactor)
    }

    /// Whether a completion may train. A truncated one that is masked still counts in its group's mean.
    package func trains(finish: FinishReason) -> Bool {
        overlong != .mask || finish != .length
    }
}
