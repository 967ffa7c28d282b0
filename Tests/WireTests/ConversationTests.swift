// Two sides of a connection number what they say.

import Cluster
import Rollouts
import Testing

@testable import Wire

private func error(_ body: () throws(WireError) -> Void) -> WireError? {
    do throws(WireError) {
        try body()
        return nil
    } catch {
        return error
    }
}

private func greeted() throws -> (worker: Conversation, coordinator: Conversation) {
    var worker = Conversation.worker(epoch: 77)
    var coordinator = Conversation.coordinator(run: "r1")
    var samples = MessageSamples(seed: 1)
    let hello = Message.hello(samples.hello())
    #expect(try coordinator.open(worker.seal(hello)).messages == [hello])
    let answer = Message.refused(reason: "busy")
    #expect(try worker.open(coordinator.seal(answer)).messages == [answer])
    return (worker, coordinator)
}

@Test func `after hello and answer both sides know run and epoch`() throws {
    let (worker, coordinator) = try greeted()
    #expect(worker.run == Envelope.runIdentifier("r1"))
    #expect(coordinator.epoch == 77)
    #expect(worker.acknowledged == 1)
    #expect(coordinator.acknowledged == 0)
}

@Test func `a frame that went missing is counted, a frame that comes twice is refused`() throws {
    var (worker, coordinator) = try greeted()
    _ = worker.seal(.goodbye(reason: "lost"))
    let third = worker.seal(.heartbeat(progress: []))
    #expect(try coordinator.open(third).missed == 1)
    let replayed = error { () throws(WireError) in _ = try coordinator.open(third) }
    #expect(replayed?.kind == .stray)
    #expect(replayed?.description == "frame, sequence: expected more than 3, found 3")
    #expect(try coordinator.open(worker.seal(.heartbeat(progress: []))).missed == 0)
}

@Test func `another version is one at a connection's first frame, and damage after a sound one`() throws {
    var (worker, coordinator) = try greeted()
    var frame = worker.seal(.heartbeat(progress: []))
    frame[4] ^= 2
    let damaged = error { () throws(WireError) in _ = try coordinator.open(frame) }
    #expect(damaged?.kind == .envelope)
    #expect(damaged?.description == "frame, version: expected 1.x, found 3.1 (damaged on the way)")
    var stranger = Conversation.coordinator(run: "r1")
    let other = error { () throws(WireError) in _ = try stranger.open(frame) }
    #expect(other?.kind == .version(ProtocolVersion(major: 3, minor: 1)))
    #expect(try coordinator.open(worker.seal(.heartbeat(progress: []))).missed == 1)
}

@Test func `a frame of another epoch or of another run is refused and changes nothing`() throws {
    var (worker, coordinator) = try greeted()
    var other = Conversation.worker(epoch: 78)
    let before = coordinator
    let foreign = error { () throws(WireError) in _ = try coordinator.open(other.seal(.goodbye(reason: ""))) }
    #expect(foreign?.subject == "epoch")

    var second = Conversation.coordinator(run: "r2")
    let stray = error { () throws(WireError) in _ = try second.open(worker.seal(.heartbeat(progress: []))) }
    #expect(stray?.subject == "run")

    #expect(coordinator == before, "a refused frame changes nothing")
}

@Test func `a coordinator that restarted hears a worker that does not know it yet`() throws {
    var (worker, _) = try greeted()
    var restarted = Conversation.coordinator(run: "r1")
    let received = try restarted.open(worker.seal(.heartbeat(progress: [])))
    #expect(received == Conversation.Received(messages: [.heartbeat(progress: [])], missed: 1))
    #expect(restarted.acknowledged == 0, "it has sent nothing that could have been acknowledged")
}

@Test func `only a hello may come without a run`() {
    var coordinator = Conversation.coordinator(run: "r1")
    var worker = Conversation.worker(epoch: 5)
    let refused = error { () throws(WireError) in
        _ = try coordinator.open(worker.seal(.heartbeat(progress: [])))
    }
    #expect(refused?.subject == "run")
}

// MARK: Several messages in a frame

extension Conversation {
    fileprivate mutating func frames(_ messages: [Message]) -> [[UInt8]] {
        var frames: [[UInt8]] = []
        let isSealed = seal(messages) {
            frames.append($0)
            return true
        }
        #expect(isSealed)
        return frames
    }
}

private func heartbeats(_ count: Int) -> [Message] {
    (1...UInt64(count)).map { .heartbeat(progress: [LeaseProgress(lease: LeaseIdentifier($0), unitsDone: $0)]) }
}

@Test func `what is said at once travels in one frame and keeps its order`() throws {
    var (worker, coordinator) = try greeted()
    let said = heartbeats(3) + [.goodbye(reason: "done")]
    let frames = worker.frames(said)
    #expect(frames.count == 1)
    let received = try coordinator.open(frames[0])
    #expect(received == Conversation.Received(messages: said, missed: 0))
    // The numbers count frames.
    _ = worker.frames(said)
    #expect(try coordinator.open(worker.seal(.heartbeat(progress: []))).missed == 1)
}

@Test func `one message makes a plain frame, however it is handed in`() throws {
    var (worker, _) = try greeted()
    var same = worker
    #expect(worker.frames([.heartbeat(progress: [])]) == [same.seal(.heartbeat(progress: []))])
    #expect(worker.frames([]) == [])
}

@Test func `who has not shown that it knows frames of several messages is sent none`() throws {
    var fresh = Conversation.worker(epoch: 5)
    #expect(fresh.frames(heartbeats(3)).count == 3)
    // A coordinator of version 1.0.
    var (worker, coordinator) = try greeted()
    var (header, payload) = try Envelope.open(coordinator.seal(.acknowledge(lease: LeaseIdentifier(0))))
    header.version.minor = 0
    let frame = Envelope.seal(payload: WireCodec.encode(.acknowledge(lease: LeaseIdentifier(0))), header: header)
    #expect(frame.count == Envelope.headerBytes + payload.count)
    _ = try worker.open(frame)
    #expect(worker.frames(heartbeats(3)).count == 3)
}

@Test func `many messages and large ones are spread over frames that keep the limits`() throws {
    var (worker, coordinator) = try greeted()
    let many = heartbeats(2 * WireLimits.messagesPerFrame + 1)
    let frames = worker.frames(many)
    #expect(frames.count == 3)
    #expect(try frames.flatMap { frame in try coordinator.open(frame).messages } == many)

    let reason = String(repeating: "r", count: 100_000)
    let large = (0..<5).map { Message.goodbye(reason: "\($0)" + reason) }
    let split = worker.frames(large)
    #expect(split.count == 3)
    #expect(split.allSatisfy { $0.count <= Envelope.headerBytes + WireLimits.bundleBytes })
    #expect(try split.flatMap { frame in try coordinator.open(frame).messages } == large)
}

@Test func `a frame of several messages counts whole or not at all, and the error names the message`() throws {
    var (worker, coordinator) = try greeted()
    let (header, payload) = try {
        let frame = worker.frames(heartbeats(2))[0]
        let (header, payload) = try Envelope.open(frame)
        return (header, Array(frame[payload]))
    }()
    let size = WireCodec.encode(heartbeats(2)[0]).count
    func refusal(_ payload: [UInt8]) -> WireError? {
        let before = coordinator
        let found = error { () throws(WireError) in
            _ = try coordinator.open(Envelope.seal(payload: payload, header: header))
        }
        #expect(coordinator == before, "a refused frame changes nothing")
        return found
    }
    #expect(refusal([])?.subject == "messages[0]")
    #expect(refusal([UInt8](repeating: 0, count: WireLimits.bundleBytes + 1))?.kind == .tooLarge)
    #expect(
        refusal(Array(payload.dropLast(2)))?.description
            == "message, messages[1]: expected \(size) bytes, found \(size - 2) until the end")
    #expect(refusal(payload + [0, 0, 0])?.description.contains("messages[2]: expected a length of 4 bytes") == true)
    #expect(refusal(payload + [0, 0, 0, 0])?.description.contains("messages[2]: expected one body") == true)
    var damaged = payload
    damaged[size + 8] = 0xFF
    #expect(refusal(damaged)?.subject.hasPrefix("messages[1]") == true)
    let countless = (0...WireLimits.messagesPerFrame).flatMap { _ in payload.prefix(4 + size) }
    #expect(refusal(Array(countless))?.description == "message, messages: expected at most 1024 in a frame, found more")

    var samples = MessageSamples(seed: 2)
    let hello = WireCodec.encode(.hello(samples.hello()))
    let length = (0..<4).map { UInt8(truncatingIfNeeded: hello.count >> (8 * $0)) }
    #expect(refusal(payload + length + hello)?.expected == "a hello in a frame of its own")
    #expect(try coordinator.open(Envelope.seal(payload: payload, header: header)).messages == heartbeats(2))
}
