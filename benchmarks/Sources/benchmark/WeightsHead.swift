// A head's blob server and the weights threads of remote workers, as the programs have them.

import Cluster
import Foundation
import Rollouts
import Runtime
import Transport
import Weights

final class WeightsHead {
    let folder: String
    let blobs: BlobStore
    private let differences: StoredDifferences
    private let server: BlobServer
    let context: Context
    let bundle: BlobReference
    var address: Address { server.addresses[0] }

    init(folder: String) throws {
        self.folder = folder
        blobs = try BlobStore(directory: folder + "/blobs")
        differences = try StoredDifferences(blobs: blobs) { note in progress(note.text) }
        context = try Context()
        server = try BlobServer(
            context, listen: [.tcp(host: "127.0.0.1", port: 0)],
            storage: ServedBlobs(blobs, differences: differences))
        bundle = try blobs.insert([1])
    }

    deinit { server.stop() }

    func forget(_ manifest: PolicyManifest) throws {
        differences.forget(manifest.weights)
        try blobs.remove(manifest.weights)
    }
}

/// A remote worker's weights thread with an empty cache of its own.
final class RemoteCache: Sendable {
    private let folder: String
    private let answers = Mailbox<BlobAnswer>()
    private let thread: BlobThread

    init(_ head: WeightsHead) throws {
        folder = head.folder + "/cache-\(UInt64.random(in: 0 ... .max))"
        thread = try BlobThread(
            answers: answers, context: head.context, coordinatorAddress: head.address, cacheDirectory: folder,
            isLearner: false)
        thread.orders.put(
            .welcome(
                Welcome(
                    run: "weights", options: RunOptions(), modelBundle: head.bundle,
                    blobAddress: head.address.description, blobDirectory: "", blobDirectoryProof: "")))
        try wait()
    }

    deinit {
        thread.stop()
        thread.join()
        try? FileManager.default.removeItem(atPath: folder)  // a temporary folder: nothing depends on it
    }

    func path(_ manifest: PolicyManifest) -> String { folder + "/\(manifest.weights.digest)" }

    func order(_ manifest: PolicyManifest) { thread.orders.put(.fetch(manifest)) }

    func fetch(_ manifests: [PolicyManifest]) throws {
        for manifest in manifests {
            order(manifest)
            try wait()
        }
    }

    /// Until the last order is done.
    func wait() throws {
        while true {
            for answer in answers.wait() ?? [] {
                switch answer {
                case .bundle, .fetched, .fetchedParts, .uploaded: return
                case .note(let note): if note.level == .warning { throw BenchmarkError(note.text) }
                case .bundleFailed(let reason), .fetchFailed(_, let reason), .uploadFailed(_, let reason),
                    .fetchPartsFailed(_, let reason):
                    throw BenchmarkError(reason)
                }
            }
        }
    }
}
