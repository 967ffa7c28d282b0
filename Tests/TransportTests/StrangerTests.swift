// Connections that never prove a key: seen in the kernel's table, told from those that do, and counted once.

import Glibc
import Rollouts
import Testing

@testable import Transport

@Suite(.timeLimit(.minutes(2)))
struct StrangerTests {
    private func time(_ seconds: Double) -> MonotonicTime { .zero + .seconds(seconds) }

    private func connection(_ address: String, _ port: UInt16, local: String = "127.0.0.1") -> TCPConnection {
        TCPConnection(localAddress: local, localPort: 4000, remoteAddress: address, remotePort: port)
    }

    private func words(_ found: [(address: String, count: Int)]) -> [String] {
        found.map { "\($0.address) \($0.count)" }
    }

    @Test func `rows of the kernel's table are read, other ports, listeners and what is no row are not`() {
        let rows = [
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
            "   0: 0100007F:0FA0 0200A8C0:D431 01 00000000:00000000 00:00000000 00000000     0",
            "   1: 00000000:0FA0 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0",
            "   2: 0000000000000000FFFF00000100007F:0FA0 0000000000000000FFFF00000900A8C0:0001 06 00000000:00000000",
            "   3: B80D0120000000000000000001000000:0FA0 B80D0120000000000000000002000000:0002 08 00000000:00000000",
            "   4: 0100007F:0FA0 0300A8C0:D431 03 00000000:00000000", "   5: 0100007F:0FA1 0200A8C0:D431 01 0",
            "   6: 0100007F:0FA0 0200A:D431 01 0", "   7: 0100007F 0200A8C0:D431 01 0", "", "no row",
        ]
        let found = TCPTable.connections(in: Array(rows.joined(separator: "\n").utf8), at: [4000])
        #expect(
            found == [
                connection("192.168.0.2", 0xD431), connection("192.168.0.9", 1),
                connection("2001:db8::2", 2, local: "2001:db8::1"),
            ])
        #expect(TCPTable.plain("::ffff:10.0.0.1") == "10.0.0.1" && TCPTable.plain("::1") == "::1")
        #expect(TCPTable.plain("fe80::1%eth0") == "fe80::1")
    }

    @Test func `who is asked about is no stranger, whoever is not is one after the handshake's time`() {
        let (worker, stranger) = (connection("10.0.0.1", 1), connection("10.0.0.9", 1))
        var watch = StrangerWatch(after: [])
        #expect(watch.look([worker, stranger], asked: ["10.0.0.1": 1], at: time(0)).isEmpty)
        #expect(watch.look([worker, stranger], asked: [:], at: time(29)).isEmpty)
        #expect(words(watch.look([worker], asked: [:], at: time(31))) == ["10.0.0.9 1"])
        // Its end is told of a moment later than the table forgets it: the same one.
        #expect(watch.look([worker, stranger], asked: [:], at: time(31.5)).isEmpty)
        for _ in 0..<2 { #expect(watch.look([worker], asked: [:], at: time(31.7)).isEmpty) }
        #expect(watch.look([worker, stranger], asked: [:], at: time(32)).isEmpty, "the same port is another connection")
        #expect(watch.look([worker, stranger], asked: ["10.0.0.9": 1], at: time(33)).isEmpty)
        #expect(watch.look([], asked: [:], at: time(99)).isEmpty)
    }

    @Test func `a question later than its connection explains it, one without a connection explains none to come`() {
        var watch = StrangerWatch(after: [connection("10.0.0.1", 1)])
        let here = [1, 2, 3].map { connection("10.0.0.1", $0) }
        // One that came and went between two looks was asked about too.
        #expect(watch.look([here[0]], asked: ["10.0.0.1": 1], at: time(0)).isEmpty)
        #expect(watch.look(Set(here), asked: [:], at: time(5)).isEmpty)
        #expect(watch.look(Set(here), asked: ["10.0.0.1": 1], at: time(10)).isEmpty)
        #expect(words(watch.look(Set(here), asked: [:], at: time(40))) == ["10.0.0.1 1"])
        #expect(watch.look(Set(here), asked: [:], at: time(80)).isEmpty)
    }

    @Test func `silence and plain text at an encrypted socket are found, an admitted worker is not`() throws {
        let ground = try Guarded()
        let wake = try WakePipe()
        let worker = ground.admitted()
        var server = try ground.server()
        let address = server.addresses[0]
        func table() throws -> Set<TCPConnection> { try #require(TCPTable.connections(at: [address])) }
        var watch = StrangerWatch(after: try table())
        var honest = try ground.client(worker, server.addresses[0])
        try roundTrip([0], &honest, &server, wake)
        let asked = ground.gatekeeper.takeAsked()
        #expect(asked == ["127.0.0.1": 1])
        #expect(watch.look(try table(), asked: asked, at: time(0)).isEmpty)
        let silent = (0..<3).map { _ in PlainConnection(port: address.port) }
        for connection in silent { connection.say([0x47]) }
        try roundTrip([1], &honest, &server, wake)
        try withExtendedLifetime(silent) {
            #expect(watch.look(try table(), asked: ground.gatekeeper.takeAsked(), at: time(5)).isEmpty)
            try roundTrip([2], &honest, &server, wake)
            let found = watch.look(try table(), asked: ground.gatekeeper.takeAsked(), at: time(40))
            #expect(words(found) == ["127.0.0.1 3"])
            let elsewhere = Address.tcp(host: "127.0.0.2", port: address.port)
            #expect(TCPTable.connections(at: [elsewhere]) == [])
        }
        var limits = ControlClient.Limits()
        limits.sendWait = .milliseconds(300)
        let plain = try ControlClient(ground.context, connect: server.addresses[0], limits: limits)
        _ = plain.send([3])
        // libzmq has ended it by now; this side closed it, so it stays in the table.
        let count = try table().count
        _ = watch.look(try table(), asked: ground.gatekeeper.takeAsked(), at: time(45))
        let late = watch.look(try table(), asked: ground.gatekeeper.takeAsked(), at: time(80))
        #expect(late.count == 1 && late[0].count >= 1, "\(count) connections in the table")
        try roundTrip([4], &honest, &server, wake)
    }

    @Test func `random bytes that the kernel forgets at once are told of, an admitted worker's end is not`() throws {
        // Kernels before 4.7 refuse, and so do some that are none; there the table is all there is.
        guard let ended = EndedConnections(), let second = EndedConnections() else { return }
        let ground = try Guarded()
        let wake = try WakePipe()
        let worker = ground.admitted()
        var server = try ground.server()
        let address = server.addresses[0]
        var watch = StrangerWatch(after: [])
        func look(_ gone: Set<TCPConnection>, _ seconds: Double) throws -> [String] {
            let asked = ground.gatekeeper.takeAsked()
            let present = try #require(TCPTable.connections(at: [address]))
            return words(watch.look(present.union(gone), asked: asked, at: time(seconds)))
        }
        do {
            var honest = try ground.client(worker, address)
            try roundTrip([0], &honest, &server, wake)
            #expect(try look([], 0).isEmpty)
        }
        // Not even a greeting: libzmq closes with bytes unread, so the kernel answers with a reset.
        let noise = (0..<4000).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ 13) }
        for _ in 0..<3 {
            let connection = PlainConnection(port: address.port)
            connection.say(noise)
            connection.waitForEnd()
        }
        // The worker's and the three; they come a moment after the other side knows.
        var gone: Set<TCPConnection> = []
        for _ in 0..<500 where gone.count < 4 {
            gone.formUnion(ended.take(at: [address]))
            usleep(10_000)
        }
        #expect(gone.count == 4)
        #expect(try look(gone, 5).isEmpty)
        #expect(try look([], 40) == ["127.0.0.1 3"])
        #expect(try look([], 80).isEmpty)
        // They did not end at another address.
        #expect(second.take(at: [.tcp(host: "127.0.0.2", port: address.port)]).isEmpty)
    }

    @Test func `the kernel's words about ended connections are read, and what is none is not`() {
        func message(_ family: Int32, _ local: [UInt8], _ remote: [UInt8], length: UInt8 = 60) -> [UInt8] {
            let pad = { (bytes: [UInt8]) in bytes + [UInt8](repeating: 0, count: 16 - bytes.count) }
            let header: [UInt8] = [length, 0, 0, 0] + [UInt8](repeating: 0, count: 12)
            return header + [UInt8(family), 7, 0, 0, 0x0F, 0xA0, 0xD4, 0x31] + pad(local) + pad(remote) + [9, 9, 9, 9]
        }
        let plain = message(AF_INET, [127, 0, 0, 1], [192, 168, 0, 2])
        let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]
        let newer = message(AF_INET6, mapped + [127, 0, 0, 1], mapped + [192, 168, 0, 9])
        let expected = [connection("192.168.0.2", 0xD431), connection("192.168.0.9", 0xD431)]
        #expect(EndedConnections.connections(in: (plain + newer)[...]) == expected)
        #expect(EndedConnections.connections(in: (plain + message(77, [], []) + newer)[...]) == expected)
        // Cut, too short for its header, longer than what came.
        #expect(EndedConnections.connections(in: (plain + newer.prefix(50))[...]) == [expected[0]])
        #expect(EndedConnections.connections(in: (plain + message(AF_INET, [], [], length: 15))[...]) == [expected[0]])
        #expect(EndedConnections.connections(in: (plain + message(AF_INET, [], [], length: 64))[...]) == [expected[0]])
        #expect(EndedConnections.connections(in: message(AF_INET, [], [], length: 20)[...]) == [])
    }
}
