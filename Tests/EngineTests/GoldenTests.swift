// Does the engine compute what an independent implementation computes?
//
// Tolerances. One float32 operation errs by 2^-24 = 6e-8 relative. A logit here is a sum of 64 products after two
// layers of sums of up to 96; errors of independent roundings grow with the square root of their number, about
// sqrt(10 · 64) · 6e-8 ≈ 1.5e-6 of the largest intermediate (below 20), so 3e-5: 1e-4 leaves a factor of three, while
// a wrong formula errs by 1e-2 and more. Log-probs inherit the error of a logit. The loss averages 56 of them with
// random signs: 1e-5. Gradients pass twice as many operations: 1e-4 of a tensor's largest element.
import Engine
import Rollouts
import Testing
import Weights

@Suite struct GoldenTests {
    @Test(arguments: ModelFamily.allCases)
    func `logits equal the reference`(_ family: ModelFamily) throws {
        let golden = try Golden(family)
        let model = try golden.model()
        for (index, input) in golden.inputs.enumerated() {
            let expected = try #require(golden.tensors["logits_\(index)"])
            #expect(largestDifference(model.logits(input.ids), expected) <= 1e-4)
        }
    }

    @Test(arguments: ModelFamily.allCases)
    func `token log-probs and entropies equal the reference`(_ family: ModelFamily) throws {
        let golden = try Golden(family)
        let scores = try golden.model().score(golden.groups, temperature: 1)
        let logProbs = golden.inputs.flatMap { $0.token_logprobs.map { Float($0) } }
        let entropies = golden.inputs.flatMap { $0.entropy.dropLast().map { Float($0) } }
        #expect(largestDifference(scores.logProbs, logProbs) <= 1e-4)
        #expect(largestDifference(scores.entropies, entropies) <= 1e-4)
    }

    @Test(arguments: ModelFamily.allCases)
    func `loss and gradients equal the reference`(_ family: ModelFamily) throws {
        let golden = try Golden(family)
        let trainer = Trainer(model: try golden.model(), options: OptimizerOptions())
        let loss = golden.accumulate(trainer)
        #expect(abs(loss - golden.loss) <= 1e-5)
        for tensor in golden.config.tensors {
            let expected = try #require(golden.tensors["grad." + tensor.name], "no gradient of \(tensor.name)")
            let largest = expected.reduce(0) { max($0, abs($1)) }
            let difference = largestDifference(trainer.gradients[tensor.name], expected)
            #expect(difference <= 1e-4 * largest, "\(tensor.name)")
        }
    }

    @Test(arguments: ModelFamily.allCases)
    func `greedy continuation through the cache equals the reference`(_ family: ModelFamily) throws {
        let golden = try Golden(family)
        let decoder = Decoder(model: try golden.model())
        let size = golden.config.vocabularySize
        var rows = [Float](repeating: 0, count: golden.inputs.count * size)
        var sequences: [SequenceIdentifier] = []
        for (index, input) in golden.inputs.enumerated() {
            rows.withUnsafeMutableBufferPointer { rows in
                let row = UnsafeMutableBufferPointer(rebasing: rows[(index * size)..<((index + 1) * size)])
                let prefix = decoder.prefill(input.ids, logits: row)
                sequences.append(decoder.makeSequence(prefix: prefix, reserve: 16))
                decoder.releasePrefix(prefix)
            }
        }
        var texts = [[Int32]](repeating: [], count: golden.inputs.count)
        for _ in 0..<16 {
            for index in texts.indices {
                let row = rows[(index * size)..<((index + 1) * size)]
                texts[index].append(Int32(row.firstIndex(of: row.max()!)! - row.startIndex))
            }
            rows.withUnsafeMutableBufferPointer {
                decoder.decode(texts.map { $0.last! }, sequences: sequences, logits: $0)
            }
        }
        #expect(texts == golden.inputs.map { $0.greedy_16 })
    }

    /// Five steps amplify an error of the gradient where Adam divides a small mean by a small root; the loss after
    /// five steps still agrees to 2e-4, and weights to 1e-4 (an update moves a weight by up to the rate, 3e-3).
    @Test(arguments: ModelFamily.allCases)
    func `five AdamW steps equal the reference`(_ family: ModelFamily) throws {
        let golden = try Golden(family)
        var options = OptimizerOptions()
        options.beta1 = golden.adamw.betas[0]
        options.beta2 = golden.adamw.betas[1]
        options.epsilon = golden.adamw.eps
        options.weightDecay = golden.adamw.weight_decay
        options.gradientClip = golden.adamw.clip_global_norm
        let trainer = Trainer(model: try golden.model(), options: options)
        for step in 0..<5 {
            let loss = golden.accumulate(trainer)
            #expect(abs(loss - golden.adamw.loss_before_step_0_to_5[step]) <= 2e-4, "step \(step)")
            let norm = trainer.update(learningRate: golden.adamw.lr)
            #expect(abs(norm / golden.adamw.grad_norm_before_clip[step] - 1) <= 1e-3, "step \(step)")
            #expect(trainer.gradients.all.allSatisfy { $0 == 0 })
        }
        #expect(trainer.updateCount == 5)
        #expect(abs(golden.accumulate(trainer) - golden.adamw.loss_before_step_0_to_5[5]) <= 2e-4)
        for tensor in golden.config.tensors {
            let values = trainer.model.parameters[tensor.name]
            let norm = values.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
            let expected = try #require(golden.adamw.param_l2_after[tensor.name])
            #expect(abs(norm / expected - 1) <= 1e-4, "\(tensor.name)")
            let first = try #require(golden.adamw.param_first4_after[tensor.name]).map { Float($0) }
            #expect(largestDifference(values.prefix(first.count), first) <= 1e-4, "\(tensor.name)")
        }
    }
}
