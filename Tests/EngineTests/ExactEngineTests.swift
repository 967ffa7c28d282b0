// Does exact arithmetic give the same bits whatever a text is computed with, and the sampler's bits when it is trained?
import Engine
import Foundation
import Rollouts
import Testing
import Weights

/// Everything an exact model says about groups.
private struct Bits: Equatable {
    var scores: [UInt32]
    var gradients: [UInt32]
}

@Suite struct ExactEngineTests {
    private static let temperature = 0.7

    /// The kernel this process would use, and every other one that runs here.
    static let kernels = ExactKernel.all.filter(\.isSupported)

    private func model(_ config: ModelConfig, threads: Int = 2, kernel: ExactKernel? = nil) throws -> TransformerModel {
        config.randomModel(
            threadCount: threads, arithmetic: .exact(try kernel ?? KernelChoice.current.kernel),
            retainedLogitBytes: 20_000)
    }

    private func bits(_ scores: TokenScores) -> [UInt32] { (scores.logProbs + scores.entropies).map(\.bitPattern) }

    /// Micro-batches of units of groups, in turn.
    private func train(
        _ model: TransformerModel, _ batches: [[[SequenceGroup]]], recompute: OptimizerOptions.Recompute = .none
    ) -> Bits {
        var options = OptimizerOptions()
        options.recompute = recompute
        let trainer = Trainer(model: model, options: options)
        let total = batches.joined().joined().reduce(0) { $0 + $1.completions.reduce(0) { $0 + $1.count } }
        let wanted = mixedGradients(total)
        var logProbs: [Float] = []
        var entropies: [Float] = []
        for units in batches {
            trainer.accumulate(
                Array(units.joined()), units: units.map(\.count), temperature: ExactEngineTests.temperature
            ) { scores in
                let range = logProbs.count..<(logProbs.count + scores.logProbs.count)
                logProbs += scores.logProbs
                entropies += scores.entropies
                return TokenGradients(
                    logProbs: Array(wanted.logProbs[range]), entropies: Array(wanted.entropies![range]))
            }
        }
        return Bits(
            scores: (logProbs + entropies).map(\.bitPattern), gradients: trainer.gradients.all.map(\.bitPattern))
    }

    @Test(arguments: oddModels)
    func `weights packed from a snapshot say what the float32 weights behind it say`(_ config: ModelConfig) throws {
        let whole = try model(config)
        let folder = NSTemporaryDirectory() + "engine-tests-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: folder) }  // a temporary folder: nothing depends on it
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let sampling = Parameters(sampling: config)
        let packed = TransformerModel(
            parameters: sampling, threads: whole.threads, arithmetic: .exact(try KernelChoice.current.kernel))
        let groups = randomGroups(config, seed: 31)
        for change in [Float(0), 0.01] {
            for index in whole.parameters.all.indices { whole.parameters.all[index] += change }
            let written = try Snapshot.write(
                config: config, parameters: whole.parameters.values, format: .bfloat16, to: folder)
            let snapshot = try MappedSnapshot(file: written.path, config: config, expecting: written.weightsHash)
            sampling.fill(from: snapshot, threads: whole.threads)
            #expect(bits(packed.score(groups, temperature: 0.7)) == bits(whole.score(groups, temperature: 0.7)))
            let rounded = Parameters(config: config)
            snapshot.decode(into: rounded.all)
            let former = whole.parameters.values.map(\.bitPattern)
            whole.parameters.round(to: .bfloat16)
            #expect(whole.parameters.values.elementsEqual(rounded.values))
            #expect(whole.parameters.values.map(\.bitPattern) != former)
        }
    }

    private func randomGroups(_ config: ModelConfig, seed: UInt64, count: Int = 4) -> [SequenceGroup] {
        var numbers = NumberSource(seed)
        let lengths = numbers.tokens(4 * count, below: 40).map { Int($0) + 1 }
        return (0..<count).map { group in
            SequenceGroup(
                prompt: numbers.tokens(lengths[4 * group], below: config.vocabularySize),
                completions: (1...3).map { numbers.tokens(lengths[4 * group + $0], below: config.vocabularySize) })
        }
    }

    @Test(arguments: oddModels, [UInt64(31), 32])
    func `a text alone has the bits it has in any batch`(_ config: ModelConfig, _ seed: UInt64) throws {
        let model = try model(config)
        let groups = randomGroups(config, seed: seed)
        let together = bits(model.score(groups, temperature: ExactEngineTests.temperature))
        var alone = TokenScores(logProbs: [], entropies: [])
        for group in unshared(groups) {
            let scores = model.score([group], temperature: ExactEngineTests.temperature)
            alone.logProbs += scores.logProbs
            alone.entropies += scores.entropies
        }
        #expect(bits(alone) == together)
    }

    @Test(arguments: oddModels)
    func `where a text is cut into prompt and completion changes no bit`(_ config: ModelConfig) throws {
        let model = try model(config)
        var numbers = NumberSource(33)
        let text = numbers.tokens(53, below: config.vocabularySize)
        let whole = model.score([SequenceGroup(prompt: [text[0]], completions: [Array(text[1...])])], temperature: 1)
        for cut in [2, 15, 16, 17, 31, 33, 50] {
            let group = SequenceGroup(prompt: Array(text[..<cut]), completions: [Array(text[cut...])])
            let scores = model.score([group], temperature: 1)
            #expect(scores.logProbs == Array(whole.logProbs[(cut - 1)...]), "cut at \(cut)")
            #expect(scores.entropies == Array(whole.entropies[(cut - 1)...]), "cut at \(cut)")
        }
    }

    @Test(arguments: oddModels)
    func `decoding token by token gives the rows of one pass`(_ config: ModelConfig) throws {
        let model = try model(config)
        let decoder = Decoder(model: model)
        var numbers = NumberSource(34)
        let size = config.vocabularySize
        let text = numbers.tokens(60, below: size)
        let expected = model.logits(text)
        for cut in [1, 13, 16, 27] {
            var rows = [Float](repeating: 0, count: size)
            let prefix = rows.withUnsafeMutableBufferPointer { decoder.prefill(Array(text[..<cut]), logits: $0) }
            #expect(rows == Array(expected[((cut - 1) * size)..<(cut * size)]), "prefill of \(cut)")
            // A companion that goes another way from the same prefix.
            let pair = (0..<2).map { _ in decoder.makeSequence(prefix: prefix, reserve: 60) }
            var differing: [Int] = []
            for position in cut..<text.count {
                var both = [Float](repeating: 0, count: 2 * size)
                both.withUnsafeMutableBufferPointer {
                    decoder.decode([numbers.tokens(1, below: size)[0], text[position]], sequences: pair, logits: $0)
                }
                if both[size...] != expected[(position * size)..<((position + 1) * size)] { differing.append(position) }
            }
            #expect(differing == [], "decoding after \(cut)")
            for sequence in pair { decoder.releaseSequence(sequence) }
            decoder.releasePrefix(prefix)
        }
    }

    @Test(arguments: oddModels)
    func `the learner sees the sampler's log-probs and entropies bit for bit`(_ config: ModelConfig) throws {
        let sampler = try model(config)
        let learner = Trainer(model: try model(config, threads: 3), options: OptimizerOptions())
        var numbers = NumberSource(35)
        let prompts = [1, 14, 16, 37].map { numbers.tokens($0, below: config.vocabularySize) }
        let sampled = generate(sampler, prompts, groupSize: 5, tokens: 40, temperature: ExactEngineTests.temperature)
        let expected = TokenScores(
            logProbs: sampled.flatMap { $0.completions.flatMap(\.policyLogProbs) },
            entropies: sampled.flatMap { $0.completions.flatMap(\.entropies) })
        #expect(expected.logProbs.count == 4 * 5 * 40)
        learner.accumulate(sampled.map(\.group), temperature: ExactEngineTests.temperature) { scores in
            #expect(bits(scores) == bits(expected))
            return mixedGradients(scores.logProbs.count)
        }
        // And again after an update, which both see.
        _ = learner.update(learningRate: 0.01)
        _ = sampler.parameters.all.update(fromContentsOf: learner.model.parameters.values)
        let next = generate(sampler, prompts, groupSize: 2, tokens: 20, temperature: 1)
        let scores = learner.model.score(next.map(\.group), temperature: 1)
        #expect(scores.logProbs == next.flatMap { $0.completions.flatMap(\.policyLogProbs) })
        #expect(next[0].completions[0].policyLogProbs != sampled[0].completions[0].policyLogProbs)
    }

    @Test(arguments: oddModels)
    func `threads and kernels change no bit`(_ config: ModelConfig) throws {
        let groups = randomGroups(config, seed: 36)
        let expected = train(try model(config, threads: 1), [[groups]])
        #expect(train(config.randomModel(), [[groups]]).scores != expected.scores, "float32 must differ")
        for threads in 2...3 {
            #expect(train(try model(config, threads: threads), [[groups]]) == expected, "\(threads) threads")
        }
        for kernel in ExactEngineTests.kernels {
            #expect(train(try model(config, kernel: kernel), [[groups]]) == expected, "\(kernel.name)")
        }
    }

    @Test(arguments: oddModels)
    func `which units share a micro-batch changes no bit`(_ config: ModelConfig) throws {
        let groups = randomGroups(config, seed: 37, count: 5)
        let units = [[groups[0]], [groups[1], groups[2]], [groups[3]], [groups[4]]]
        let expected = train(try model(config), units.map { [$0] })
        #expect(train(try model(config), [units]) == expected)
        #expect(train(try model(config), [Array(units[..<2]), Array(units[2...])]) == expected)
        #expect(train(try model(config), [[groups]]).scores == expected.scores)
    }

    @Test(arguments: oddModels)
    func `computing blocks again changes no bit`(_ config: ModelConfig) throws {
        let groups = randomGroups(config, seed: 38, count: 5)
        for batches in [[[groups]], [[[groups[0]], Array(groups[1...3])], [[groups[4]]]]] {
            let expected = train(try model(config), batches)
            #expect(train(try model(config), batches, recompute: .blocks) == expected)
        }
    }

    /// bfloat16 keeps 8 bits of each factor: errors of 2^-9 relative with random signs leave a cosine above 0.9999 for
    /// a tensor whose elements are long sums; small tensors of a model this small are held to 0.999.
    @Test(arguments: ModelFamily.allCases)
    func `gradients point where the float32 reference points`(_ family: ModelFamily) throws {
        let golden = try Golden(family)
        let trainer = Trainer(
            model: try golden.model(arithmetic: .exact(KernelChoice.current.kernel)), options: OptimizerOptions())
        #expect(abs(golden.accumulate(trainer) - golden.loss) <= 0.02)
        for tensor in golden.config.tensors {
            let expected = try #require(golden.tensors["grad." + tensor.name])
            let found = Array(trainer.gradients[tensor.name])
            let cosine = dot(found, expected) / (dot(found, found) * dot(expected, expected)).squareRoot()
            #expect(cosine >= 0.999, "\(tensor.name): \(cosine)")
        }
    }
}

struct SampledGroup {
    var group: SequenceGroup
    var completions: [GeneratedCompletion]
}

/// Samples without end tokens: every completion has `tokens` tokens. Fewer slots than completions, so that batches mix.
func generate(
    _ model: TransformerModel, _ prompts: [[Int32]], groupSize: Int, tokens: Int, temperature: Double
) -> [SampledGroup] {
    var sampling = SamplingOptions()
    sampling.temperature = temperature
    sampling.maxNewTokens = tokens
    let generator = Generator(
        backend: Decoder(model: model), batchLimit: 7, threadCount: model.threads.threadCount,
        parallel: model.threads.parallel, decode: { _ in [] })
    for (index, prompt) in prompts.enumerated() {
        generator.submit(
            GenerationRequest(
                identifier: UInt64(index), key: GroupKey(purpose: .training, step: 1, ordinal: index), prompt: prompt,
                completionIndices: Array(0..<groupSize), sampling: sampling, seed: 3, version: .base, endTokens: []))
    }
    var finished: [UInt64: [GeneratedCompletion]] = [:]
    while !generator.isIdle {
        for event in generator.step() {
            if case .finished(let identifier, let completions) = event { finished[identifier] = completions }
        }
    }
    return prompts.enumerated().map { index, prompt in
        let completions = finished[UInt64(index)] ?? []
        return SampledGroup(
            group: SequenceGroup(prompt: prompt, completions: completions.map(\.tokens)), completions: completions)
    }
}
