// Who is told to fetch from whom?

import Rollouts
import Testing

@testable import Transport

private func peer(_ number: Int) -> PeerIdentifier { PeerIdentifier(bytes: [UInt8(number)]) }
private func relay(_ number: Int) -> BlobPeer {
    BlobPeer(address: .tcp(host: "10.0.0.\(number)", port: 7), key: nil)
}
private func time(_ seconds: Int) -> MonotonicTime { .zero + .seconds(seconds) }
private let blob = digest(of: [9])

@Suite struct BlobSourceTests {
    private func ask(
        _ sources: inout BlobSources, _ number: Int, failed: Address? = nil, at seconds: Int = 0
    ) -> BlobSources.Answer {
        sources.source(of: blob, for: peer(number), failed: failed, at: time(seconds))
    }

    @Test func `twenty-one workers make a tree of four children each`() {
        var sources = BlobSources()
        #expect((1...4).map { ask(&sources, $0) } == Array(repeating: .here, count: 4))
        #expect(ask(&sources, 5) == .later)
        // The first has it whole and serves it.
        sources.sent(blob, to: peer(1), isLast: true, at: time(0))
        sources.serve(relay(1), [blob], at: time(0))
        #expect((5...8).map { ask(&sources, $0) } == Array(repeating: .at(relay(1)), count: 4))
        // It has four; the head has a place again.
        #expect(ask(&sources, 9) == .here)
        #expect(ask(&sources, 10) == .later)
        for number in 2...4 { sources.serve(relay(number), [blob], at: time(1)) }
        let told = (10...21).map { ask(&sources, $0, at: 1) }
        for number in 2...4 { #expect(told.filter { $0 == .at(relay(number)) }.count == 4) }
    }

    @Test func `who asks twice has one place, and one who falls silent loses it`() {
        var sources = BlobSources()
        for _ in 1...9 { #expect(ask(&sources, 1) == .here) }
        #expect((2...4).map { ask(&sources, $0) } == [.here, .here, .here])
        sources.sent(blob, to: peer(4), isLast: false, at: time(6))
        #expect(ask(&sources, 5, at: 9) == .later)
        #expect((5...7).map { ask(&sources, $0, at: 11) } == [.here, .here, .here])
        #expect(ask(&sources, 8, at: 11) == .later)
    }

    @Test func `a relay is forgotten after its silence, and what it no longer has is not asked of it`() {
        var sources = BlobSources()
        sources.serve(relay(1), [blob], at: time(0))
        #expect(ask(&sources, 1, at: 5) == .at(relay(1)))
        #expect(ask(&sources, 1, at: 6) == .here)
        sources.serve(relay(1), [], at: time(6))
        #expect(ask(&sources, 2, at: 6) == .here)
    }

    @Test func `a relay that failed is struck by those sent there alone, and not named after two`() {
        var sources = BlobSources()
        sources.serve(relay(1), [blob], at: time(0))
        // Nobody sent this one there.
        for number in 11...14 { #expect(ask(&sources, number, failed: relay(1).address) == .here) }
        for number in 1...2 {
            #expect(ask(&sources, number) == .at(relay(1)))
            #expect(ask(&sources, number, failed: relay(1).address) == .here)
        }
        sources.serve(relay(1), [blob], at: time(1))
        #expect(ask(&sources, 3, at: 1) == .later)
        #expect(ask(&sources, 3, at: 12) == .here)
    }

    @Test func `addresses that nobody could connect to, and lengths that are not, are no announcements`() throws {
        let sound = RelayAnnouncement(address: relay(1).address, digests: [blob, blob])
        #expect(RelayAnnouncement(bytes: sound.bytes) == sound)
        for count in 0..<sound.bytes.count where count != sound.bytes.count - 32 && count != sound.bytes.count - 64 {
            #expect(RelayAnnouncement(bytes: Array(sound.bytes.prefix(count))) == nil, "\(count)")
        }
        for text in ["ipc:///tmp/x", "tcp://*:7", "tcp://0.0.0.0:7", "tcp://10.0.0.1:0"] {
            #expect(RelayAnnouncement(bytes: RelayAnnouncement(address: try Address(text), digests: []).bytes) == nil)
        }
        let named = BlobPeer(address: relay(2).address, key: PublicKey(bytes: [UInt8](repeating: 3, count: 32)))
        #expect(named.key != nil && BlobPeer(bytes: named.bytes) == named)
        #expect(BlobPeer(bytes: relay(2).bytes) == relay(2))
        #expect(BlobPeer(bytes: Array(named.bytes.prefix(32))) == nil)
    }
}
