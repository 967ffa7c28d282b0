// Do policies reach workers of other hosts by what differs, and whole where that does not do?

import Cluster
import Foundation
import Rollouts
import Runtime
import Synchronization
import Testing
import Transport
import Weights

@Suite(.timeLimit(.minutes(1)))
struct DifferenceTests {
    @Test func `a worker that has the version before fetches what differs`() throws {
        let head = try Head()
        let worker = try RemoteWorker(head)
        let versions = try [head.version(1), head.version(2)]
        #expect(try worker.fetch(versions[0]) == [])
        #expect(head.storage.bytesRead >= versions[0].weights.byteCount)
        let before = head.storage.bytesRead
        #expect(try worker.fetch(versions[1]) == [])
        #expect(head.storage.bytesRead - before < versions[1].weights.byteCount / 4)
        #expect(worker.bytes(versions[1]) == head.bytes(versions[1]))
        // Two versions, and nothing that led from one to the other.
        #expect(worker.names.count == 3, "\(worker.names)")

        // Another one joins late: the whole, and then what was made for the first.
        let late = try RemoteWorker(head)
        _ = try late.fetch(versions[1])
        #expect(head.differenceNames.count == 1)
        head.differences.forget(versions[0].weights)
        #expect(head.differenceNames.isEmpty)
    }

    @Test func `a difference that is damaged on the way costs a line and the whole`() throws {
        let head = try Head()
        let worker = try RemoteWorker(head)
        let versions = try [head.version(1), head.version(2)]
        _ = try worker.fetch(versions[0])
        head.storage.damagesDifferences()
        let notes = try worker.fetch(versions[1])
        #expect(notes.count == 1 && notes[0].text.contains("is fetched whole; what differs cannot be used"), "\(notes)")
        #expect(worker.bytes(versions[1]) == head.bytes(versions[1]))
    }

    @Test func `versions without bfloat16 are fetched whole, without a word`() throws {
        let head = try Head()
        let worker = try RemoteWorker(head)
        let versions = try [head.version(1, format: .float32), head.version(2, format: .float32)]
        for version in versions {
            #expect(try worker.fetch(version) == [])
            #expect(worker.bytes(version) == head.bytes(version))
        }
        #expect(head.differenceNames.isEmpty)
    }

    @Test func `a remote learner hands in what differs, and others get the very same`() throws {
        let head = try Head()
        let learner = try RemoteWorker(head, isLearner: true)
        let base = try head.version(1)
        _ = try learner.fetch(base)
        let made = try head.version(2, in: learner.folder)
        #expect(try learner.upload(made) == [])
        #expect(head.bytes(made) == learner.bytes(made))
        #expect(head.storage.bytesWritten < made.weights.byteCount / 4)
        #expect(head.differenceNames.count == 1)
        let next = try head.version(3, in: learner.folder)
        #expect(try learner.upload(next) == [])
        #expect(head.bytes(next) == learner.bytes(next))

        let worker = try RemoteWorker(head)
        _ = try worker.fetch(base)
        #expect(try worker.fetch(made) == [])
        #expect(head.differenceNames.count == 2)
        #expect(worker.bytes(made) == head.bytes(made))
    }

    @Test func `a head without the version before gets the whole`() throws {
        let head = try Head()
        let learner = try RemoteWorker(head, isLearner: true)
        let base = try head.version(1)
        _ = try learner.fetch(base)
        try head.blobs.remove(base.weights)
        let made = try head.version(2, in: learner.folder)
        let notes = try learner.upload(made)
        #expect(notes.count == 1 && notes[0].text.contains("is handed in whole"), "\(notes)")
        #expect(notes.first?.text.contains("no such blob") == true)
        #expect(head.bytes(made) == learner.bytes(made))
        #expect(head.differenceNames.isEmpty)
    }
}

/// A run's blobs behind a real socket.
final class Head {
    let folder: String
    let blobs: BlobStore
    let differences: StoredDifferences
    let storage: WatchedStorage
    let context: Context
    let server: BlobServer
    let bundle: BlobReference
    private let keys = KeyPair.generate()
    private let gatekeeper: Gatekeeper?

    private static let config = ModelConfig(
        family: .llama, vocabularySize: 8192, hiddenSize: 32, layerCount: 1, headCount: 2, keyValueHeadCount: 1,
        headDimension: 16, intermediateSize: 64, rmsEpsilon: 1e-5, rotaryBase: 10_000, contextTokens: 16,
        tiedEmbeddings: true)

    /// - Parameter admitted: listens encrypted, for these keys alone; nil: without encryption.
    init(admitted: AllowList? = nil) throws {
        folder = try ScriptedRun.folder()
        blobs = try BlobStore(directory: folder + "/blobs")
        differences = try StoredDifferences(blobs: blobs) { _ in }
        storage = WatchedStorage(ServedBlobs(blobs, differences: differences))
        context = try Context()
        let address = Address.tcp(host: "127.0.0.1", port: 0)
        let (context, keys) = (context, keys)
        gatekeeper = try admitted.map { try Gatekeeper(context, rules: ["head": .listed($0)]) { _ in } }
        server = try BlobServer(
            context, listen: admitted == nil ? [address] : [],
            curve: admitted.map { CurveListener(addresses: [address], keys: keys, domain: "head", allowed: $0) },
            storage: storage, relaying: true)
        bundle = try blobs.insert([1, 2, 3])
    }

    func client(_ own: KeyPair) -> CurveClient { CurveClient(keys: own, server: keys.publicKey) }

    deinit {
        server.stop()
        gatekeeper?.stop()
        try? FileManager.default.removeItem(atPath: folder)  // the system clears what stays
    }

    /// One number in a hundred differs from version to version.
    func version(
        _ number: UInt64, in place: String? = nil, format: SnapshotFormat = .bfloat16
    ) throws -> PolicyManifest {
        let values = (0..<Self.config.elementCount).map { index -> Float in
            let value = Float(index % 251) / 64 + 1
            return index % 100 == 0 ? value * (1 + Float(number) / 64) : value
        }
        let written = try values.withUnsafeBufferPointer {
            try Snapshot.write(config: Self.config, parameters: $0, format: format, to: place ?? blobs.directory)
        }
        return PolicyManifest(
            version: PolicyVersion(number), weightsHash: written.weightsHash, weights: written.blob)
    }

    func bytes(_ manifest: PolicyManifest) -> Data? {
        FileManager.default.contents(atPath: blobs.path(for: manifest.weights))
    }

    var differenceNames: [String] {
        // Not there: nothing in it.
        (try? FileManager.default.contentsOfDirectory(atPath: differences.store.directory)) ?? []
    }
}

/// The weights thread of a worker that cannot see the run's folder.
final class RemoteWorker {
    let folder: String
    /// All it said.
    private(set) var notes: [Note] = []
    private let answers = Mailbox<BlobAnswer>()
    private let thread: BlobThread

    init(_ head: Head, isLearner: Bool = false, relay: RelayPlan? = nil, keys: KeyPair? = nil) throws {
        folder = head.folder + "/cache-\(UInt32.random(in: 0 ..< .max))"
        thread = try BlobThread(
            answers: answers, context: head.context, coordinatorAddress: head.server.addresses[0],
            curve: keys.map { head.client($0) }, cacheDirectory: folder, isLearner: isLearner, relay: relay)
        thread.orders.put(
            .welcome(
                Welcome(
                    run: "remote", options: RunOptions(), modelBundle: head.bundle,
                    blobAddress: head.server.addresses[0].description, blobDirectory: "/nowhere",
                    blobDirectoryProof: "")))
        _ = try answer()
    }

    deinit {
        thread.stop()
        thread.join()
    }

    /// - Returns: what it had to say.
    func fetch(_ manifest: PolicyManifest) throws -> [Note] {
        thread.orders.put(.fetch(manifest))
        return try answer()
    }

    func upload(_ manifest: PolicyManifest) throws -> [Note] {
        thread.orders.put(.upload(LeaseIdentifier(1), [manifest.weights], once: false))
        return try answer()
    }

    private func answer() throws -> [Note] {
        var notes: [Note] = []
        while true {
            for answer in answers.wait() ?? [] {
                switch answer {
                case .note(let note):
                    self.notes.append(note)
                    if note.level == .warning { notes.append(note) }
                case .bundle, .fetched, .fetchedParts, .uploaded: return notes
                case .bundleFailed(let reason), .fetchFailed(_, let reason), .uploadFailed(_, let reason),
                    .fetchPartsFailed(_, let reason):
                    throw RuntimeError(reason)
                }
            }
        }
    }

    func bytes(_ manifest: PolicyManifest) -> Data? {
        FileManager.default.contents(atPath: folder + "/\(manifest.weights.digest)")
    }

    var names: [String] {
        // Not there: nothing in it.
        (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    }
}

/// Counts what goes through, and damages differences when told to.
final class WatchedStorage: BlobStorage {
    private struct State {
        var read = 0
        var written = 0
        var damaged: Set<Digest> = []
        var damages = false
    }
    private let storage: ServedBlobs
    private let state = Mutex(State())

    init(_ storage: ServedBlobs) { self.storage = storage }

    var bytesRead: Int { state.withLock(\.read) }
    var bytesWritten: Int { state.withLock(\.written) }
    func forgetCounts() { state.withLock { ($0.read, $0.written) = (0, 0) } }
    func damagesDifferences() { state.withLock { $0.damages = true } }

    func size(of digest: Digest) throws(TransportError) -> Int? { try storage.size(of: digest) }

    func read(_ digest: Digest, offset: Int, count: Int) throws(TransportError) -> [UInt8] {
        var bytes = try storage.read(digest, offset: offset, count: count)
        let isDamaged = state.withLock { state in
            state.read += count
            return state.damages && state.damaged.contains(digest)
        }
        if isDamaged { bytes[count / 2] ^= 1 }
        return bytes
    }

    func beginWrite(_ blob: BlobReference) throws(TransportError) -> Int { try storage.beginWrite(blob) }

    func write(_ blob: BlobReference, offset: Int, bytes: [UInt8]) throws(TransportError) {
        state.withLock { $0.written += bytes.count }
        try storage.write(blob, offset: offset, bytes: bytes)
    }

    func finish(_ blob: BlobReference) throws(TransportError) { try storage.finish(blob) }

    func difference(from parent: Digest, to target: Digest) throws(TransportError) -> DifferenceAnswer {
        let answer = try storage.difference(from: parent, to: target)
        if case .offered(let blob) = answer { state.withLock { _ = $0.damaged.insert(blob.digest) } }
        return answer
    }

    func build(from difference: Digest) throws(TransportError) -> BuildAnswer {
        try storage.build(from: difference)
    }
}
