// Which tensors does a Hugging Face model folder hold, in one file or several?

/// A folder with config.json and either model.safetensors or the shards that model.safetensors.index.json names.
struct HuggingFaceFolder: Sendable {
    static let configName = "config.json"
    static let weightsName = "model.safetensors"
    static let indexName = "model.safetensors.index.json"
    private static let documentLimit = 64 << 20

    private struct Place: Sendable {
        let file: SafetensorsFile
        let tensor: SafetensorsFile.Tensor
    }

    let config: ModelConfig
    /// By the config's name.
    private let places: [String: Place]

    init(_ path: String) throws(WeightsError) {
        let configFile = path + "/" + HuggingFaceFolder.configName
        guard let bytes = try MappedFile.contents(configFile, limit: HuggingFaceFolder.documentLimit) else {
            throw WeightsError(
                file: path, subject: "model folder", found: "no config.json", expected: "a Hugging Face model folder",
                advice: "for a GGUF model, name the file itself")
        }
        config = try HuggingFaceConfig.parse(bytes, file: configFile)
        var stored = try HuggingFaceFolder.stored(path)
        var places: [String: Place] = [:]
        for shape in config.tensors {
            // Files of the bare model, without its head, lack the prefix.
            let bare = shape.name.hasPrefix("model.") ? String(shape.name.dropFirst(6)) : shape.name
            guard let place = stored.removeValue(forKey: shape.name) ?? stored.removeValue(forKey: bare) else {
                throw WeightsError(
                    file: path, subject: "tensor \(quoted(shape.name))", found: "none",
                    expected: "one of shape \(shape.dimensions)",
                    advice: shape.name == "lm_head.weight"
                        ? "set tie_word_embeddings in config.json if the embedding is the head" : nil)
            }
            guard place.tensor.dimensions == shape.dimensions, place.tensor.type != nil else {
                throw WeightsError(
                    file: place.file.path, subject: "tensor \(quoted(place.tensor.name))",
                    found: "\(place.tensor.dtype) of shape \(place.tensor.dimensions)",
                    expected: "F32, F16 or BF16 of shape \(shape.dimensions)")
            }
            places[shape.name] = place
        }
        self.places = places
        try HuggingFaceFolder.refuseExtra(stored, config: config)
    }

    /// - Precondition: `shape` is one of the config's tensors and `out` has its element count.
    func read(_ shape: TensorShape, into out: UnsafeMutableBufferPointer<Float>) throws(WeightsError) {
        guard let place = places[shape.name] else { preconditionFailure("\(shape.name) is no tensor of the model") }
        try place.file.read(place.tensor, into: out)
    }

    /// Tensors that the model would not use mean that it is another one. Two kinds are known to be spare: the head of a
    /// model whose embedding is the head, and rotary frequencies, which follow from the config.
    private static func refuseExtra(_ rest: [String: Place], config: ModelConfig) throws(WeightsError) {
        let extra = rest.keys.filter { name in
            !(config.tiedEmbeddings && name == "lm_head.weight") && !name.hasSuffix("rotary_emb.inv_freq")
        }
        guard let name = extra.min(), let place = rest[name] else { return }
        throw WeightsError(
            file: place.file.path, subject: "tensor \(quoted(name))",
            found: "a tensor that \(config.family.rawValue) has not",
            expected: "only the model's own tensors", advice: "this variant of the architecture is not supported")
    }

    private static func stored(_ path: String) throws(WeightsError) -> [String: Place] {
        let whole = path + "/" + weightsName
        if Disk.fileSize(whole) != nil {
            let file = try SafetensorsFile(whole)
            return Dictionary(uniqueKeysWithValues: file.tensors.map { ($0.name, Place(file: file, tensor: $0)) })
        }
        let indexFile = path + "/" + indexName
        guard let bytes = try MappedFile.contents(indexFile, limit: documentLimit) else {
            let pickled = try Disk.names(in: path).contains { $0.hasPrefix("pytorch_model") }
            throw WeightsError(
                file: path, subject: "weights", found: pickled ? "only pickled weights" : "none",
                expected: "\(weightsName) or \(indexName)",
                advice: pickled ? "pickles can run code and are never read: convert them to safetensors" : nil)
        }
        return try shards(
            JSONReader.read(bytes, file: indexFile, subject: "index"), indexFile: indexFile, folder: path)
    }

    private static func shards(
        _ index: JSONValue, indexFile: String, folder: String
    ) throws(WeightsError) -> [String: Place] {
        guard let map = index.object?["weight_map"]?.object else {
            throw WeightsError(file: indexFile, subject: "key `weight_map`", found: "none", expected: "an object")
        }
        var fileOf: [String: String] = [:]
        for name in map.keys.sorted() {
            guard let file = map[name]?.string, !file.isEmpty, !file.contains("/"), file != "..", file != "." else {
                throw WeightsError(
                    file: indexFile, subject: "tensor \(quoted(name))", found: map[name]?.kind ?? "none",
                    expected: "a file name in the same folder")
            }
            fileOf[name] = file
        }
        var places: [String: Place] = [:]
        for shard in Set(fileOf.values).sorted() {
            let file = try SafetensorsFile(folder + "/" + shard)
            for tensor in file.tensors {
                guard fileOf[tensor.name] == shard else {
                    throw WeightsError(
                        file: file.path, subject: "tensor \(quoted(tensor.name))", found: "it here",
                        expected: fileOf[tensor.name].map { "it in \($0), as the index says" }
                            ?? "no such tensor in the index")
                }
                places[tensor.name] = Place(file: file, tensor: tensor)
            }
        }
        if let missing = fileOf.keys.filter({ places[$0] == nil }).min() {
            throw WeightsError(
                file: folder + "/" + (fileOf[missing] ?? ""), subject: "tensor \(quoted(missing))", found: "none",
                expected: "one, as the index says")
        }
        return places
    }
}
