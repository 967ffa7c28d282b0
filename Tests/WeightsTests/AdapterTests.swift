// Are adapters named, stored, proved, checkpointed and exported as they must be?

import Foundation
import Rollouts
import Testing

@testable import Weights

@Suite struct AdapterTests {
    private let folder = ScratchFolder()

    private var options: LoRAOptions {
        var options = LoRAOptions()
        options.rank = 2
        options.alpha = 3
        options.targetModules = [.value, .query, .down]
        return options
    }

    private func base(_ config: ModelConfig) throws -> Snapshot.Written {
        try config.sampleParameters.withUnsafeBufferPointer {
            try Snapshot.write(config: config, parameters: $0, to: folder.path)
        }
    }

    private func write(
        _ values: [Float], _ layout: AdapterLayout, _ base: Snapshot.Written
    ) throws -> Snapshot.Written {
        try values.withUnsafeBufferPointer {
            try AdapterSnapshot.write(
                $0, layout: layout, base: base.blob, baseHash: base.weightsHash, to: folder.path)
        }
    }

    private func read(_ path: String, _ layout: AdapterLayout, _ hash: Digest?) throws -> [Float] {
        var room = [Float](repeating: 99, count: layout.elementCount)
        try room.withUnsafeMutableBufferPointer {
            _ = try AdapterSnapshot.read(file: path, layout: layout, expecting: hash, into: $0)
        }
        return room
    }

    private func values(_ layout: AdapterLayout) -> [Float] { (0..<layout.elementCount).map { Float($0 % 13) - 6 } }

    @Test func `tensors have PEFT's names and shapes, modules of one input side by side`() {
        let layout = AdapterLayout(config: .tiny(.qwen2), options: options)
        let prefix = "base_model.model.model.layers.1."
        #expect(layout.tensors.count == 12 && layout.scale == 1.5)
        #expect(
            layout.tensors.suffix(6) == [
                TensorShape(prefix + "self_attn.q_proj.lora_A.weight", [2, 8]),
                TensorShape(prefix + "self_attn.v_proj.lora_A.weight", [2, 8]),
                TensorShape(prefix + "self_attn.q_proj.lora_B.weight", [16, 2]),
                TensorShape(prefix + "self_attn.v_proj.lora_B.weight", [8, 2]),
                TensorShape(prefix + "mlp.down_proj.lora_A.weight", [2, 12]),
                TensorShape(prefix + "mlp.down_proj.lora_B.weight", [8, 2]),
            ])
        #expect(layout.elementCount == 2 * (2 * 16 + 32 + 16 + 24 + 16))
    }

    @Test func `new adapters depend on the seed alone, and B is zero`() {
        let layout = AdapterLayout(config: .tiny(.llama), options: options)
        func made(_ seed: UInt64) -> [Float] {
            var values = [Float](repeating: 5, count: layout.elementCount)
            values.withUnsafeMutableBufferPointer { layout.initialize($0, seed: seed) }
            return values
        }
        #expect(made(1) == made(1) && made(1) != made(2))
        for module in layout.groups.flatMap(\.modules) {
            let a = made(1)[module.a..<module.a + 2 * module.inputs]
            #expect(Set(a).count == a.count && a.allSatisfy { abs($0) <= 1 / Float(module.inputs).squareRoot() })
            #expect(made(1)[module.b..<module.b + 2 * module.outputs].allSatisfy { $0 == 0 })
        }
    }

    @Test func `a version names its base and its hash covers both`() throws {
        let config = ModelConfig.tiny(.llama)
        let layout = AdapterLayout(config: config, options: options)
        let base = try base(config)
        let written = try write(values(layout), layout, base)
        #expect(
            try AdapterSnapshot.describe(file: written.path)
                == .init(options: options, base: base.blob, baseHash: base.weightsHash))
        #expect(try AdapterSnapshot.describe(file: base.path) == nil)
        #expect(try read(written.path, layout, written.weightsHash) == values(layout))
        #expect(written.blob.byteCount < 4 * layout.elementCount + 3000)
        // Another base, other numbers, another scale: another hash.
        let other = Snapshot.Written(blob: base.blob, weightsHash: TreeHash.hash([1]), path: base.path)
        var moved = values(layout)
        moved[5] += 1
        var scaled = options
        scaled.alpha = 6
        let hashes = [
            written.weightsHash, try write(values(layout), layout, other).weightsHash,
            try write(moved, layout, base).weightsHash,
            try write(values(layout), AdapterLayout(config: config, options: scaled), base).weightsHash,
        ]
        #expect(Set(hashes).count == 4)
    }

    @Test func `damage, other adapters and other bases are refused`() throws {
        let config = ModelConfig.tiny(.llama)
        let layout = AdapterLayout(config: config, options: options)
        let base = try base(config)
        let written = try write(values(layout), layout, base)
        var bytes = folder.contents("\(written.blob.digest)")
        bytes[bytes.count - 3] ^= 1
        let damaged = folder.write("damaged", bytes)
        let error = #expect(throws: WeightsError.self) { try read(damaged, layout, written.weightsHash) }
        #expect(error?.subject == "weights hash")
        var wider = options
        wider.rank = 4
        let mismatch = #expect(throws: WeightsError.self) {
            try read(written.path, AdapterLayout(config: config, options: wider), nil)
        }
        #expect(mismatch?.description.contains("expected rank 4, alpha 3.0, v_proj,q_proj,down_proj") == true)
        #expect(throws: WeightsError.self) {
            try BaseWeights(file: base.path, blob: base.blob, config: config, expecting: TreeHash.hash([1]))
        }
        // A header that promises more than there is, and options that are none.
        for (key, from, to) in [("lora_rank", "2", "9"), ("lora_alpha", "3.0", "-.0")] {
            var text = folder.contents("\(written.blob.digest)")
            let member = Array("\"\(key)\":\"\(from)\"".utf8)
            let at = try #require(text.indices.first { text[$0...].starts(with: member) })
            text.replaceSubrange(at..<at + member.count, with: Array("\"\(key)\":\"\(to)\"".utf8))
            let file = folder.write("altered", text)
            var room = [Float](repeating: 0, count: config.elementCount)
            #expect(throws: WeightsError.self) {
                try room.withUnsafeMutableBufferPointer {
                    _ = try Snapshot.readWhole(file: file, config: config, expecting: nil, into: $0) { _ in
                        preconditionFailure("refused before the base is opened")
                    }
                }
            }
        }
    }

    @Test func `a version's whole weights are the base's with the product added`() throws {
        let config = ModelConfig.tiny(.llama)
        let layout = AdapterLayout(config: config, options: options)
        let base = try base(config)
        let values = values(layout)
        let written = try write(values, layout, base)
        var merged = [Float](repeating: 99, count: config.elementCount)
        let hash = try merged.withUnsafeMutableBufferPointer {
            try Snapshot.readWhole(file: written.path, config: config, expecting: written.weightsHash, into: $0) {
                description throws(WeightsError) in
                try BaseWeights(
                    file: base.path, blob: description.base, config: config, expecting: description.baseHash)
            }
        }
        #expect(hash == written.weightsHash)
        // All numbers are small integers over a power of two: sums are exact.
        var expected = config.sampleParameters
        for module in layout.groups.flatMap(\.modules) {
            for row in 0..<module.outputs {
                for column in 0..<module.inputs {
                    for k in 0..<2 {
                        expected[module.weight + row * module.inputs + column] +=
                            1.5 * values[module.b + 2 * row + k] * values[module.a + k * module.inputs + column]
                    }
                }
            }
        }
        #expect(merged == expected)
    }

    @Test func `a checkpoint of adapters holds their base too, and its damage is seen`() throws {
        let config = ModelConfig.tiny(.llama)
        let layout = AdapterLayout(config: config, options: options)
        let blobs = try BlobStore(directory: folder.path)
        let checkpoints = try CheckpointStore(directory: folder.path + "/checkpoints")
        let base = try base(config)
        let written = try write(values(layout), layout, base)
        let checkpoint = try checkpoints.write(
            step: 3, weights: written.blob, optimizer: nil, base: base.blob, state: Array("{}".utf8), from: blobs)
        for blob in try blobs.list() { try blobs.remove(blob) }
        #expect(try checkpoints.newestValid { Issue.record($0) } == checkpoint)
        let description = try #require(try AdapterSnapshot.describe(file: checkpoint.weightsFile))
        #expect(try checkpoint.base(description, config: config).weightsHash == base.weightsHash)
        let file = try #require(checkpoint.baseFile)
        var bytes = folder.contents("checkpoints/step-000003/base.safetensors")
        bytes[bytes.count - 1] ^= 1
        try FileManager.default.removeItem(atPath: file)
        folder.write("checkpoints/step-000003/base.safetensors", bytes)
        var reports: [String] = []
        #expect(try checkpoints.newestValid { reports.append($0.description) } == nil)
        #expect(reports.count == 1 && reports[0].contains("base.safetensors: hash"))
    }

    @Test(arguments: FloatFormat.allCases)
    func `exported adapters have PEFT's files, settings and tensors`(_ format: FloatFormat) throws {
        let layout = AdapterLayout(config: .tiny(.qwen3), options: options)
        let values = values(layout)
        let target = folder.path + "/peft"
        try values.withUnsafeBufferPointer {
            try Export.adapters(
                $0, layout: layout, baseModel: "models/base", format: format,
                tokenizerFiles: ["tokenizer.json": [123, 125]], to: target)
        }
        #expect(try Disk.names(in: target) == ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json"])
        let text = folder.contents("peft/adapter_config.json")
        let config = try #require(try JSONReader.read(text, file: "x", subject: "y").object)
        #expect(config["peft_type"]?.string == "LORA" && config["task_type"]?.string == "CAUSAL_LM")
        #expect(config["r"]?.integer == 2 && config["base_model_name_or_path"]?.string == "models/base")
        #expect(config["target_modules"]?.array?.map(\.string) == ["v_proj", "q_proj", "down_proj"])
        let file = try SafetensorsFile(target + "/adapter_model.safetensors")
        #expect(file.tensors.map(\.name) == layout.tensors.map(\.name))
        var read: [Float] = []
        for tensor in file.tensors {
            var room = [Float](repeating: 0, count: tensor.dimensions.reduce(1, *))
            try room.withUnsafeMutableBufferPointer { try file.read(tensor, into: $0) }
            read += room
        }
        #expect(read == values)
    }
}
