// The learning rate of each step.

import Rollouts

package enum LearningRate {
    /// Warm-up: a straight line that reaches the full rate at step `warmupSteps`. Then `decay` from the full rate, at
    /// the first step after the warm-up, towards `finalShare` of it, which a step after the last would have; so no
    /// step is wasted on a rate of 0.
    /// - Parameter step: from 1.
    package static func rate(step: Int, of stepCount: Int, options: OptimizerOptions) -> Double {
        let full = options.learningRate
        if step <= options.warmupSteps { return full * Double(step) / Double(options.warmupSteps) }
        let length = max(1, stepCount - options.warmupSteps)
        let progress = min(1, Double(step - 1 - options.warmupSteps) / Double(length))
        let share: Double
        switch options.decay {
        case .constant: return full
        case .linear: share = 1 - progress
        case .cosine: share = 0.5 * (1 + cosineOfPi(times: progress))
        }
        return full * (options.finalShare + (1 - options.finalShare) * share)
    }

    /// cos(πx) for x in 0...1, from additions and multiplications only, so that every machine gives the same bits.
    /// Taylor series of sin(π(1/2 − x)) to the 21st power: error below 1e-15.
    static func cosineOfPi(times x: Double) -> Double {
        let angle = Double.pi * (0.5 - x)
        let square = angle * angle
        var sum = 1.0
        for power in stride(from: 20, through: 2, by: -2) {
            sum = 1 - square / Double(power * (power + 1)) * sum
        }
        return angle * sum
    }
}
