// Does an update do what AdamW says, and nothing when the gradient is not a number?
import Engine
import Rollouts
import Testing
import Weights

extension Trainer {
    /// Copies of the float32 moments.
    var firstMoment: [Float] { moment("first_moment.") }
    var secondMoment: [Float] { moment("second_moment.") }

    private func moment(_ prefix: String) -> [Float] {
        state.tensors(of: model.config.tensors).filter { $0.shape.name.hasPrefix(prefix) }
            .flatMap { Array($0.bytes.assumingMemoryBound(to: Float.self)) }
    }
}

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
        let moments = trainer.firstMoment + trainer.secondMoment
        trainer.gradients.all[7] = bad
        #expect(!trainer.update(learningRate: 0.01).isFinite)
        #expect(weights.elementsEqual(trainer.model.parameters.all))
        #expect(moments == trainer.firstMoment + trainer.secondMoment)
        #expect(trainer.updateCount == 1)
        #expect(trainer.gradients.all.allSatisfy { $0 == 0 })
    }

    @Test(arguments: OptimizerOptions.State.allCases)
    func `state and count restored give the same next steps`(_ kind: OptimizerOptions.State) {
        let first = trainer { $0.state = kind }
        let groups = oddModels[0].exampleGroups()
        func step(_ trainer: Trainer) {
            trainer.accumulate(groups, temperature: 1) { mixedGradients($0.logProbs.count) }
            _ = trainer.update(learningRate: 1e-3)
        }
        step(first)
        let second = trainer { $0.state = kind }
        _ = second.model.parameters.all.update(from: first.model.parameters.all)
        let shapes = first.model.config.tensors
        for (to, from) in zip(second.state.tensors(of: shapes), first.state.tensors(of: shapes)) {
            to.bytes.copyMemory(from: UnsafeRawBufferPointer(from.bytes))
        }
        second.updateCount = first.updateCount
        for _ in 0..<3 {
            step(first)
            step(second)
        }
        #expect(first.model.parameters.all.elementsEqual(second.model.parameters.all))
    }
}
