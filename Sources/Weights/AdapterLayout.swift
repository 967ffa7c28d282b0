// Which low-rank adapters does a model have, and where does each lie in one flat list of numbers?

import CKernels
import Rollouts

/// Two matrices A (rank, inputs) and B (outputs, rank) for each adapted dense layer; the adapted weight is
/// W + (alpha / rank)·B·A. Source: LoRA, arXiv:2106.09685 §4.1. Tensors have the names of Hugging Face's PEFT.
///
/// In order of layers; in a layer the groups of modules that read the same input (query, key and value; output; gate
/// and up; down); in a group all A, which so are one matrix, then all B.
package struct AdapterLayout: Equatable, Sendable {
    package struct Module: Equatable, Sendable {
        package var name: LoRAOptions.Module
        package var outputs: Int
        package var inputs: Int
        /// Offsets in the adapters' list, and of W in the model's.
        package var a, b, weight: Int
    }
    /// Modules with the same input.
    package struct Group: Equatable, Sendable {
        package var layer: Int
        package var modules: [Module]
    }

    package let options: LoRAOptions
    package let groups: [Group]
    package let tensors: [TensorShape]
    package let elementCount: Int

    /// Modules of a block that read the same input, in the model's order.
    private static let sharing: [[LoRAOptions.Module]] = [[.query, .key, .value], [.output], [.gate, .up], [.down]]

    package init(config: ModelConfig, options: LoRAOptions) {
        precondition(options.rank > 0 && !options.targetModules.isEmpty, "AdapterLayout: \(options)")
        var weights: [String: (offset: Int, shape: TensorShape)] = [:]
        var offset = 0
        for shape in config.tensors {
            weights[shape.name] = (offset, shape)
            offset += shape.elementCount
        }
        var groups: [Group] = []
        var tensors: [TensorShape] = []
        var next = 0
        for layer in 0..<config.layerCount {
            for sharing in AdapterLayout.sharing {
                let names = sharing.filter { options.targetModules.contains($0) }
                guard !names.isEmpty else { continue }
                var modules: [Module] = []
                for name in names {
                    let path = AdapterLayout.path(name, layer: layer)
                    guard let (offset, shape) = weights[path + ".weight"] else {
                        preconditionFailure("AdapterLayout: the model has no \(path)")
                    }
                    let (outputs, inputs) = (shape.dimensions[0], shape.dimensions[1])
                    modules.append(
                        Module(name: name, outputs: outputs, inputs: inputs, a: next, b: 0, weight: offset))
                    tensors.append(AdapterLayout.tensor(path, "lora_A", [options.rank, inputs]))
                    next += options.rank * inputs
                }
                for index in modules.indices {
                    let path = AdapterLayout.path(names[index], layer: layer)
                    modules[index].b = next
                    tensors.append(AdapterLayout.tensor(path, "lora_B", [modules[index].outputs, options.rank]))
                    next += modules[index].outputs * options.rank
                }
                groups.append(Group(layer: layer, modules: modules))
            }
        }
        self.options = options
        self.groups = groups
        self.tensors = tensors
        elementCount = next
    }

    package var scale: Float { Float(options.alpha / Double(options.rank)) }

    /// A of the uniform distribution on ±1/√inputs (Kaiming's with a = √5, as PEFT has it), B zero: the adapted
    /// model begins as the base. A function of the seed and each element's place alone.
    package func initialize(_ adapters: UnsafeMutableBufferPointer<Float>, seed: UInt64) {
        precondition(adapters.count == elementCount, "room for \(adapters.count) of \(elementCount) adapter weights")
        adapters.update(repeating: 0)
        guard let base = adapters.baseAddress else { return }
        for (index, module) in groups.flatMap(\.modules).enumerated() {
            // Apart from the numbers that random base weights are made of.
            let tagged = UInt64(index) | 1 << 40 | UInt64(KeyedRandom.Use.initialisation.rawValue) << 56
            uniform_fill(
                base + module.a, Int64(options.rank * module.inputs), seed, tagged,
                1 / Float(module.inputs).squareRoot())
        }
    }

    /// `model.layers.3.self_attn.q_proj`
    private static func path(_ name: LoRAOptions.Module, layer: Int) -> String {
        switch name {
        case .query, .key, .value, .output: "model.layers.\(layer).self_attn.\(name.rawValue)"
        case .gate, .up, .down: "model.layers.\(layer).mlp.\(name.rawValue)"
        }
    }

    private static func tensor(_ path: String, _ matrix: String, _ dimensions: [Int]) -> TensorShape {
        TensorShape("base_model.model.\(path).\(matrix).weight", dimensions)
    }
}
