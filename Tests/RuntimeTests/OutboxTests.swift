// What goes out together, and what waits for it?

import Cluster
import Rollouts
import Testing

@testable import Runtime

extension Outbox {
    fileprivate mutating func put(_ message: Message, to peer: PeerIdentifier, at now: MonotonicTime) {
        let isAdded = add(message, to: peer, at: now)
        #expect(isAdded)
    }
}

struct OutboxTests {
    private let peer = PeerIdentifier(bytes: [1])
    private let other = PeerIdentifier(bytes: [2])
    private let start = MonotonicTime(nanoseconds: 1_000_000_000)
    private func acknowledgement(_ lease: UInt64) -> Message { .acknowledge(lease: LeaseIdentifier(lease)) }

    @Test func `what is said to one peer in a turn goes together, in order`() {
        var outbox = Outbox()
        outbox.put(.cancel(lease: LeaseIdentifier(1)), to: peer, at: start)
        outbox.put(.shutdown(reason: "a"), to: other, at: start)
        outbox.put(.shutdown(reason: "b"), to: peer, at: start)
        let sent = outbox.take(at: start)
        #expect(sent.map(\.peer) == [peer, other])
        let first: [Message] = [.cancel(lease: LeaseIdentifier(1)), .shutdown(reason: "b")]
        #expect(sent.map(\.messages) == [first, [.shutdown(reason: "a")]])
        #expect(outbox.take(at: start).isEmpty)
    }

    @Test func `an acknowledgement goes with the next order, and alone when its time is over`() {
        var outbox = Outbox()
        outbox.put(acknowledgement(4), to: peer, at: start)
        outbox.put(acknowledgement(5), to: other, at: start)
        #expect(outbox.take(at: start).isEmpty)
        #expect(outbox.deadline == start + Outbox.patience)
        outbox.put(.cancel(lease: LeaseIdentifier(6)), to: peer, at: start)
        #expect(outbox.take(at: start).map(\.messages) == [[acknowledgement(4), .cancel(lease: LeaseIdentifier(6))]])
        outbox.put(acknowledgement(7), to: peer, at: start + Outbox.patience)
        let late = outbox.take(at: start + Outbox.patience)
        #expect(late.map(\.peer) == [peer, other])
        #expect(late.map(\.messages) == [[acknowledgement(7)], [acknowledgement(5)]])
        #expect(outbox.deadline == nil)
    }

    @Test func `a heartbeat's echo does not wait`() {
        var outbox = Outbox()
        outbox.put(acknowledgement(0), to: peer, at: start)
        #expect(outbox.take(at: start).map(\.messages) == [[acknowledgement(0)]])
    }

    @Test func `nothing is left of a peer that is forgotten, and everything goes at the end`() {
        var outbox = Outbox()
        outbox.put(.cancel(lease: LeaseIdentifier(1)), to: peer, at: start)
        outbox.put(acknowledgement(2), to: peer, at: start)
        outbox.put(acknowledgement(3), to: other, at: start)
        outbox.forget(peer)
        #expect(outbox.takeAll().map(\.messages) == [[acknowledgement(3)]])
        #expect(outbox.takeAll().isEmpty)
    }

    @Test func `a peer to whom too much is to be said is told nothing of it`() {
        var outbox = Outbox()
        outbox.put(acknowledgement(1), to: other, at: start)
        for lease in 0..<UInt64(Outbox.limit) {
            outbox.put(.cancel(lease: LeaseIdentifier(lease)), to: peer, at: start)
        }
        let isAdded = outbox.add(.shutdown(reason: ""), to: peer, at: start)
        #expect(!isAdded)
        #expect(outbox.takeAll().map(\.peer) == [other])
    }
}
