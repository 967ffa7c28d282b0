// What a blob server says about differences, and how a client waits for them.

import Rollouts
import Synchronization
import Testing

@testable import Transport

/// Blobs in memory, and prepared answers, the last one again and again.
private final class AnsweringStorage: BlobStorage {
    let blobs = MemoryStorage()
    let differences: Mutex<[DifferenceAnswer]>
    let builds: Mutex<[BuildAnswer]>
    let questions = Mutex<[[Digest]]>([])

    init(_ differences: [DifferenceAnswer] = [], builds: [BuildAnswer] = []) {
        self.differences = Mutex(differences)
        self.builds = Mutex(builds)
    }

    func size(of digest: Digest) -> Int? { blobs.size(of: digest) }
    func read(_ digest: Digest, offset: Int, count: Int) throws(TransportError) -> [UInt8] {
        try blobs.read(digest, offset: offset, count: count)
    }
    func beginWrite(_ blob: BlobReference) throws(TransportError) -> Int { try blobs.beginWrite(blob) }
    func write(_ blob: BlobReference, offset: Int, bytes: [UInt8]) throws(TransportError) {
        try blobs.write(blob, offset: offset, bytes: bytes)
    }
    func finish(_ blob: BlobReference) throws(TransportError) { try blobs.finish(blob) }

    func difference(from parent: Digest, to target: Digest) -> DifferenceAnswer {
        questions.withLock { $0.append([parent, target]) }
        return differences.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] }
    }
    func build(from difference: Digest) -> BuildAnswer {
        questions.withLock { $0.append([difference]) }
        return builds.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] }
    }
}

private let parent = BlobReference(digest: digest(of: [1]), byteCount: 7)
private let target = BlobReference(digest: digest(of: [2]), byteCount: 7)
private let between = BlobReference(digest: digest(of: [3]), byteCount: 3)

@Test func `a client asks again while a difference is being made`() throws {
    let context = try Context()
    let cancel = try CancelFlag()
    let storage = AnsweringStorage([.later, .later, .offered(between), .wholeOnly])
    let server = try BlobServer(context, listen: [anyPort], storage: storage)
    var client = try BlobClient(context, connect: server.addresses[0])
    #expect(try client.difference(from: parent, to: target, cancel: cancel) == between)
    #expect(storage.questions.withLock { $0 } == (0..<3).map { _ in
        [parent.digest, target.digest]
    })
    #expect(try client.difference(from: parent, to: target, cancel: cancel) == nil)
    #expect(client.recreations == 0)
    server.stop()
}

@Test func `a blob is built over there, or why not is said`() throws {
    let context = try Context()
    let cancel = try CancelFlag()
    let storage = AnsweringStorage(builds: [.later, .built(target), .impossible(reason: "no parent")])
    let events = Mutex<[BlobServerEvent]>([])
    let server = try BlobServer(context, listen: [anyPort], storage: storage) { event in
        events.withLock { $0.append(event) }
    }
    var client = try BlobClient(context, connect: server.addresses[0])
    #expect(try client.build(target, from: between, cancel: cancel) == nil)
    #expect(events.withLock { $0 } == [.stored(target)])
    #expect(try client.build(target, from: between, cancel: cancel) == "no parent")
    server.stop()
}

@Test func `bytes without meaning get a refusal, and storage that knows bytes only has no differences`() throws {
    var responder = BlobResponder(storage: MemoryStorage(), blobLimitBytes: 100)
    func reply(_ frame: BlobFrame, mayUpload: Bool = true) throws -> BlobFrame {
        let peer = PeerIdentifier(bytes: [1])
        let answer = responder.answer(frame.encoded(), from: peer, mayUpload: mayUpload)
        return try BlobFrame(decoding: try #require(answer.reply))
    }
    #expect(try reply(BlobFrame(.compare, target.digest, payload: [1, 2])).reason.contains("2 bytes for a digest"))
    #expect(try reply(BlobFrame(.compare, target.digest, payload: parent.digest.bytes)).kind == .missing)
    let refused = try reply(BlobFrame(.build, between.digest))
    #expect(refused.kind == .refused && refused.refusal == .request)
    #expect(try reply(BlobFrame(.build, between.digest), mayUpload: false).reason == "only a learner may hand in blobs")
    for kind in [BlobFrame.Kind.differs, .later] {
        let frame = BlobFrame(kind, target.digest).encoded()
        #expect(responder.answer(frame, from: PeerIdentifier(bytes: [1])).reply == nil)
    }
}
