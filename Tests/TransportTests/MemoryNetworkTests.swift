// The links without sockets behave as those with.

import Rollouts
import Testing

@testable import Transport

@Test func `frames go both ways in order, and peers are named by the network`() throws {
    let network = MemoryNetwork()
    let wake = try WakePipe()
    var server = try network.server()
    var first = try network.client()
    var second = try network.client()
    let a = try roundTrip([1], &first, &server, wake)
    let b = try roundTrip([2], &second, &server, wake)
    #expect(a != b)
    #expect(a.bytes == [0, 0, 0, 0, 1])
    for value in 0..<100 as Range<UInt8> { #expect(first.send([value]) == .sent) }
    for value in 0..<100 as Range<UInt8> { #expect(server.receive() == .frame([value], from: a)) }
    #expect(server.receive() == nil)
    #expect(server.wait(timeout: .zero, wake: wake) == Ready(messages: false, woken: false))
}

@Test func `a peer that left, was cut off or made its link anew is unreachable under its old name`() throws {
    let network = MemoryNetwork()
    let wake = try WakePipe()
    var server = try network.server()
    var client = try network.client()
    let first = try roundTrip([1], &client, &server, wake)
    network.disconnect(first)
    #expect(server.send([1], to: first) == .unreachable)
    let second = try roundTrip([2], &client, &server, wake)
    #expect(second != first)
    #expect(server.send([7], to: second) == .sent)
    try client.recreate()
    #expect(client.receive() == nil, "what was under way is gone")
    let third = try roundTrip([3], &client, &server, wake)
    #expect(server.send([1], to: second) == .unreachable)
    do { _ = consume client }
    #expect(server.send([1], to: third) == .unreachable)
}

@Test func `a restarted server knows nobody, and without one nothing is sent`() throws {
    let network = MemoryNetwork()
    let wake = try WakePipe()
    var client = try network.client()
    #expect(client.send([1]) == .full)
    var peer: PeerIdentifier
    do {
        var server = try network.server()
        peer = try roundTrip([1], &client, &server, wake)
        #expect(client.send([2]) == .sent)
    }
    #expect(client.send([3]) == .full)
    var server = try network.server()
    #expect(server.receive() == nil)
    #expect(server.send([1], to: peer) == .unreachable)
    #expect(try roundTrip([4], &client, &server, wake) != peer)
}

@Test func `a queue that nobody reads is full at its limit`() throws {
    let network = MemoryNetwork(queuedFrames: 2)
    let wake = try WakePipe()
    var server = try network.server()
    var client = try network.client()
    let peer = try roundTrip([1], &client, &server, wake)
    let expected: [SendResult] = [.sent, .sent, .full]
    #expect([server.send([1], to: peer), server.send([2], to: peer), server.send([3], to: peer)] == expected)
    #expect([client.send([1]), client.send([2]), client.send([3])] == expected)
}
