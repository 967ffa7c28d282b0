// How wrong a value function is, with its step bounded.

/// ½ · mean of max((V − R)², (clip(V, V_old ± range) − R)²) over trained tokens. Source: PPO's reference code
/// (openai/baselines, `ppo2`); the paper is arXiv:1707.06347.
/// - Parameters: one number per trained token, same count.
/// - Returns: the loss and ∂loss/∂V.
package func clippedValueLoss(
    values: [Double], oldValues: [Double], returns: [Double], clipRange: Double
) -> (loss: Double, gradient: [Double]) {
    precondition(values.count == oldValues.count && values.count == returns.count,
        "\(values.count) values, \(oldValues.count) old ones, \(returns.count) returns")
    guard !values.isEmpty else { return (0, []) }
    let scale = 1 / Double(values.count)
    var loss = 0.0
    let gradient = values.indices.map { token in
        let error = values[token] - returns[token]
        let held = min(max(values[token], oldValues[token] - clipRange), oldValues[token] + clipRange)
        let heldError = held - returns[token]
        if heldError * heldError > error * error {
            loss += scale * heldError * heldError / 2
            return 0.0
        }
        loss += scale * error * error / 2
        return scale * error
    }
    return (loss, gradient)
}
