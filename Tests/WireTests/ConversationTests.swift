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
    #expect(try coordinator.open(worker.seal(hello)).message == hello)
    let answer = Message.refused(reason: "busy")
    #expect(try worker.open(coordinator.seal(answer)).message == answer)
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
    #expect(damaged?.description == "frame, version: expected 1.x, found 3.0 (damaged on the way)")
    var stranger = Conversation.coordinator(run: "r1")
    let other = error { () throws(WireError) in _ = try stranger.open(frame) }
    #expect(other?.kind == .version(ProtocolVersion(major: 3, minor: 0)))
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
    #expect(received == Conversation.Received(message: .heartbeat(progress: []), missed: 1))
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
