// What must hold between the engine's ways of computing the same thing.
//
// Tolerance where the order of additions differs: with weights of this size logits stay below 10 and pass some
// hundred roundings of 6e-8 relative, so 2e-5 absolute for scores and 1e-4 of the largest element for gradients.
import Engine
import Rollouts
import Testing
import Weights

@Suite struct EngineTests {
    private func gradients(
        _ model: TransformerModel, _ batches: [[SequenceGroup]], recompute: OptimizerOptions.Recompute = .none
    ) -> (Trainer, TokenScores) {
        var options = OptimizerOptions()
        options.recompute = recompute
        let trainer = Trainer(model: model, options: options)
        var all = TokenScores(logProbs: [], entropies: [])
        let total = batches.flatMap { $0 }.flatMap(\.completions).reduce(0) { $0 + $1.count }
        let wanted = mixedGradients(total)
        for batch in batches {
            trainer.accumulate(batch, temperature: 0.8) { scores in
                let range = all.logProbs.count..<(all.logProbs.count + scores.logProbs.count)
                all.logProbs += scores.logProbs
                all.entropies += scores.entropies
                return TokenGradients(
                    logProbs: Array(wanted.logProbs[range]), entropies: Array(wanted.entropies![range]))
            }
        }
        return (trainer, all)
    }

    private func close(_ a: Trainer, _ b: Trainer) -> Bool {
        a.model.config.tensors.indices.allSatisfy { index in
            let (x, y) = (a.gradients.slice(at: index), b.gradients.slice(at: index))
            let largest = x.reduce(0) { max($0, abs($1)) }
            return largest > 0 && largestDifference(x, y) <= 1e-4 * largest
        }
    }

    @Test(arguments: oddModels)
    func `a shared prompt gives the scores and gradients of separate ones`(_ config: ModelConfig) {
        let groups = config.exampleGroups()
        let (shared, sharedScores) = gradients(config.randomModel(), [groups])
        let (separate, separateScores) = gradients(config.randomModel(), [unshared(groups)])
        #expect(largestDifference(sharedScores.logProbs, separateScores.logProbs) <= 2e-5)
        #expect(largestDifference(sharedScores.entropies, separateScores.entropies) <= 2e-5)
        #expect(close(shared, separate))
    }

    @Test(arguments: oddModels)
    func `gradients of micro-batches add up to those of the batch`(_ config: ModelConfig) {
        let groups = config.exampleGroups()
        let (whole, _) = gradients(config.randomModel(), [groups])
        let (split, _) = gradients(config.randomModel(), groups.map { [$0] })
        #expect(close(whole, split))
    }

    @Test(arguments: oddModels)
    func `the number of threads changes no bit`(_ config: ModelConfig) {
        let groups = config.exampleGroups()
        for threadCount in [2, 3] {
            let (one, oneScores) = gradients(config.randomModel(threadCount: 1), [groups])
            let (several, severalScores) = gradients(config.randomModel(threadCount: threadCount), [groups])
            #expect(severalScores.logProbs == oneScores.logProbs)
            #expect(severalScores.entropies == oneScores.entropies)
            #expect(several.gradients.all.elementsEqual(one.gradients.all))
            let norms = [one.update(learningRate: 0), several.update(learningRate: 0)]
            #expect(norms[0] == norms[1] && norms[0] > 0)
        }
    }

    @Test(arguments: oddModels)
    func `logits that were not kept are computed again`(_ config: ModelConfig) {
        let groups = config.exampleGroups()
        let (kept, _) = gradients(config.randomModel(), [groups])
        let (recomputed, _) = gradients(config.randomModel(retainedLogitBytes: 0), [groups])
        #expect(recomputed.gradients.all.elementsEqual(kept.gradients.all))
    }

    @Test(arguments: oddModels)
    func `blocks computed again give the same bits`(_ config: ModelConfig) {
        let batches = [config.exampleGroups(), [config.exampleGroups()[1]]]
        let (kept, keptScores) = gradients(config.randomModel(), batches)
        let (again, scores) = gradients(config.randomModel(), batches, recompute: .blocks)
        #expect(again.gradients.all.elementsEqual(kept.gradients.all))
        #expect(scores.logProbs == keptScores.logProbs && scores.entropies == keptScores.entropies)
    }

    /// Moving the weights along the gradient by ±ε changes the loss by 2ε·|gradient|²: within 1 %, since float32
    /// losses of about 100 hold 1e-5 and ε is chosen to change them by about 0.1.
    @Test(arguments: oddModels)
    func `the gradient is the slope of the loss`(_ config: ModelConfig) {
        let groups = config.exampleGroups()
        let (trainer, _) = gradients(config.randomModel(), [groups])
        let squared = dot(trainer.gradients.all, trainer.gradients.all)
        let epsilon = Float(0.05 / squared)
        let losses = [epsilon, -epsilon].map { step in
            let model = config.randomModel()
            for i in model.parameters.all.indices { model.parameters.all[i] += step * trainer.gradients.all[i] }
            let scores = model.score(groups, temperature: 0.8)
            let weights = mixedGradients(scores.logProbs.count)
            return dot(weights.logProbs, scores.logProbs) + dot(weights.entropies!, scores.entropies)
        }
        #expect(abs((losses[0] - losses[1]) / 0.1 - 1) <= 0.01)
    }

    @Test(arguments: oddModels)
    func `scores are the log-softmax of the logits`(_ config: ModelConfig) {
        let groups = config.exampleGroups()
        let model = config.randomModel()
        let scores = model.score(groups, temperature: 0.7)
        var index = 0
        for group in groups {
            for completion in group.completions {
                let logits = model.logits(group.prompt + completion)
                for (position, token) in completion.enumerated() {
                    let first = (group.prompt.count - 1 + position) * config.vocabularySize
                    let row = logits[first..<(first + config.vocabularySize)].map { Double($0) / 0.7 }
                    let (logProb, entropy) = logProbAndEntropy(row, token)
                    #expect(abs(Double(scores.logProbs[index]) - logProb) <= 2e-5)
                    #expect(abs(Double(scores.entropies[index]) - entropy) <= 2e-5)
                    index += 1
                }
            }
        }
        #expect(index == scores.logProbs.count)
    }

    @Test func `a context of a thousand tokens and large weights give numbers`() {
        let config = oddModels[0]
        var numbers = NumberSource(15)
        let model = config.randomModel(scale: 3)
        let group = SequenceGroup(
            prompt: numbers.tokens(500, below: config.vocabularySize),
            completions: [numbers.tokens(600, below: config.vocabularySize)])
        let trainer = Trainer(model: model, options: OptimizerOptions())
        trainer.accumulate([group], temperature: 0.05) { scores in
            #expect(scores.logProbs.allSatisfy(\.isFinite) && scores.entropies.allSatisfy(\.isFinite))
            return mixedGradients(scores.logProbs.count)
        }
        #expect(trainer.gradients.all.allSatisfy { $0.isFinite })
    }
}
