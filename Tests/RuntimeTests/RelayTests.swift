// Do workers fetch from each other what one of them has, and from the head what nobody sends?

import Cluster
import Foundation
import Rollouts
import Runtime
import Testing
import Transport
import Weights

@Suite(.timeLimit(.minutes(1)))
struct RelayTests {
    /// Asks the head as a worker would until it names somebody.
    private func relay(of blob: BlobReference, _ head: Head) throws -> BlobPeer {
        var client = try BlobClient(head.context, connect: head.server.addresses[0])
        let cancel = try CancelFlag()
        let deadline = ContinuousClock.now + .seconds(30)
        while ContinuousClock.now < deadline {
            if let peer = try client.source(of: blob, failed: nil, cancel: cancel) { return peer }
        }
        throw RuntimeError("nobody serves \(blob.digest)")
    }

    @Test func `what one worker has fetched another fetches from it`() throws {
        let head = try Head()
        let first = try RemoteWorker(head, relay: RelayPlan(allowsLoopback: true))
        let versions = try [head.version(1), head.version(2)]
        #expect(try first.fetch(versions[0]) == [])
        #expect(head.storage.bytesRead >= versions[0].weights.byteCount)
        let peer = try relay(of: versions[0].weights, head)
        #expect(peer.key == nil && peer.address.isLoopback && peer.address != head.server.addresses[0])
        head.storage.forgetCounts()
        let second = try RemoteWorker(head)
        #expect(try second.fetch(versions[0]) == [])
        #expect(second.bytes(versions[0]) == head.bytes(versions[0]))
        // Its model bundle alone came from the head.
        #expect(head.storage.bytesRead < 100, "\(head.storage.bytesRead)")
    }

    @Test func `a relay takes no blobs`() throws {
        let head = try Head()
        let worker = try RemoteWorker(head, relay: RelayPlan(allowsLoopback: true))
        let version = try head.version(1)
        _ = try worker.fetch(version)
        let peer = try relay(of: version.weights, head)
        let other = try head.version(2)
        var client = try BlobClient(head.context, connect: peer.address)
        let error = #expect(throws: TransportError.self) {
            try client.upload(other.weights, from: StoredBlobs(head.blobs), cancel: try CancelFlag())
        }
        #expect(error?.reason.contains("a relay takes no blobs") == true, "\(String(describing: error))")
        #expect(worker.bytes(other) == nil)
    }

    @Test func `a relay that sends other bytes is struck, and the head sends the blob`() throws {
        let head = try Head()
        let version = try head.version(1)
        // It has a file of the right size and name, with something else in it.
        let liar = try RemoteWorker(head, relay: RelayPlan(allowsLoopback: true))
        _ = try liar.fetch(version)
        let path = liar.folder + "/\(version.weights.digest)"
        var bytes = try #require(liar.bytes(version))
        bytes[bytes.count / 2] ^= 1
        try bytes.write(to: URL(fileURLWithPath: path))
        let peer = try relay(of: version.weights, head)
        for round in 1...3 {
            let worker = try RemoteWorker(head)
            let notes = try worker.fetch(version)
            #expect(worker.bytes(version) == head.bytes(version))
            // Twice it is believed, then it is not named any more.
            #expect(notes.count == (round <= 2 ? 1 : 0), "\(round): \(notes)")
            #expect(notes.allSatisfy { $0.text.contains("\(peer.address) did not send blob") })
        }
    }

    @Test func `a worker whose way to the head is loopback serves nobody: it may be the end of a tunnel`() throws {
        let head = try Head()
        let version = try head.version(1)
        let tunnelled = try RemoteWorker(head, relay: RelayPlan())
        _ = try tunnelled.fetch(version)
        var client = try BlobClient(head.context, connect: head.server.addresses[0])
        #expect(try client.source(of: version.weights, failed: nil, cancel: try CancelFlag()) == nil)
        #expect(tunnelled.notes.allSatisfy { !$0.text.contains("served") })
    }

    @Test func `a worker that is gone is not waited for`() throws {
        let head = try Head()
        let version = try head.version(1)
        var first: RemoteWorker? = try RemoteWorker(head, relay: RelayPlan(allowsLoopback: true))
        _ = try first?.fetch(version)
        _ = try relay(of: version.weights, head)
        first = nil
        let second = try RemoteWorker(head)
        let notes = try second.fetch(version)
        #expect(notes.count <= 1 && second.bytes(version) == head.bytes(version), "\(notes)")
    }

    @Test func `encrypted, a relay lets in whom the head admits, and nobody else`() throws {
        let names = ["relay", "reader", "stranger"]
        let keys = names.map { _ in KeyPair.generate() }
        let admitted = AllowList([keys[0].publicKey, keys[1].publicKey])
        let head = try Head(admitted: admitted)
        let version = try head.version(1)
        let first = try RemoteWorker(head, relay: RelayPlan(allowsLoopback: true), keys: keys[0])
        _ = try first.fetch(version)
        var asking = try BlobClient(
            head.context, connect: head.server.addresses[0], curve: head.client(keys[1]))
        let cancel = try CancelFlag()
        let deadline = ContinuousClock.now + .seconds(30)
        var peer: BlobPeer?
        while peer == nil, ContinuousClock.now < deadline {
            peer = try asking.source(of: version.weights, failed: nil, cancel: cancel)
        }
        let relay = try #require(peer)
        #expect(relay.key == keys[0].publicKey)
        head.storage.forgetCounts()
        let second = try RemoteWorker(head, keys: keys[1])
        #expect(try second.fetch(version) == [])
        #expect(head.storage.bytesRead < 100 && second.bytes(version) == head.bytes(version))

        var limits = BlobClient.Limits()
        limits.reply = .milliseconds(300)
        limits.attempts = 2
        var stranger = try BlobClient(
            head.context, connect: relay.address,
            curve: CurveClient(keys: keys[2], server: keys[0].publicKey), limits: limits)
        #expect(throws: TransportError.self) { _ = try stranger.size(of: version.weights.digest, cancel: cancel) }
        var plain = try BlobClient(head.context, connect: relay.address, limits: limits)
        #expect(throws: TransportError.self) { _ = try plain.size(of: version.weights.digest, cancel: cancel) }
    }
}
