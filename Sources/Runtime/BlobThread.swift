// The worker's weights thread: fetches and hands in blobs, so that bulk never delays control.

import Cluster
import Foundation
import Rollouts
import Transport
import Weights

package enum BlobOrder: Sendable {
    case welcome(Welcome)
    case fetch(PolicyManifest)
    /// - Parameter once: of no use here afterwards.
    case upload(LeaseIdentifier, [BlobReference], once: Bool)
    /// Parts of a gradient, for the order to train under this lease.
    case fetchParts(LeaseIdentifier, [BlobReference])
    /// Nobody's.
    case discard([BlobReference])
}

package enum BlobAnswer: Sendable {
    /// The bundle's verified bytes, and the folder where the workbench finds and leaves blobs.
    case bundle(Welcome, [UInt8], blobDirectory: String)
    case bundleFailed(String)
    case fetched(PolicyManifest)
    case fetchFailed(PolicyManifest, String)
    case fetchedParts(LeaseIdentifier)
    case fetchPartsFailed(LeaseIdentifier, String)
    case uploaded(LeaseIdentifier)
    case uploadFailed(LeaseIdentifier, String)
}

package struct BlobThread {
    package let orders = Mailbox<BlobOrder>()
    private let thread: NamedThread

    /// - Parameters:
    ///   - coordinatorAddress: where the worker joined; its host replaces that of the welcome's blob address.
    ///   - curve: how to connect to it; nil without encryption.
    ///   - cacheDirectory: for blobs when the run's own folder is not visible here; made when needed.
    ///   - isLearner: fetches optimizer states too.
    package init(
        answers: Mailbox<BlobAnswer>, context: Context, coordinatorAddress: Address,
        curve: CurveClient? = nil, cacheDirectory: String, isLearner: Bool
    ) throws {
        let orders = orders
        thread = try NamedThread("weights") {
            var session: BlobSession?
            while let arrived = orders.wait() {
                for order in arrived {
                    switch order {
                    case .welcome(let welcome):
                        do {
                            let made = try BlobSession(
                                welcome, context: context, coordinatorAddress: coordinatorAddress,
                                curve: curve, cacheDirectory: cacheDirectory, isLearner: isLearner)
                            session = made
                            let bytes = try made.bundle(welcome.modelBundle)
                            answers.put(.bundle(welcome, bytes, blobDirectory: made.store.directory))
                        } catch {
                            answers.put(.bundleFailed("\(error)"))
                        }
                    case .fetch(let manifest):
                        do {
                            guard let session else { throw RuntimeError("a policy came before the welcome") }
                            try session.fetch(manifest)
                            answers.put(.fetched(manifest))
                        } catch {
                            answers.put(.fetchFailed(manifest, "\(error)"))
                        }
                    case .fetchParts(let lease, let references):
                        do {
                            guard let session else { throw RuntimeError("work came before the welcome") }
                            try session.fetchParts(references)
                            answers.put(.fetchedParts(lease))
                        } catch {
                            answers.put(.fetchPartsFailed(lease, "\(error)"))
                        }
                    case .discard(let references):
                        session?.discard(references)
                    case .upload(let lease, let references, let once):
                        do {
                            guard let session else { throw RuntimeError("work came before the welcome") }
                            try session.upload(references, once: once)
                            answers.put(.uploaded(lease))
                        } catch {
                            answers.put(.uploadFailed(lease, "\(error)"))
                        }
                    }
                }
            }
        }
    }

    package func stop() { orders.close() }
    package func join() { thread.join() }
}

/// Blobs of one run: the run's own folder where it can be seen, a cache and the network where not.
private final class BlobSession {
    let store: BlobStore
    /// nil where the run's own folder is visible: then there is nothing to transfer.
    private var client: BlobClient?
    private let cancel: CancelFlag
    private let isLearner: Bool
    /// Blobs of versions held before, oldest first; a cache keeps the last two.
    private var cached: [BlobReference] = []
    /// Parts of the gradient of the last step that was made of some.
    private var parts: [BlobReference] = []

    init(
        _ welcome: Welcome, context: Context, coordinatorAddress: Address, curve: CurveClient?, cacheDirectory: String,
        isLearner: Bool
    ) throws {
        self.isLearner = isLearner
        cancel = try CancelFlag()
        let proof = welcome.blobDirectory + "/" + welcome.blobDirectoryProof
        if !welcome.blobDirectoryProof.isEmpty, access(proof, F_OK) == 0, access(welcome.blobDirectory, W_OK) == 0 {
            store = try BlobStore(directory: welcome.blobDirectory)
            client = nil
        } else {
            store = try BlobStore(directory: cacheDirectory)
            let address = try Address(welcome.blobAddress).reached(as: coordinatorAddress)
            client = try BlobClient(context, connect: address, curve: curve)
        }
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
        var wanted = [manifest.weights]
        if isLearner, let optimizer = manifest.optimizer { wanted.append(optimizer) }
        for reference in wanted { try get(reference) }
        guard isRemote else { return }
        // Adapters name their base, which stays in the cache from version to version.
        if let base = try AdapterSnapshot.describe(file: store.path(for: manifest.weights))?.base {
            try get(base)
            wanted.append(base)
        }
        cached.removeAll { wanted.contains($0) }
        cached += wanted
        while cached.count > 4 { try store.remove(cached.removeFirst()) }
    }

    func upload(_ references: [BlobReference], once: Bool) throws {
        guard isRemote else { return }
        defer { if once { discard(references) } }
        for reference in references {
            try client?.upload(reference, from: StoredBlobs(store), cancel: cancel)
        }
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

    private func get(_ reference: BlobReference) throws {
        if store.contains(reference) { return }
        guard isRemote else {
            throw RuntimeError("the blob \(reference.digest) is not in the run's folder `\(store.directory)`")
        }
        try client?.download(reference, into: StoredBlobs(store), cancel: cancel)
    }
}

extension Address {
    /// The host by which the coordinator was reached is the one that works from here (a tunnel, another interface);
    /// the port is the announced one.
    package func reached(as control: Address) -> Address {
        if case .tcp(_, let port) = self, case .tcp(let host, _) = control { return .tcp(host: host, port: port) }
        return seen(from: control)
    }
}
