// What the transport's tests stand on: folders, deadlines, and loops that work over any link.

import Glibc
import Rollouts
import Testing

@testable import Transport

/// A folder with a path short enough for sockets; removed at the end.
final class TestFolder {
    let path: String

    init() {
        var template = Array("/tmp/rookery-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { preconditionFailure("TestFolder: mkdtemp failed with errno \(errno)") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        for name in ["control", "blobs"] { unlink("\(path)/\(name)") }
        rmdir(path)
    }

    func address(_ name: String) -> Address { .ipc(path: "\(path)/\(name)") }
}

let anyPort = Address.tcp(host: "127.0.0.1", port: 0)

/// Far more than any of these needs; only a failing test waits this long.
let patience = Duration.seconds(20)

/// Waits for the next message, whatever else ends the wait in between.
func next(_ link: inout some ServerLink & ~Copyable, _ wake: WakePipe, within limit: Duration = patience) -> Arrival? {
    let deadline = ContinuousClock.now + limit
    while ContinuousClock.now < deadline {
        if let arrival = link.receive() { return arrival }
        _ = link.wait(timeout: deadline - ContinuousClock.now, wake: wake)
    }
    return nil
}

func next(_ link: inout some ClientLink & ~Copyable, _ wake: WakePipe, within limit: Duration = patience) -> [UInt8]? {
    let deadline = ContinuousClock.now + limit
    while ContinuousClock.now < deadline {
        if let frame = link.receive() { return frame }
        _ = link.wait(timeout: deadline - ContinuousClock.now, wake: wake)
    }
    return nil
}

/// A frame from the client, back from the server, and the client's name.
@discardableResult func roundTrip(
    _ frame: [UInt8], _ client: inout some ClientLink & ~Copyable, _ server: inout some ServerLink & ~Copyable,
    _ wake: WakePipe
) throws -> PeerIdentifier {
    var sent = client.send(frame)
    let deadline = ContinuousClock.now + patience
    while sent != .sent, ContinuousClock.now < deadline { sent = client.send(frame) }
    try #require(sent == .sent)
    guard case .frame(let arrived, let peer, _) = next(&server, wake) else {
        Issue.record("nothing arrived at the server")
        throw TransportError(.timedOut, "test", "round trip", reason: "no frame")
    }
    #expect(arrived == frame)
    #expect(server.send(arrived.reversed(), to: peer) == .sent)
    #expect(next(&client, wake) == frame.reversed())
    return peer
}

/// A plain TCP connection to 127.0.0.1, to say what a ZeroMQ socket would not.
final class PlainConnection {
    let descriptor: Int32

    init(port: UInt16) {
        descriptor = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = plainAddress(0x7F00_0001, port)
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        precondition(status == 0, "PlainConnection: connect failed with errno \(errno)")
    }

    deinit { close(descriptor) }

    func say(_ bytes: [UInt8]) { _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }

    /// Reads until the other side has closed the connection.
    func waitForEnd() {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while Glibc.recv(descriptor, &buffer, buffer.count, 0) > 0 {}
    }
}

/// A plain TCP listener that says what no ZeroMQ server would.
final class PlainListener {
    private let descriptor: Int32
    let port: UInt16

    init(host: UInt32) {
        descriptor = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        var address = plainAddress(host, 0)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listening = descriptor
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                precondition(Glibc.bind(listening, $0, size) == 0, "PlainListener: bind failed with errno \(errno)")
                precondition(listen(listening, 8) == 0 && getsockname(listening, $0, &size) == 0)
            }
        }
        port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(descriptor) }

    /// Waits for a connection, answers it and closes it.
    func answerOne(_ bytes: [UInt8]) {
        let connection = accept(descriptor, nil, nil)
        _ = Glibc.send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        close(connection)
    }
}

private func plainAddress(_ host: UInt32, _ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = host.bigEndian
    return address
}

extension Address {
    var port: UInt16 {
        guard case .tcp(_, let port) = self else { preconditionFailure("no port in \(self)") }
        return port
    }
}

extension Arrival {
    var peer: PeerIdentifier {
        switch self {
        case .frame(_, let peer, _), .malformed(let peer): peer
        }
    }
}
