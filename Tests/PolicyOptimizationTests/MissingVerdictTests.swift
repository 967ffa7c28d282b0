// A verdict that is missing changes what is learned by absence alone: as if its completion had never been sampled.

import PolicyOptimization
import Rollouts
import Testing

@Suite struct MissingVerdictTests {
    /// Some groups under some recipe, all from one seed; every third completion or so has no verdict.
    private struct World {
        var seed: UInt64
        var options = AlgorithmOptions()
        var shuffles: Bool
        private var drawn: UInt64 = 0
        let tokenLimit = 12

        init(seed: UInt64) {
            self.seed = seed
            shuffles = false
            options.advantageNormalisation = pick(AlgorithmOptions.AdvantageNormalisation.allCases)
            options.lossAggregation = pick(AlgorithmOptions.LossAggregation.allCases)
            options.overlong = pick(AlgorithmOptions.Overlong.allCases)
            options.overlongBuffer = 4
            options.klPlacement = pick(AlgorithmOptions.KLPlacement.allCases)
            options.klEstimator = pick(AlgorithmOptions.KLEstimator.allCases)
            options.klCoefficient = chance(0.5) ? 0.1 : 0
            options.entropyCoefficient = chance(0.5) ? 0.01 : 0
            shuffles = chance(0.3)
        }

        mutating func share() -> Double {
            drawn += 1
            return KeyedRandom.uniform(seed: seed, use: .jitter, 1, drawn)
        }
        mutating func chance(_ probability: Double) -> Bool { share() < probability }
        mutating func integer(_ range: ClosedRange<Int>) -> Int {
            range.lowerBound + Int(share() * Double(range.count))
        }
        mutating func pick<Element>(_ elements: [Element]) -> Element { elements[integer(0...elements.count - 1)] }
        mutating func logProbs(_ count: Int) -> [Float] { (0..<count).map { _ in Float(-4 * share()) } }

        mutating func group(_ ordinal: Int) -> CompletionGroup {
            let size = integer(2...8)
            let missing = (0..<size).map { _ in chance(0.3) }
            let completions = (0..<size).map { index in
                let count = integer(1...tokenLimit)
                let numbers = logProbs(count)
                return Completion(
                    index: index, tokens: (0..<count).map { Int32($0) }, sampledLogProbs: numbers,
                    policyLogProbs: numbers, entropies: numbers.map { -$0 },
                    versions: Array(repeating: .base, count: count), text: "\(index)",
                    finish: count == tokenLimit ? .length : .stop)
            }
            let verdicts = missing.map { $0 ? Verdict.noVerdict("it crashed") : .right("so", score: share()) }
            let key = GroupKey(purpose: .training, step: 3, ordinal: ordinal)
            return CompletionGroup(
                prompt: Prompt(key: key, tokens: [1], text: "?", answer: "!", source: "test"),
                completions: completions, verdicts: verdicts, rewards: rewards(of: verdicts, key))
        }

        func rewards(of verdicts: [Verdict], _ key: GroupKey) -> [Double] {
            let hasVerdict = verdicts.map { $0.outcome != .noVerdict }
            let rewards = zip(verdicts, hasVerdict).map { $1 ? $0.score : 0 }
            return shuffles ? shuffledRewards(rewards, hasVerdict: hasVerdict, seed: 5, group: key) : rewards
        }

        /// The group that never had the completions that nobody judged.
        func withoutMissing(_ group: CompletionGroup) -> CompletionGroup {
            let kept = group.verdicts.indices.filter { group.verdicts[$0].outcome != .noVerdict }
            let verdicts = kept.map { group.verdicts[$0] }
            return CompletionGroup(
                prompt: group.prompt, completions: kept.map { group.completions[$0] }, verdicts: verdicts,
                rewards: rewards(of: verdicts, group.prompt.key))
        }

        /// What a failure must not become.
        func calledWrong(_ group: CompletionGroup) -> CompletionGroup {
            let verdicts = group.verdicts.map { $0.outcome == .noVerdict ? Verdict.wrong("it crashed") : $0 }
            return CompletionGroup(
                prompt: group.prompt, completions: group.completions, verdicts: verdicts,
                rewards: rewards(of: verdicts, group.prompt.key))
        }
    }

    private struct Learned: Equatable {
        /// By group and completion.
        var advantages: [[Int: UInt64]] = []
        var loss: UInt64 = 0
        /// ∂loss/∂log-prob and ∂loss/∂entropy of each token, by group and completion.
        var gradients: [[Int: [UInt32]]] = []
    }

    /// As the learner does it. Log-probs of the policy being trained and of the reference are a completion's own.
    private func learn(_ groups: [CompletionGroup], _ world: World) -> Learned {
        func drifted(_ completion: Completion, by amount: Float) -> [Float] {
            completion.policyLogProbs.enumerated().map { $1 - amount * Float($0 % 3) }
        }
        var batch = TokenBatch(
            sequences: [], groups: [], oldLogProbs: [], referenceLogProbs: [], advantages: [], mask: [])
        var logProbs: [Float] = []
        var entropies: [Float] = []
        var names: [(group: Int, completion: Int, tokens: Range<Int>)] = []
        var learned = Learned()
        for (place, group) in groups.enumerated() {
            let referenceKL = group.completions.map {
                summedReferenceKL(logProbs: $0.policyLogProbs, referenceLogProbs: drifted($0, by: 0.25))
            }
            let trained = trainedCompletions(
                of: group, options: world.options, tokenLimit: world.tokenLimit, referenceKL: referenceKL)
            let first = batch.sequences.count
            learned.advantages.append([:])
            learned.gradients.append([:])
            for one in trained {
                let completion = group.completions[one.index]
                let tokens = batch.mask.count..<batch.mask.count + completion.tokens.count
                batch.sequences.append(tokens)
                batch.oldLogProbs += completion.policyLogProbs
                batch.referenceLogProbs? += drifted(completion, by: 0.25)
                batch.advantages.append(one.advantage)
                batch.mask += completion.tokens.map { _ in true }
                logProbs += drifted(completion, by: 0.125)
                entropies += completion.entropies
                names.append((place, completion.index, tokens))
                learned.advantages[place][completion.index] = one.advantage.bitPattern
            }
            batch.groups.append(first..<batch.sequences.count)
        }
        let totals = LossTotals(of: batch, constantLength: world.tokenLimit)
        let result = PolicyLoss(options: world.options, totals: totals)
            .evaluate(batch: batch, logProbs: logProbs, entropies: entropies)
        learned.loss = result.loss.bitPattern
        for name in names {
            let parts = Array(result.gradient[name.tokens]) + Array(result.entropyGradient?[name.tokens] ?? [])
            learned.gradients[name.group][name.completion] = parts.map(\.bitPattern)
        }
        return learned
    }

    @Test func `completions without a verdict leave the others exactly as if they had never been sampled`() {
        var missingCount = 0
        var wrongMatters = 0
        for seed in 1...400 as ClosedRange<UInt64> {
            var world = World(seed: seed)
            let groups = (0..<world.integer(1...4)).map { world.group($0) }
            missingCount += groups.reduce(0) { $0 + $1.verdicts.count { $0.outcome == .noVerdict } }
            let learned = learn(groups, world)
            #expect(learned == learn(groups.map(world.withoutMissing), world), "seed \(seed)")
            if learned != learn(groups.map(world.calledWrong), world) { wrongMatters += 1 }
        }
        // The comparison can fail: called wrong, the same completions change what is learned in most worlds.
        #expect(missingCount > 1000 && wrongMatters > 300, "\(missingCount) missing, \(wrongMatters) noticed")
    }
}
