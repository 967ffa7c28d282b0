import Rollouts
import Testing

@testable import Cluster

@Suite struct LearningRateTests {
    private func options(_ decay: OptimizerOptions.Decay, warmup: Int = 0, finalShare: Double = 0) -> OptimizerOptions {
        var options = OptimizerOptions()
        options.learningRate = 8
        options.decay = decay
        options.warmupSteps = warmup
        options.finalShare = finalShare
        return options
    }

    @Test func `warm-up is a straight line to the full rate`() {
        let rates = (1...5).map { LearningRate.rate(step: $0, of: 8, options: options(.constant, warmup: 4)) }
        #expect(rates == [2, 4, 6, 8, 8])
    }

    @Test func `linear decay begins at the full rate and ends one step after the last`() {
        let rates = (1...4).map { LearningRate.rate(step: $0, of: 4, options: options(.linear)) }
        #expect(rates == [8, 6, 4, 2])
    }

    @Test func `decay ends at the final share`() {
        // Shares 1, 3/4, 1/2, 1/4 of the way from the full rate 8 down to a quarter of it, 2.
        let rates = (1...4).map { LearningRate.rate(step: $0, of: 4, options: options(.linear, finalShare: 0.25)) }
        #expect(rates == [8, 6.5, 5, 3.5])
    }

    @Test func `cosine decay is half-way in the middle`() {
        let rates = (1...4).map { LearningRate.rate(step: $0, of: 4, options: options(.cosine)) }
        // 4 (1 + cos 0), 4 (1 + cos π/4), 4 (1 + cos π/2), 4 (1 + cos 3π/4)
        let expected = [8, 6.828_427_124_746_19, 4, 1.171_572_875_253_81]
        for (rate, value) in zip(rates, expected) { #expect(abs(rate - value) < 1e-13) }
    }

    @Test func `the cosine is the cosine`() {
        #expect(LearningRate.cosineOfPi(times: 0.5) == 0)
        for (x, value) in [(0.0, 1.0), (1.0 / 3, 0.5), (0.25, 0.707_106_781_186_547_6), (1.0, -1.0)] {
            #expect(abs(LearningRate.cosineOfPi(times: x) - value) < 1e-14)
        }
    }

    @Test func `a warm-up longer than the run never decays`() {
        #expect(LearningRate.rate(step: 3, of: 3, options: options(.cosine, warmup: 6)) == 4)
    }
}
