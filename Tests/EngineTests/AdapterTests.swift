// Do adapters begin as the base, learn by the chain rule, and give the same bits to everyone?
import CKernels
import Engine
import Foundation
import Rollouts
import Testing
import Weights

/// A random base on disk, as `BaseWeights` wants it.
private final class AdaptedModel {
    let config: ModelConfig
    let layout: AdapterLayout
    let base: BaseWeights
    let plain: TransformerModel
    private let folder = NSTemporaryDirectory() + "adapter-tests-" + UUID().uuidString

    convenience init(_ config: ModelConfig, _ change: (inout LoRAOptions) -> Void = { _ in }) throws {
        try self.init(over: config.randomModel(), change)
    }

    init(over model: TransformerModel, _ change: (inout LoRAOptions) -> Void) throws {
        config = model.config
        var options = LoRAOptions()
        options.rank = 3
        options.alpha = 4.5
        change(&options)
        layout = AdapterLayout(config: config, options: options)
        plain = model
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let written = try Snapshot.write(config: config, parameters: plain.parameters.values, to: folder)
        base = try BaseWeights(
            file: written.path, blob: written.blob, config: config, expecting: written.weightsHash)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }  // a temporary folder: nothing depends on it

    /// - Parameter values: nil for a new run's.
    func trainer(
        values: [Float]? = nil, arithmetic: Arithmetic = .float32, threads: Int = 2,
        _ change: (inout OptimizerOptions) -> Void = { _ in }
    ) -> Trainer {
        var options = OptimizerOptions()
        change(&options)
        let adapters = AdapterTraining(layout: layout, base: base, config: config, arithmetic: arithmetic)
        if let values {
            _ = adapters.values.update(fromContentsOf: values)
        } else {
            layout.initialize(adapters.values, seed: 3)
        }
        let model = config.randomModel(threadCount: threads, arithmetic: arithmetic, retainedLogitBytes: 20_000)
        base.merge(UnsafeBufferPointer(adapters.values), layout, into: model.parameters.all)
        return Trainer(model: model, options: options, adapters: adapters)
    }

    /// Both matrices of every adapter away from zero.
    var randomValues: [Float] {
        var numbers = NumberSource(51)
        return numbers.floats(layout.elementCount, scale: 0.3)
    }
}

/// PEFT's numbers for adapters over the golden Llama.
private struct GoldenAdapters {
    let golden: Golden
    let adapted: AdaptedModel
    let values: [Float]
    let tensors: [String: [Float]]

    init() throws {
        golden = try Golden(.llama)
        adapted = try AdaptedModel(over: golden.model()) {
            $0.rank = 4
            $0.alpha = 6
        }
        let folder = try #require(Bundle.module.resourceURL).appendingPathComponent("Fixtures/llama")
        let file = try SafetensorsFile(folder.appendingPathComponent("adapters.safetensors"))
        tensors = file.tensors
        values = try adapted.layout.tensors.flatMap { try #require(file.tensors[$0.name], "no \($0.name)") }
    }
}

private func accumulate(_ trainer: Trainer, units: [Int]? = nil) -> TokenScores {
    var found = TokenScores(logProbs: [], entropies: [])
    trainer.accumulate(trainer.model.config.exampleGroups(), units: units, temperature: 0.8) { scores in
        found = scores
        return mixedGradients(scores.logProbs.count)
    }
    return found
}

@Suite struct AdapterTests {
    @Test(arguments: oddModels)
    func `new adapters leave the base exactly as it is`(_ config: ModelConfig) throws {
        let adapted = try AdaptedModel(config)
        let trainer = adapted.trainer()
        let values = trainer.adapters!.values
        #expect(values.contains { $0 != 0 })
        #expect(trainer.model.parameters.values.elementsEqual(adapted.plain.parameters.values))
        // A of q_proj in layer 0: uniform on ±1/√hidden.
        let bound = 1 / Float(config.hiddenSize).squareRoot()
        let first = values.prefix(3 * config.hiddenSize)
        #expect(first.allSatisfy { abs($0) <= bound } && first.contains { abs($0) > 0.9 * bound })
        let scores = accumulate(trainer)
        let expected = adapted.plain.score(config.exampleGroups(), temperature: 0.8)
        #expect(scores.logProbs == expected.logProbs && scores.entropies == expected.entropies)
    }

    /// Tolerances are those of GoldenTests: 1e-4 for a logit, 1e-5 for the loss, 1e-4 of a gradient's largest element.
    @Test func `logits, loss and gradients equal PEFT's`() throws {
        let peft = try GoldenAdapters()
        let trainer = peft.adapted.trainer(values: peft.values)
        for (index, input) in peft.golden.inputs.enumerated() {
            let expected = try #require(peft.tensors["logits_\(index)"])
            #expect(largestDifference(trainer.model.logits(input.ids), expected) <= 1e-4)
        }
        let loss = try #require(peft.tensors["loss"])[0]
        #expect(abs(peft.golden.accumulate(trainer) - Double(loss)) <= 1e-5)
        var offset = 0
        for tensor in peft.adapted.layout.tensors {
            let expected = try #require(peft.tensors["grad." + tensor.name])
            let found = trainer.adapters!.gradients[offset..<offset + tensor.elementCount]
            let largest = expected.reduce(0) { max($0, abs($1)) }
            #expect(largest > 0 && largestDifference(found, expected) <= 1e-4 * largest, "\(tensor.name)")
            offset += tensor.elementCount
        }
    }

    /// One merged element by hand: w + s·Σ b·a in double precision; float32 rounds three products and sums to 2^-24.
    @Test(arguments: oddModels)
    func `merged weights are the base plus the scaled product`(_ config: ModelConfig) throws {
        let adapted = try AdaptedModel(config)
        let values = adapted.randomValues
        let trainer = adapted.trainer(values: values)
        let merged = withExtendedLifetime(trainer) { Array(trainer.model.parameters.values) }
        let base = Array(adapted.plain.parameters.values)
        var touched = Set<Int>()
        for module in adapted.layout.groups.flatMap(\.modules) {
            for row in 0..<module.outputs {
                for column in 0..<module.inputs {
                    let at = module.weight + row * module.inputs + column
                    var sum = 0.0
                    for k in 0..<3 {
                        sum += Double(values[module.b + row * 3 + k])
                            * Double(values[module.a + k * module.inputs + column])
                    }
                    touched.insert(at)
                    guard abs(Double(merged[at]) - (Double(base[at]) + 1.5 * sum)) <= 1e-6 else {
                        Issue.record("\(module.name.rawValue) (\(row), \(column))")
                        return
                    }
                }
            }
        }
        #expect(base.indices.allSatisfy { touched.contains($0) || merged[$0] == base[$0] })
    }

    /// dB = s·dW·Aᵀ and dA = s·Bᵀ·dW with dW from training the same weights as a whole. Both ways round each of
    /// some hundred additions: 1e-4 of a tensor's largest element, as everywhere.
    @Test(arguments: oddModels, [LoRAOptions.Module.allCases, [.key, .up], [.down, .value, .query], [.output]])
    func `gradients are the chain rule's`(_ config: ModelConfig, _ targets: [LoRAOptions.Module]) throws {
        let adapted = try AdaptedModel(config) { $0.targetModules = targets }
        let values = adapted.randomValues
        let trainer = adapted.trainer(values: values)
        let whole = Trainer(model: config.randomModel(), options: OptimizerOptions())
        _ = whole.model.parameters.all.update(fromContentsOf: trainer.model.parameters.values)
        let scores = accumulate(trainer)
        #expect(scores.logProbs == accumulate(whole).logProbs)
        let found = Array(trainer.adapters!.gradients)
        let dW = whole.gradients.values
        for module in adapted.layout.groups.flatMap(\.modules) {
            var dA = [Double](repeating: 0, count: 3 * module.inputs)
            var dB = [Double](repeating: 0, count: 3 * module.outputs)
            for row in 0..<module.outputs {
                for column in 0..<module.inputs {
                    let d = 1.5 * Double(dW[module.weight + row * module.inputs + column])
                    for k in 0..<3 {
                        dB[row * 3 + k] += d * Double(values[module.a + k * module.inputs + column])
                        dA[k * module.inputs + column] += d * Double(values[module.b + row * 3 + k])
                    }
                }
            }
            for (expected, offset) in [(dA, module.a), (dB, module.b)] {
                let largest = expected.reduce(0) { max($0, abs($1)) }
                let difference = expected.indices.reduce(0.0) {
                    max($0, abs(expected[$1] - Double(found[offset + $1])))
                }
                #expect(largest > 0 && difference <= 1e-4 * largest, "\(module.name.rawValue)")
            }
        }
    }

    /// As for whole weights: along the gradient the loss changes by 2ε·|gradient|², within 1 %.
    @Test(arguments: oddModels)
    func `the gradient is the slope of the loss`(_ config: ModelConfig) throws {
        let adapted = try AdaptedModel(config)
        let values = adapted.randomValues
        let trainer = adapted.trainer(values: values)
        _ = accumulate(trainer)
        let gradient = Array(trainer.adapters!.gradients)
        let epsilon = Float(0.05 / dot(gradient, gradient))
        let losses = [epsilon, -epsilon].map { step in
            let moved = adapted.trainer(values: zip(values, gradient).map { $0 + step * $1 }).model
            let scores = moved.score(config.exampleGroups(), temperature: 0.8)
            let weights = mixedGradients(scores.logProbs.count)
            return dot(weights.logProbs, scores.logProbs) + dot(weights.entropies!, scores.entropies)
        }
        #expect(abs((losses[0] - losses[1]) / 0.1 - 1) <= 0.01)
    }

    /// As for whole weights: a cosine of 0.999 with adapters that leave the merged weights the size of the base's.
    @Test(arguments: oddModels)
    func `exact gradients point where the float32 ones point`(_ config: ModelConfig) throws {
        let adapted = try AdaptedModel(config)
        let values = adapted.randomValues.map { $0 / 2 }
        let trainers = [Arithmetic.float32, .exact(try KernelChoice.current.kernel)].map {
            adapted.trainer(values: values, arithmetic: $0)
        }
        for trainer in trainers { _ = accumulate(trainer) }
        let (x, y) = (trainers[0].adapters!.gradients, trainers[1].adapters!.gradients)
        #expect(dot(x, y) / (dot(x, x) * dot(y, y)).squareRoot() >= 0.999)
    }

    @Test(arguments: oddModels)
    func `threads, kernels and blocks computed again change no bit`(_ config: ModelConfig) throws {
        let adapted = try AdaptedModel(config)
        let values = adapted.randomValues
        func bits(
            _ arithmetic: Arithmetic, _ threads: Int, _ recompute: OptimizerOptions.Recompute, units: [Int]? = [1, 1]
        ) -> [UInt32] {
            let trainer = adapted.trainer(values: values, arithmetic: arithmetic, threads: threads) {
                $0.recompute = recompute
            }
            _ = accumulate(trainer, units: units)
            let gradients = trainer.adapters!.gradients.map(\.bitPattern)
            _ = trainer.update(learningRate: 0.01)
            _ = accumulate(trainer, units: units)
            return gradients + trainer.adapters!.gradients.map(\.bitPattern)
                + trainer.model.parameters.values.map(\.bitPattern)
        }
        for kernel in ExactKernel.all.filter(\.isSupported) {
            let expected = bits(.exact(try KernelChoice.current.kernel), 1, .none)
            for threads in 1...3 {
                let same = bits(.exact(kernel), threads, .none) == expected
                #expect(same, "\(kernel.name), \(threads) threads")
            }
            let same = bits(.exact(kernel), 2, .blocks) == expected
            #expect(same, "\(kernel.name)")
        }
        let same = bits(.float32, 1, .none, units: nil) == bits(.float32, 3, .blocks, units: nil)
        #expect(same)
    }

    @Test(arguments: OptimizerOptions.State.allCases)
    func `an update changes only what is adapted, and what it merges is what others merge`(
        _ kind: OptimizerOptions.State
    ) throws {
        let adapted = try AdaptedModel(oddModels[1]) { $0.targetModules = [.query, .down] }
        let trainer = adapted.trainer { $0.state = kind }
        for _ in 0..<3 {
            _ = accumulate(trainer)
            #expect(trainer.update(learningRate: 0.01) > 0)
            #expect(trainer.adapters!.gradients.allSatisfy { $0 == 0 })
        }
        let names = Set(zip(adapted.config.tensors, adapted.config.tensors.indices).compactMap { tensor, index in
            trainer.model.parameters.slice(at: index).elementsEqual(adapted.plain.parameters.slice(at: index))
                ? nil : tensor.name
        })
        #expect(names == Set((0..<2).flatMap {
            ["model.layers.\($0).self_attn.q_proj.weight", "model.layers.\($0).mlp.down_proj.weight"]
        }))
        let other = Parameters(config: adapted.config)
        adapted.base.merge(UnsafeBufferPointer(trainer.adapters!.values), adapted.layout, into: other.all)
        #expect(other.values.elementsEqual(trainer.model.parameters.values))
    }
}
