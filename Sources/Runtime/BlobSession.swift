// Where a worker's blobs of one run come from and go to.

import Cluster
import Foundation
import Rollouts
import Transport
import Weights

/// The run's own folder where it can be seen; a cache and the network where not. There a policy comes by what differs
/// from one that is here already, and whole where that does not do. The weights thread makes and uses it.
final class BlobSession {
    /// Blobs that a cache keeps: those of two versions, with optimizer states.
    private static let cacheLimit = 4
    /// Smaller blobs come from the head: asking takes as long.
    private static let leastRelayedBytes = 256 << 10

    /// The head is there for those whom a peer keeps waiting.
    private static var peerLimits: BlobClient.Limits {
        var limits = BlobClient.Limits()
        limits.reply = .seconds(3)
        limits.attempts = 2
        return limits
    }

    let store: BlobStore
    /// nil where the run's own folder is visible: then there is nothing to transfer.
    private var client: BlobClient?
    private let storage: StoredBlobs
    private let cancel: CancelFlag
    private let isLearner: Bool
    private let note: @Sendable (Note) -> Void
    private let context: Context
    private let curve: CurveClient?
    /// nil: this worker serves nobody.
    private var relay: BlobRelay?
    /// The newest difference fetched, kept for those who fetch it from here.
    private var keptDifference: BlobReference?
    /// What is in the cache, the longest unused first, and in which order it came.
    private var cached: [(blob: BlobReference, arrival: Int)] = []
    private var arrivals = 0
    /// Parts of the gradient of the last step that was made of some.
    private var parts: [BlobReference] = []

    init(
        _ welcome: Welcome, context: Context, coordinatorAddress: Address, curve: CurveClient?, cacheDirectory: String,
        isLearner: Bool, relay plan: RelayPlan?, note: @escaping @Sendable (Note) -> Void
    ) throws {
        self.isLearner = isLearner
        self.note = note
        self.context = context
        self.curve = curve
        cancel = try CancelFlag()
        let proof = welcome.blobDirectory + "/" + welcome.blobDirectoryProof
        if !welcome.blobDirectoryProof.isEmpty, access(proof, F_OK) == 0, access(welcome.blobDirectory, W_OK) == 0 {
            store = try BlobStore(directory: welcome.blobDirectory)
            client = nil
        } else {
            store = try BlobStore(directory: cacheDirectory)
            let address = try Address(welcome.blobAddress).reached(as: coordinatorAddress)
            client = try BlobClient(context, connect: address, curve: curve)
            if let plan, case .tcp = address {
                do {
                    relay = try BlobRelay(plan, store: store, head: address, curve: curve, note: note)
                } catch {
                    note(Note(.warning, "blobs are not served to other workers: \(error)"))
                }
            }
        }
        storage = StoredBlobs(store, durable: false)
    }

    private var isRemote: Bool { client != nil }

    func bundle(_ reference: BlobReference) throws -> [UInt8] {
        guard reference.byteCount <= 256 << 20 else {
            throw RuntimeError("the model bundle claims \(reference.byteCount) bytes; at most 256 MiB are accepted")
        }
        try get(reference)
        return try store.read(reference, offset: 0, count: reference.byteCount)
    }

    func fetch(_ manifest: PolicyManifest) throws {
        if isRemote, !store.contains(manifest.weights) { fetchDifference(to: manifest.weights) }
        var wanted = [manifest.weights]
        if isLearner, let optimizer = manifest.optimizer { wanted.append(optimizer) }
        for reference in wanted { try get(reference, elsewhere: reference == manifest.weights) }
        guard isRemote else { return }
        // Adapters name their base, which stays in the cache from version to version.
        if let base = try AdapterSnapshot.describe(file: store.path(for: manifest.weights))?.base {
            try get(base, elsewhere: true)
            wanted.append(base)
        }
        try keep(wanted)
    }

    /// - Parameter once: of no use here afterwards, and no versions.
    func upload(_ references: [BlobReference], once: Bool) throws {
        guard isRemote else { return }
        defer { if once { discard(references) } }
        for reference in references {
            if !once, uploadDifference(to: reference) { continue }
            try client?.upload(reference, from: storage, cancel: cancel)
        }
        if !once { try keep(references) }
    }

    /// A cache keeps those of the newest step alone.
    func fetchParts(_ references: [BlobReference]) throws {
        if isRemote {
            discard(parts.filter { !references.contains($0) })
            parts = references
        }
        for reference in references { try get(reference) }
    }

    func discard(_ references: [BlobReference]) {
        for reference in references {
            // It goes with the folder at the latest.
            try? store.remove(reference)  // see the line above
        }
    }

    /// - Parameter elsewhere: whether other workers may have it.
    private func get(_ reference: BlobReference, elsewhere: Bool = false) throws {
        if store.contains(reference) { return }
        guard isRemote else {
            throw RuntimeError("the blob \(reference.digest) is not in the run's folder `\(store.directory)`")
        }
        if elsewhere, try fetchFromPeer(reference) { return }
        try client?.download(reference, into: storage, cancel: cancel)
    }

    /// From another worker, where the head names one. What came of a transfer that failed is gone on with at the head.
    private func fetchFromPeer(_ reference: BlobReference) throws -> Bool {
        guard reference.byteCount >= Self.leastRelayedBytes else { return false }
        guard let peer = try client?.source(of: reference, failed: nil, cancel: cancel) else { return false }
        do {
            if curve != nil, peer.key == nil { throw RuntimeError("it is named without a key") }
            var other = try BlobClient(
                context, connect: peer.address,
                curve: curve.flatMap { own in peer.key.map { CurveClient(keys: own.keys, server: $0) } },
                limits: Self.peerLimits)
            try other.download(reference, into: storage, cancel: cancel)
            return true
        } catch {
            note(Note(.warning, "\(peer.address) did not send blob \(reference.digest), the head will: \(error)"))
            _ = try client?.source(of: reference, failed: peer.address, cancel: cancel)
            return false
        }
    }

    /// The newest blobs of the cache; older ones go.
    private func keep(_ references: [BlobReference]) throws {
        for reference in references {
            arrivals += 1
            let index = cached.firstIndex { $0.blob == reference }
            cached.append(index.map { cached.remove(at: $0) } ?? (reference, arrivals))
        }
        while cached.count > Self.cacheLimit { try store.remove(cached.removeFirst().blob) }
        relay?.serve(cached.map(\.blob.digest) + (keptDifference.map { [$0.digest] } ?? []))
    }

    /// What a policy may be made of: the version that came last. Blobs of one size are versions of one model; the
    /// frozen policy of a KL term is used again and again, but came long ago.
    private func parent(of target: BlobReference) -> BlobReference? {
        cached.filter { $0.blob != target && $0.blob.byteCount == target.byteCount && store.contains($0.blob) }
            .max { $0.arrival < $1.arrival }?.blob
    }

    /// Makes a policy of one that is here. Where that fails nothing is lost: the whole is fetched.
    private func fetchDifference(to target: BlobReference) {
        guard let parent = parent(of: target) else { return }
        do {
            guard let found = try client?.difference(from: parent, to: target, cancel: cancel),
                found.byteCount < target.byteCount
            else { return }
            try get(found, elsewhere: true)
            defer { keepForOthers(found) }
            let difference = try WeightsDifference(file: store.path(for: found))
            guard difference.target == target else {
                throw RuntimeError("it leads to \(difference.target.digest)")
            }
            try difference.apply(in: store, durable: false)
        } catch {
            note(Note(.warning, "policy \(target.digest) is fetched whole; what differs cannot be used: \(error)"))
        }
    }

    /// Hands in what differs from a policy that the head has.
    /// - Returns: false where the whole must be handed in.
    private func uploadDifference(to target: BlobReference) -> Bool {
        guard let parent = parent(of: target) else { return false }
        do {
            let made = try WeightsDifference.make(from: parent, to: target, in: store, into: store)
            guard let made else { return false }
            defer { remove(made) }
            try client?.upload(made, from: storage, cancel: cancel)
            guard let reason = try client?.build(target, from: made, cancel: cancel) else { return true }
            throw RuntimeError(reason)
        } catch {
            note(Note(.warning, "policy \(target.digest) is handed in whole: \(error)"))
            return false
        }
    }

    private func keepForOthers(_ difference: BlobReference) {
        guard relay != nil else { return remove(difference) }
        if let former = keptDifference, former != difference { remove(former) }
        keptDifference = difference
    }

    private func remove(_ difference: BlobReference) {
        do {
            try store.remove(difference)
        } catch {
            note(Note(.warning, "a difference that is done with could not be removed: \(error)"))
        }
    }
}
