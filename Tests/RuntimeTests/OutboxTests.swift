// What goes out together, and what waits for it?

import Cluster
import Rollouts
import Testing

@testable import Runtime

struct OutboxTests {
    private let peer = PeerIdentifier(bytes: [1])
    private let other = PeerIdentifier(bytes: [2])
    private let start = MonotonicTime(nanoseconds: 1_000_000_000)
    private func acknowledgement(_ lease: UInt64) -> Message { .acknowledge(lease: LeaseIdentifier(lease)) }

    @Test func `what is said to one peer in a turn goes together, in order`() {
        var outbox = Outbox()
        outbox.add(.cancel(lease: LeaseIdentifier(1)), to: peer, at: start)
        outbox.add(.shutdown(reason: "a"), to: other, at: start)
        outbox.add(.shutdown(reason: "b"), to: peer, at: start)
        let sent = outbox.take(at: start)
        #expect(sent.map(\.peer) == [peer, other])
        let first: [Message] = [.cancel(lease: LeaseIdentifier(1)), .shutdown(reason: "b")]
        #expect(sent.map(\.messages) == [first, [.shutdown(reason: "a")]])
        #expect(outbox.take(at: start).isEmpty)
    }

    @Test func `an acknowledgement goes with the next order, and alone when its time is over`() {
        var outbox = Outbox()
        outbox.add(acknowledgement(4), to: peer, at: start)
        outbox.add(acknowledgement(5), to: other, at: start)
        #expect(outbox.take(at: start).isEmpty)
        #expect(outbox.deadline == start + Outbox.patience)
        outbox.add(.cancel(lease: LeaseIdentifier(6)), to: peer, at: start)
        #expect(outbox.take(at: start).map(\.messages) == [[acknowledgement(4), .cancel(lease: LeaseIdentifier(6))]])
        outbox.add(acknowledgement(7), to: peer, at: start + Outbox.patience)
        let late = outbox.take(at: start + Outbox.patience)
        #expect(late.map(\.peer) == [peer, other])
        #expect(late.map(\.messages) == [[acknowledgement(7)], [acknowledgement(5)]])
        #expect(outbox.deadline == nil)
    }

    @Test func `a heartbeat's echo does not wait`() {
        var outbox = Outbox()
        outbox.add(acknowledgement(0), to: peer, at: start)
        #expect(outbox.take(at: start).map(\.messages) == [[acknowledgement(0)]])
    }

    @Test func `nothing is left of a peer that is forgotten, and everything goes at the end`() {
        var outbox = Outbox()
        outbox.add(.cancel(lease: LeaseIdentifier(1)), to: peer, at: start)
        outbox.add(acknowledgement(2), to: peer, at: start)
        outbox.add(acknowledgement(3), to: other, at: start)
        outbox.forget(peer)
        #expect(outbox.takeAll().map(\.messages) == [[acknowledgement(3)]])
        #expect(outbox.takeAll().isEmpty)
    }
}
