// Does an update do what AdamW says, and nothing when the gradient is not a number?
import Engine
import Rollouts
import Testing

@Suite struct TrainerTests {
    private func trainer(_ change: (inout OptimizerOptions) -> Void = { _ in }) -> Trainer {
        var options = OptimizerOptions()
        change(&options)
        return Trainer(model: oddModels[0].randomModel(), options: options)
    }

    /// First step: m = 0.1·g, v = 0.001·g², both bias-corrected to g and g², so a weight moves by the rate against
    /// its gradient's sign, after shrinking by rate · decay.
    @Test func `the first step moves each weight by the learning rate`() {
        let trainer = trainer {
            $0.weightDecay = 0.5
            $0.gradientClip = 0
        }
        let weights = trainer.model.parameters.all
        weights[0] = 2
        weights[1] = 2
        weights[2] = 2
        trainer.gradients.all[0] = 3
        trainer.gradients.all[1] = -4
        #expect(trainer.update(learningRate: 0.01) == 5)
        #expect(abs(weights[0] - (2 * 0.995 - 0.01)) < 1e-6)
        #expect(abs(weights[1] - (2 * 0.995 + 0.01)) < 1e-6)
        #expect(abs(weights[2] - 2 * 0.995) < 1e-6)
        #expect(abs(trainer.firstMoment[1] + 0.4) < 1e-6 && abs(trainer.secondMoment[1] - 0.016) < 1e-6)
        #expect(trainer.gradients.all.allSatisfy { $0 == 0 } && trainer.updateCount == 1)
    }

    @Test func `clipping scales the gradient to the limit`() {
        let trainer = trainer { $0.gradientClip = 1 }
        trainer.gradients.all[0] = 3
        trainer.gradients.all[1] = -4
        #expect(trainer.update(learningRate: 0.01) == 5)
        #expect(abs(trainer.firstMoment[0] - 0.06) < 1e-7 && abs(trainer.firstMoment[1] + 0.08) < 1e-7)
    }

    @Test(arguments: [Float.nan, .infinity]) func `a gradient that is not finite teaches nothing`(_ bad: Float) {
        let trainer = trainer()
        trainer.gradients.all[0] = 1
        _ = trainer.update(learningRate: 0.01)
        let weights = Array(trainer.model.parameters.all)
        let moments = Array(trainer.firstMoment) + Array(trainer.secondMoment)
        trainer.gradients.all[7] = bad
        #expect(!trainer.update(learningRate: 0.01).isFinite)
        #expect(weights.elementsEqual(trainer.model.parameters.all))
        #expect(moments == Array(trainer.firstMoment) + Array(trainer.secondMoment))
        #expect(trainer.updateCount == 1)
        #expect(trainer.gradients.all.allSatisfy { $0 == 0 })
    }

    @Test func `moments and count restored give the same next step`() {
        let first = trainer()
        let groups = oddModels[0].exampleGroups()
        func step(_ trainer: Trainer) {
            trainer.accumulate(groups, temperature: 1) { mixedGradients($0.logProbs.count) }
            _ = trainer.update(learningRate: 1e-3)
        }
        step(first)
        let second = trainer()
        _ = second.model.parameters.all.update(from: first.model.parameters.all)
        _ = second.firstMoment.update(from: first.firstMoment)
        _ = second.secondMoment.update(from: first.secondMoment)
        second.updateCount = first.updateCount
        step(first)
        step(second)
        #expect(first.model.parameters.all.elementsEqual(second.model.parameters.all))
    }
}
