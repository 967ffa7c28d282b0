// Which weights this process holds: loading a version, sharing it between sampling and learning, writing new ones.

import Engine
import Rollouts
import Weights

package final class PolicyHolder {
    let config: ModelConfig
    /// Another folder when the run's coordinator came back elsewhere.
    var blobs: BlobStore
    let threads: ThreadPool
    /// Of every model over these weights.
    let arithmetic: Arithmetic

    /// What completions are sampled from. The same object as `learning` while the two may share.
    private(set) var sampling: Parameters?
    private(set) var samplingManifest: PolicyManifest?
    /// The learner's master copy; nil until a learner's order comes.
    private(set) var learning: Parameters?
    private(set) var learningManifest: PolicyManifest?
    /// What the learner was told to start from.
    private var restart: PolicyManifest?
    /// The frozen base policy for KL; nil until asked for.
    private var reference: Parameters?
    private var referenceHash: Digest?
    /// What adapters were last merged into.
    private var base: BaseWeights?
    /// For helping a learner; nil until asked for.
    private var whole: Parameters?
    private var wholeHash: Digest?

    init(config: ModelConfig, blobs: BlobStore, threads: ThreadPool, arithmetic: Arithmetic) {
        self.config = config
        self.blobs = blobs
        self.threads = threads
        self.arithmetic = arithmetic
    }

    func model(over parameters: Parameters, copies: PackedCopies = .kept) -> TransformerModel {
        TransformerModel(parameters: parameters, threads: threads, arithmetic: arithmetic, copies: copies)
    }

    /// Loads a version for sampling. A failure leaves the version held before in place.
    /// - Parameter samplingApart: keep these weights apart from the learner's.
    /// - Returns: the hash computed over what is now held.
    func load(_ manifest: PolicyManifest, samplingApart: Bool) throws -> Digest {
        if let held = samplingManifest, held.weightsHash == manifest.weightsHash, sampling != nil {
            samplingManifest = manifest
            return held.weightsHash
        }
        if let held = learningManifest, held.weightsHash == manifest.weightsHash, !samplingApart {
            sampling = learning
            samplingManifest = manifest
            return held.weightsHash
        }
        // A shared set must not be overwritten: the learner may still need it.
        let reusable = sampling !== learning ? sampling : nil
        // Not this version until the hash is verified, and no longer the old one either.
        samplingManifest = nil
        sampling = nil
        let (parameters, hash) = try read(manifest, reusing: reusable)
        sampling = parameters
        samplingManifest = manifest
        return hash
    }

    /// Makes the version held for sampling the learner's own. Where a learner changed that in place since it was
    /// loaded, the version it was told to start from is read from the blob store again.
    func takeForLearning(_ base: PolicyVersion, samplingApart: Bool) throws(ComputeError) -> Parameters {
        if let learning, learningManifest?.version == base { return learning }
        if samplingManifest?.version != base, let restart, restart.version == base {
            _ = try wrap { try load(restart, samplingApart: samplingApart) }
        }
        guard let manifest = samplingManifest, manifest.version == base, let held = sampling else {
            throw ComputeError.wrongPolicy(held: learningManifest?.version ?? samplingManifest?.version, wanted: base)
        }
        let parameters: Parameters
        if !samplingApart, held.isWhole {
            parameters = held
        } else {
            parameters = Parameters(config: config)
            if held.isWhole {
                _ = parameters.all.update(fromContentsOf: held.values)
            } else {
                _ = try wrap { try readWhole(manifest, into: parameters) }
            }
            if !samplingApart { sampling = parameters }
        }
        learning = parameters
        learningManifest = manifest
        return parameters
    }

    /// The next learner starts from the policy held, with this manifest's optimizer state.
    func restartLearning(_ manifest: PolicyManifest) {
        // What sampling holds stays: a shared set that was being changed is no version and was marked so.
        learning = nil
        learningManifest = nil
        restart = manifest
        if samplingManifest?.weightsHash == manifest.weightsHash { samplingManifest = manifest }
    }

    /// The learner changed its parameters in place: `manifest` is what they are now.
    func learned(_ manifest: PolicyManifest) {
        if sampling === learning { samplingManifest = manifest }
        learningManifest = manifest
    }

    /// The learner is about to change its parameters in place: until `learned` they are no version.
    func willLearn() {
        if sampling === learning { samplingManifest = nil }
        learningManifest = nil
    }

    /// The version held for sampling, in float32: backward passes read matrices that a set for sampling alone has not.
    func wholeSampling(_ version: PolicyVersion) throws(ComputeError) -> (Parameters, PolicyManifest) {
        guard let manifest = samplingManifest, manifest.version == version, let held = sampling else {
            throw ComputeError.wrongPolicy(held: samplingManifest?.version, wanted: version)
        }
        if held.isWhole { return (held, manifest) }
        let parameters = whole ?? Parameters(config: config)
        if wholeHash != manifest.weightsHash {
            wholeHash = nil
            _ = try wrap { try readWhole(manifest, into: parameters) }
            (whole, wholeHash) = (parameters, manifest.weightsHash)
        }
        return (parameters, manifest)
    }

    func referenceParameters(_ manifest: PolicyManifest) throws(ComputeError) -> Parameters {
        if let reference, referenceHash == manifest.weightsHash { return reference }
        let (parameters, _) = try wrap { try read(manifest, reusing: nil) }
        reference = parameters
        referenceHash = manifest.weightsHash
        return parameters
    }

    /// The adapters of the version that is learned from, over their base.
    func adapters(_ options: LoRAOptions, seed: UInt64) throws(ComputeError) -> AdapterTraining {
        guard let manifest = learningManifest else { throw ComputeError.wrongPolicy(held: nil, wanted: .base) }
        return try adapters(options, of: manifest, seed: seed)
    }

    /// Of a version without any (the base itself) they are made from the seed.
    func adapters(
        _ options: LoRAOptions, of manifest: PolicyManifest, seed: UInt64
    ) throws(ComputeError) -> AdapterTraining {
        let layout = AdapterLayout(config: config, options: options)
        let path = blobs.path(for: manifest.weights)
        return try wrap {
            guard let description = try AdapterSnapshot.describe(file: path) else {
                let base = try base(
                    AdapterSnapshot.Description(
                        options: options, base: manifest.weights, baseHash: manifest.weightsHash))
                let made = AdapterTraining(layout: layout, base: base, config: config, arithmetic: arithmetic)
                layout.initialize(made.values, seed: seed)
                return made
            }
            let made = AdapterTraining(
                layout: layout, base: try base(description), config: config, arithmetic: arithmetic)
            try AdapterSnapshot.read(
                file: path, layout: layout, expecting: manifest.weightsHash, into: made.values)
            return made
        }
    }

    /// Writes the learner's adapters as a blob.
    func writeSnapshot(_ adapters: AdapterTraining, version: PolicyVersion) throws(ComputeError) -> PolicyManifest {
        let written = try wrap {
            try AdapterSnapshot.write(
                UnsafeBufferPointer(adapters.values), layout: adapters.layout, base: adapters.base.blob,
                baseHash: adapters.base.weightsHash, to: blobs.directory)
        }
        return PolicyManifest(version: version, weightsHash: written.weightsHash, weights: written.blob)
    }

    /// Writes the learner's parameters as a blob.
    /// - Parameter durable: whether it must survive a loss of power.
    func writeSnapshot(
        version: PolicyVersion, format: SnapshotFormat, durable: Bool
    ) throws(ComputeError) -> PolicyManifest {
        guard let learning else { throw ComputeError.wrongPolicy(held: nil, wanted: version) }
        let written = try wrap {
            try Snapshot.write(
                config: config, parameters: learning.values, format: format, durable: durable, to: blobs.directory)
        }
        return PolicyManifest(version: version, weightsHash: written.weightsHash, weights: written.blob)
    }

    /// A version's weights in the form that takes the least memory to sample and score with.
    /// - Parameter former: a set that nobody needs any more.
    private func read(
        _ manifest: PolicyManifest, reusing former: Parameters?
    ) throws -> (parameters: Parameters, hash: Digest) {
        let path = blobs.path(for: manifest.weights)
        if case .exact = arithmetic, try AdapterSnapshot.describe(file: path) == nil {
            let snapshot = try MappedSnapshot(
                file: path, config: config, expecting: manifest.weightsHash)
            if snapshot.format == .bfloat16 {
                let parameters = former.flatMap { $0.isWhole ? nil : $0 } ?? Parameters(sampling: config)
                parameters.fill(from: snapshot, threads: threads)
                return (parameters, snapshot.weightsHash)
            }
        }
        let parameters = former.flatMap { $0.isWhole ? $0 : nil } ?? Parameters(config: config)
        return (parameters, try readWhole(manifest, into: parameters))
    }

    private func readWhole(_ manifest: PolicyManifest, into parameters: Parameters) throws -> Digest {
        try Snapshot.readWhole(
            file: blobs.path(for: manifest.weights), config: config, expecting: manifest.weightsHash,
            into: parameters.all, base: base)
    }

    private func base(_ description: AdapterSnapshot.Description) throws(WeightsError) -> BaseWeights {
        if let base, base.blob == description.base, base.weightsHash == description.baseHash { return base }
        let opened = try BaseWeights(
            file: blobs.path(for: description.base), blob: description.base, config: config,
            expecting: description.baseHash)
        base = opened
        return opened
    }

    func wrap<Result>(_ body: () throws -> Result) throws(ComputeError) -> Result {
        do {
            return try body()
        } catch let error as WeightsError {
            throw ComputeError.weights(error)
        } catch {
            throw ComputeError.text("\(error)")
        }
    }
}
