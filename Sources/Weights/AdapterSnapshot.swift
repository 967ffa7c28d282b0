// How does a policy version that is adapters over a base lie on disk, and how is it proved?

import Rollouts

/// One safetensors file of the adapters in the layout's order, float32. Its metadata names the base by its blob and by
/// its weights' hash, so that whoever has this file knows what else to fetch.
package enum AdapterSnapshot {
    /// What a file says before its numbers are read.
    package struct Description: Equatable, Sendable {
        package var options: LoRAOptions
        package var base: BlobReference
        package var baseHash: Digest
        package init(options: LoRAOptions, base: BlobReference, baseHash: Digest) {
            self.options = options
            self.base = base
            self.baseHash = baseHash
        }
    }

    private enum Key {
        static let base = "base_blake2b_256"
        static let baseBytes = "base_bytes"
        static let baseHash = "base_weights_hash"
        static let rank = "lora_rank"
        static let alpha = "lora_alpha"
        static let modules = "lora_target_modules"
    }

    package static func write(
        _ adapters: UnsafeBufferPointer<Float>, layout: AdapterLayout, base: BlobReference, baseHash: Digest,
        to directory: String
    ) throws(WeightsError) -> Snapshot.Written {
        precondition(
            adapters.count == layout.elementCount,
            "\(adapters.count) adapter weights, the layout has \(layout.elementCount)")
        let description = Description(options: layout.options, base: base, baseHash: baseHash)
        let tensors = layout.tensors.stored(as: .float32)
        let writer = try SafetensorsWriter(in: directory, tensors: tensors, metadata: metadata(description))
        try TensorEncoder(tensors: tensors).encode(
            file: writer.file.path, values: TensorEncoder.backToBack(adapters), append: writer.append)
        let (blob, digests) = writer.finish()
        let inner = WeightsHash.combine(tensors: tensors, digests: digests)
        let path = try writer.file.commit(as: "\(blob.digest)")
        return Snapshot.Written(blob: blob, weightsHash: hash(description, adapters: inner), path: path)
    }

    /// - Returns: nil for a snapshot of whole weights.
    package static func describe(file path: String) throws(WeightsError) -> Description? {
        try description(SafetensorsFile(path))
    }

    /// Fills `adapters` after checking the header against the layout and the hash.
    /// - Parameters:
    ///   - layout: of the options that `describe` gave.
    ///   - expected: refused when the version's hash is another; nil takes any.
    /// - Returns: the version's hash: of the base and the adapters. `adapters` is untouched when this throws.
    @discardableResult
    package static func read(
        file path: String, layout: AdapterLayout, expecting expected: Digest?,
        into adapters: UnsafeMutableBufferPointer<Float>, parallel: ParallelLoop = WeightsHash.concurrently
    ) throws(WeightsError) -> Digest {
        precondition(
            adapters.count == layout.elementCount,
            "room for \(adapters.count) adapter weights, the layout has \(layout.elementCount)")
        let file = try SafetensorsFile(path)
        let description = try check(file, holds: layout)
        let inner = WeightsHash.compute(
            tensors: layout.tensors.stored(as: .float32), bytes: file.dataBytes, parallel: parallel)
        let hash = hash(description, adapters: inner)
        try Snapshot.check(hash, expecting: expected, file: path)
        withExtendedLifetime(file) { ElementType.float32.decode(file.dataBytes, into: adapters) }
        return hash
    }

    /// Refuses a file that does not hold exactly these adapters.
    @discardableResult
    static func check(_ file: SafetensorsFile, holds layout: AdapterLayout) throws(WeightsError) -> Description {
        guard let description = try description(file), description.options == layout.options else {
            throw WeightsError(
                file: file.path, subject: "adapters", found: "whole weights or other adapters",
                expected: "rank \(layout.options.rank), alpha \(layout.options.alpha), "
                    + modules(layout.options), advice: "set `lora` to what the run was started with")
        }
        guard try Snapshot.check(file, holds: layout.tensors) == .float32 else {
            throw WeightsError(file: file.path, subject: "tensor type", found: "another", expected: "F32")
        }
        return description
    }

    /// BLAKE2b-256 over "lora", a zero byte, and everything the adapted weights are a function of.
    private static func hash(_ description: Description, adapters: Digest) -> Digest {
        let blake = Blake2b()
        let options = description.options
        blake.update(Array("lora\0\(options.rank)\0\(options.alpha)\0\(modules(options))\0".utf8))
        blake.update(description.baseHash.bytes + adapters.bytes)
        return blake.finish()
    }

    private static func modules(_ options: LoRAOptions) -> String {
        options.targetModules.map(\.rawValue).joined(separator: ",")
    }

    private static func metadata(_ description: Description) -> [(String, String)] {
        [
            (Key.base, "\(description.base.digest)"), (Key.baseBytes, "\(description.base.byteCount)"),
            (Key.baseHash, "\(description.baseHash)"), (Key.rank, "\(description.options.rank)"),
            (Key.alpha, "\(description.options.alpha)"), (Key.modules, modules(description.options)),
        ]
    }

    private static func description(_ file: SafetensorsFile) throws(WeightsError) -> Description? {
        guard file.metadata[Key.base] != nil else { return nil }
        func value<Value>(
            _ key: String, _ expected: String, _ parse: (String) -> Value?
        ) throws(WeightsError) -> Value {
            if let value = file.metadata[key].flatMap(parse) { return value }
            throw WeightsError(
                file: file.path, subject: "metadata key `\(key)`",
                found: file.metadata[key].map { quoted($0) } ?? "none", expected: expected)
        }
        var options = LoRAOptions()
        options.rank = try value(Key.rank, "an integer 1…1024") { Int($0).flatMap { (1...1024) ~= $0 ? $0 : nil } }
        options.alpha = try value(Key.alpha, "a number above 0") {
            Double($0).flatMap { $0 > 0 && $0.isFinite ? $0 : nil }
        }
        options.targetModules = try value(Key.modules, "names of modules, none twice") { text in
            let names = text.split(separator: ",", omittingEmptySubsequences: false)
            let modules = names.compactMap { LoRAOptions.Module(rawValue: String($0)) }
            return modules.count == names.count && Set(modules).count == modules.count ? modules : nil
        }
        let digest = try value(Key.base, "a hash", Digest.init(hex:))
        let byteCount = try value(Key.baseBytes, "a number of bytes") { Int($0).flatMap { $0 >= 0 ? $0 : nil } }
        return Description(
            options: options, base: BlobReference(digest: digest, byteCount: byteCount),
            baseHash: try value(Key.baseHash, "a hash", Digest.init(hex:)))
    }
}

extension Snapshot {
    /// A version's whole weights, whichever way its file holds them: adapters are merged into their base.
    /// - Parameter base: opens the base that adapters name.
    /// - Returns: the version's hash. `parameters` is untouched when this throws.
    @discardableResult
    package static func readWhole(
        file path: String, config: ModelConfig, expecting expected: Digest?,
        into parameters: UnsafeMutableBufferPointer<Float>,
        base: (AdapterSnapshot.Description) throws(WeightsError) -> BaseWeights
    ) throws(WeightsError) -> Digest {
        guard let description = try AdapterSnapshot.describe(file: path) else {
            return try read(file: path, config: config, expecting: expected, into: parameters)
        }
        let layout = AdapterLayout(config: config, options: description.options)
        try AdapterSnapshot.check(SafetensorsFile(path), holds: layout)
        let adapters = UnsafeMutableBufferPointer<Float>.allocate(capacity: layout.elementCount)
        defer { adapters.deallocate() }
        let hash = try AdapterSnapshot.read(file: path, layout: layout, expecting: expected, into: adapters)
        try base(description).merge(UnsafeBufferPointer(adapters), layout, into: parameters)
        return hash
    }
}
