// The control sockets over real ipc and TCP connections.

import Glibc
import Rollouts
import Testing

@testable import Transport

@Test func `a frame goes to the coordinator and back over ipc and over TCP, on one socket`() throws {
    let folder = TestFolder()
    let context = try Context()
    let wake = try WakePipe()
    var server = try ControlServer(context, listen: [folder.address("control"), anyPort])
    #expect(server.addresses[0] == folder.address("control"))
    #expect(server.addresses[1].port > 0)
    var local = try ControlClient(context, connect: server.addresses[0])
    var remote = try ControlClient(context, connect: server.addresses[1])
    let first = try roundTrip([1, 2, 3], &local, &server, wake)
    let second = try roundTrip([], &remote, &server, wake)
    #expect(try roundTrip([UInt8](repeating: 7, count: 3 << 20), &remote, &server, wake) == second)
    #expect(first != second)
    #expect(first.bytes.count == 5 && first.bytes[0] == 0, "named by the socket, not by the worker")
}

@Test func `a port that is taken is named, with what to do`() throws {
    let context = try Context()
    let server = try ControlServer(context, listen: [anyPort])
    let error = #expect(throws: TransportError.self) {
        _ = try ControlServer(context, listen: [server.addresses[0]])
    }
    #expect(
        error?.description
            == "listen on \(server.addresses[0]): Address already in use (errno 98); "
            + "another process listens there: stop it or choose another address")
}

@Test func `a folder that is not there and a wildcard to connect to are refused`() throws {
    let context = try Context()
    let missing = #expect(throws: TransportError.self) {
        _ = try ControlServer(context, listen: [.ipc(path: "/tmp/rookery-no-such-folder/control")])
    }
    #expect(missing?.description.contains("make the folder first") == true)
    let wildcard = #expect(throws: TransportError.self) {
        _ = try ControlClient(context, connect: .tcp(host: "*", port: 5))
    }
    #expect(wildcard?.kind == .address)
}

// ZMTP heartbeats and socket monitors together abort libzmq 4.3.4 (stream_engine_base.cpp:331) when one frame fails
// authentication, and either alone wedges or cuts connections; identities that workers set can be stolen.
@Test func `sockets have exactly the options of the protocol`() throws {
    let context = try Context()
    let limits = ControlServer.Limits()
    let expected: [SocketOption] = [
        .mandatory(true), .handover(false), .heartbeat(.zero), .frameLimitBytes((64 << 20) + 128),
        .handshakeLimit(.seconds(10)), .backlog(4096), .sendLimit(10_000), .receiveLimit(10_000),
        .linger(.milliseconds(500)),
    ]
    #expect(ControlServer.options(limits) == expected)
    let server = try ControlServer(context, listen: [anyPort])
    for option in expected where option.isReadable {
        #expect(try option.holds(on: server.socket.handle), "\(option)")
    }
    let clientExpected: [SocketOption] = [
        .immediate(true), .sendWaitLimit(.seconds(1)), .reconnectFirst(.milliseconds(100)),
        .reconnectMost(.seconds(10)), .heartbeat(.zero), .frameLimitBytes((64 << 20) + 128), .sendLimit(10_000),
        .receiveLimit(10_000), .linger(.milliseconds(500)),
    ]
    #expect(ControlClient.options(ControlClient.Limits()) == clientExpected)
    var client = try ControlClient(context, connect: server.addresses[0])
    try client.recreate()
    for option in clientExpected { #expect(try option.holds(on: client.socket.handle), "\(option)") }
    #expect(try !SocketOption.heartbeat(.seconds(1)).holds(on: client.socket.handle))
}

@Test func `sending to a peer that never was or that left says unreachable`() throws {
    let context = try Context()
    let wake = try WakePipe()
    var server = try ControlServer(context, listen: [anyPort])
    #expect(server.send([1], to: PeerIdentifier(bytes: [0, 1, 2, 3, 4])) == .unreachable)
    #expect(server.send([1], to: PeerIdentifier(bytes: [])) == .unreachable)
    let peer = try {
        var client = try ControlClient(context, connect: server.addresses[0])
        return try roundTrip([9], &client, &server, wake)
    }()
    let deadline = ContinuousClock.now + patience
    var result = SendResult.sent
    while result == .sent, ContinuousClock.now < deadline {
        result = server.send([1], to: peer)
        _ = server.wait(timeout: .milliseconds(5), wake: wake)
    }
    #expect(result == .unreachable)
}

@Test func `without a coordinator a worker's send gives up in time`() throws {
    let context = try Context()
    var limits = ControlClient.Limits()
    limits.sendWait = .milliseconds(30)
    let client = try ControlClient(context, connect: .ipc(path: "/tmp/rookery-nobody"), limits: limits)
    #expect(client.send([1]) == .full)
}

@Test func `a peer that does not read fills its own queue and nobody else's`() throws {
    let context = try Context()
    let wake = try WakePipe()
    var limits = ControlServer.Limits()
    limits.queuedFrames = 4
    limits.linger = .zero
    var server = try ControlServer(context, listen: [anyPort], limits: limits)
    var clientLimits = ControlClient.Limits()
    clientLimits.queuedFrames = 4
    var slow = try ControlClient(context, connect: server.addresses[0], limits: clientLimits)
    var quick = try ControlClient(context, connect: server.addresses[0], limits: clientLimits)
    let peer = try roundTrip([1], &slow, &server, wake)
    let chunk = [UInt8](repeating: 1, count: 1 << 20)
    var sent = 0
    while server.send(chunk, to: peer) == .sent {
        sent += 1
        try #require(sent < 1000, "the queue has no end")
    }
    #expect(server.send(chunk, to: peer) == .full)
    try roundTrip([2], &quick, &server, wake)
}

@Test func `a frame over the limit ends its own connection only`() throws {
    let context = try Context()
    let wake = try WakePipe()
    var limits = ControlServer.Limits()
    limits.frameBytes = 1000
    var server = try ControlServer(context, listen: [anyPort], limits: limits)
    var honest = try ControlClient(context, connect: server.addresses[0])
    var greedy = try ControlClient(context, connect: server.addresses[0])
    let peer = try roundTrip([1], &honest, &server, wake)
    let cut = try roundTrip([2], &greedy, &server, wake)
    try roundTrip([UInt8](repeating: 5, count: 1000), &greedy, &server, wake)
    #expect(greedy.send([UInt8](repeating: 6, count: 1065)) == .sent)
    // It comes back by itself as another peer; what it sent is gone.
    let deadline = ContinuousClock.now + patience
    while server.send([0], to: cut) == .sent, ContinuousClock.now < deadline {
        _ = server.wait(timeout: .milliseconds(5), wake: wake)
    }
    #expect(server.receive() == nil)
    #expect(try roundTrip([3], &honest, &server, wake) == peer)
}

@Test func `a message that is not exactly one frame is dropped and its peer named`() throws {
    let context = try Context()
    let wake = try WakePipe()
    var server = try ControlServer(context, listen: [anyPort])
    var honest = try ControlClient(context, connect: server.addresses[0])
    try roundTrip([1], &honest, &server, wake)
    let odd = try Socket(context, .dealer)
    try odd.set([.linger(.zero)])
    try odd.connect(server.addresses[0])
    var peers: [PeerIdentifier] = []
    for frames in [2, 3, 200] {
        for index in 0..<frames {
            #expect(odd.sendFrame([UInt8(index & 255)], more: index < frames - 1, mayWait: true) == nil)
        }
        guard case .malformed(let peer) = next(&server, wake) else {
            Issue.record("\(frames) frames passed for one")
            continue
        }
        peers.append(peer)
    }
    #expect(peers.count == 3 && Set(peers).count == 1)
    #expect(odd.sendFrame([42], mayWait: true) == nil)
    #expect(next(&server, wake) == .frame([42], from: peers[0]))
    try roundTrip([2], &honest, &server, wake)
}

// Without CURVE libzmq also takes ZMTP 1.0, whose frames begin with a length: noise can look like some. They come as
// frames of strangers, for the envelope to refuse.
@Test func `garbage on the port disturbs nobody`() throws {
    let context = try Context()
    let wake = try WakePipe()
    var server = try ControlServer(context, listen: [anyPort])
    var client = try ControlClient(context, connect: server.addresses[0])
    let peer = try roundTrip([1], &client, &server, wake)
    var garbage: [UInt8] = Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8)
    var connections: [PlainConnection] = []
    for round in 0..<20 {
        let connection = PlainConnection(port: server.addresses[0].port)
        connection.say(garbage)
        connections.append(connection)
        garbage = (0..<4096).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761) >> 8 &+ round) }
    }
    // A greeting, and a length of 2^62 that nothing follows.
    let greeting: [UInt8] =
        [0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 0] + Array("NULL".utf8) + [UInt8](repeating: 0, count: 48)
    let claim = PlainConnection(port: server.addresses[0].port)
    claim.say(greeting + [0x06, 0x40, 0, 0, 0, 0, 0, 0, 0])
    for value in 0..<50 as Range<UInt8> {
        #expect(client.send([value]) == .sent)
        var arrival = next(&server, wake)
        while let stranger = arrival, stranger.peer != peer { arrival = next(&server, wake) }
        #expect(arrival == .frame([value], from: peer))
        #expect(server.send([value, value], to: peer) == .sent)
        #expect(next(&client, wake) == [value, value])
    }
}

@Test func `a worker recovers from a restarted coordinator by making its socket anew`() throws {
    let context = try Context()
    let wake = try WakePipe()
    let listening: Address
    var client: ControlClient
    do {
        var server = try ControlServer(context, listen: [.tcp(host: "127.0.77.1", port: 0)])
        listening = server.addresses[0]
        client = try ControlClient(context, connect: listening)
        try roundTrip([1], &client, &server, wake)
    }
    var server = try restarted(context, listening)
    try client.recreate()
    #expect(client.recreations == 1)
    try roundTrip([2], &client, &server, wake)
}

/// The port is free once libzmq's I/O thread has closed the old listener, a moment after the socket. A loopback host
/// of the test's own keeps others, which run at the same time, from taking it in between.
private func restarted(_ context: Context, _ address: Address) throws -> ControlServer {
    let wake = try WakePipe()
    let deadline = ContinuousClock.now + patience
    while ContinuousClock.now < deadline {
        do { return try ControlServer(context, listen: [address]) } catch { _ = wake.wait(timeout: .milliseconds(5)) }
    }
    return try ControlServer(context, listen: [address])
}

@Test func `a worker whose port once answered garbage recovers by making its socket anew`() throws {
    // libzmq gives up for good on a server that does not speak ZMTP.
    let context = try Context()
    let wake = try WakePipe()
    var listener: PlainListener? = PlainListener(host: 0x7F00_4D02)
    let address = Address.tcp(host: "127.0.77.2", port: listener!.port)
    var limits = ControlClient.Limits()
    limits.sendWait = .milliseconds(100)
    var client = try ControlClient(context, connect: address, limits: limits)
    listener!.answerOne(Array("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".utf8))
    // It returns, sooner or later. It may even say sent: the noise can pass for a ZMTP 1.0 peer for a moment.
    _ = client.send([1])
    listener = nil

    var server = try restarted(context, address)
    try client.recreate()
    try roundTrip([2], &client, &server, wake)
}

// A plain DEALER, not a ControlClient: `immediate` makes a socket drop what it has not read when its connection ends,
// so a worker may miss a shutdown that did leave.
@Test func `the last message leaves although the coordinator closes at once`() throws {
    let context = try Context()
    let wake = try WakePipe()
    let peer = try Socket(context, .dealer)
    do {
        var server = try ControlServer(context, listen: [anyPort])
        try peer.connect(server.addresses[0])
        #expect(peer.sendFrame([1], mayWait: true) == nil)
        let name = try #require(next(&server, wake)).peer
        #expect(server.send([UInt8](repeating: 3, count: 1 << 20), to: name) == .sent)
    }
    #expect(peer.wait(timeout: patience, descriptors: []).socket)
    guard case .message(let frames, _) = peer.receive(frameCount: 1) else {
        Issue.record("nothing arrived")
        return
    }
    #expect(frames[0].count == 1 << 20)
}
