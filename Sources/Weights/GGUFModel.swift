// Which model is in a GGUF file? Source of the key names: the GGUF specification, "LLM" keys.

/// A GGUF file whose architecture is supported and whose tensors are exactly that model's.
package struct GGUFModel: Sendable {
    let file: GGUFFile
    package let config: ModelConfig
    /// By Hugging Face name.
    private let tensors: [String: GGUFFile.Tensor]

    package init(_ file: GGUFFile) throws(WeightsError) {
        var byName: [String: GGUFFile.Tensor] = [:]
        for tensor in file.tensors { byName[tensor.name] = tensor }
        var config = try GGUFArchitecture(file: file).config(tensors: byName)
        if let factors = byName.removeValue(forKey: GGUFNaming.rotaryFactors) {
            config.rotaryScaling = try GGUFModel.scaling(factors, of: file, config: config)
        }
        var tensors: [String: GGUFFile.Tensor] = [:]
        for shape in config.tensors {
            let name = GGUFNaming.name(of: shape.name)
            guard let tensor = byName.removeValue(forKey: name) else {
                throw WeightsError(
                    file: file.path, subject: "tensor \(quoted(name))", found: "none",
                    expected: "one of dimensions \(shape.dimensions)")
            }
            guard tensor.dimensions == shape.dimensions else {
                throw WeightsError(
                    file: file.path, subject: "tensor \(quoted(name))", found: "dimensions \(tensor.dimensions)",
                    expected: "\(shape.dimensions)")
            }
            tensors[shape.name] = tensor
        }
        if let extra = byName.keys.min() {
            throw WeightsError(
                file: file.path, subject: "tensor \(quoted(extra))",
                found: "a tensor that \(config.family.rawValue) has not",
                expected: "only the model's own tensors",
                advice: "this variant of the architecture is not supported")
        }
        self.file = file
        self.config = config
        self.tensors = tensors
    }

    /// - Precondition: `shape` is one of the config's tensors and `out` has its element count.
    func read(_ shape: TensorShape, into out: UnsafeMutableBufferPointer<Float>) {
        guard let tensor = tensors[shape.name] else { preconditionFailure("\(shape.name) is no tensor of the model") }
        guard let order = RotaryRowOrder(config: config, name: shape.name) else { return file.read(tensor, into: out) }
        let stored = file.bytes(of: tensor)
        let columns = shape.dimensions[1]
        let rowBytes = stored.count / shape.dimensions[0]
        for row in 0..<shape.dimensions[0] {
            let start = order.interleaved(row) * rowBytes
            tensor.type.decode(
                UnsafeRawBufferPointer(rebasing: stored[start..<start + rowBytes]),
                into: UnsafeMutableBufferPointer(rebasing: out[row * columns..<(row + 1) * columns]))
        }
    }

    private static func scaling(
        _ factors: GGUFFile.Tensor, of file: GGUFFile, config: ModelConfig
    ) throws(WeightsError) -> RotaryScaling? {
        guard factors.dimensions == [config.headDimension / 2], config.rotaryScaling == nil else {
            throw WeightsError(
                file: file.path, subject: "tensor \(quoted(factors.name))",
                found: config.rotaryScaling == nil
                    ? "dimensions \(factors.dimensions)" : "it beside `rope.scaling` metadata",
                expected: "[\(config.headDimension / 2)] and no other scaling")
        }
        var values = [Float](repeating: 0, count: factors.elementCount)
        values.withUnsafeMutableBufferPointer { file.read(factors, into: $0) }
        return try RotaryFactors.recognize(
            values, base: config.rotaryBase, headDimension: config.headDimension, file: file.path)
    }
}
