// What a recipe pays for keeping the policy's distributions wide.

/// −coefficient · H per token, in the loss: minimising it raises the entropy.
/// Source: A3C, arXiv:1602.01783 §4; PPO, arXiv:1707.06347 eq. 9.
package struct EntropyBonus: Equatable, Sendable {
    package var coefficient: Double

    package init(coefficient: Double) {
        self.coefficient = coefficient
    }

    package var isOn: Bool { coefficient != 0 }

    /// - Parameters:
    ///   - entropy: of the token's distribution, in nats.
    ///   - weight: what the token counts for in the aggregated loss.
    /// - Returns: its part of the loss and ∂loss/∂entropy.
    package func term(entropy: Double, weight: Double) -> (loss: Double, gradient: Double) {
        let gradient = -coefficient * weight
        return (gradient * entropy, gradient)
    }
}
