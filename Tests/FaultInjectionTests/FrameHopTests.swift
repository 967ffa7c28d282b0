// What a hop makes of frames, as the receiver's envelope sees it.

import Cluster
import Rollouts
import Testing
import Wire

@testable import FaultInjection

@Suite struct FrameHopTests {
    private let now = MonotonicTime(nanoseconds: 5_000_000_000)

    /// Goodbyes named 1, 2, 3 … of one worker, sealed one after the other.
    private func frames(_ count: Int) -> [[UInt8]] {
        var sender = Conversation.worker(epoch: 9)
        return (0..<count + 1).map { index in
            sender.seal(index == 0 ? .hello(hello) : .goodbye(reason: "\(index)"))
        }
    }

    private var hello: Hello {
        Hello(
            protocolVersion: .current, worker: "w", host: "h", processIdentifier: 1, roles: [.rollout], threads: 1,
            rolloutSlots: 1, verificationSlots: 0, kernel: "k")
    }

    /// The reasons that reach the receiver's core, `!` for a frame that its envelope refuses, and how many it missed.
    private func heard(_ fates: [FrameFate], later: [Duration] = []) -> (words: [String], missed: UInt64) {
        var hop = FrameHop()
        var receiver = Conversation.coordinator(run: "r")
        var words: [String] = []
        var missed: UInt64 = 0
        func take(_ frames: [[UInt8]]) {
            for frame in frames {
                do {
                    let received = try receiver.open(frame)
                    missed += received.missed
                    if case .goodbye(let reason)? = received.messages.first { words.append(reason) }
                } catch {
                    words.append("!")
                }
            }
        }
        let all = frames(fates.count)
        take(hop.pass(all[0], .passes, at: now))
        // The receiver tells the run's name in its welcome; a worker's later frames need it, so hellos alone pass here.
        for (frame, fate) in zip(all.dropFirst(), fates) { take(hop.pass(known(frame), fate, at: now)) }
        for time in later { take(hop.takeDue(at: now + time)) }
        return (words, missed)
    }

    /// As a worker says it that knows the run.
    private func known(_ frame: [UInt8]) -> [UInt8] {
        guard let opened = try? Envelope.open(frame) else { return frame }
        var header = opened.header
        header.run = Envelope.runIdentifier("r")
        return Envelope.seal(payload: Array(frame[opened.payload]), header: header)
    }

    @Test func `what passes arrives in order`() {
        let (words, missed) = heard([.passes, .passes, .passes])
        #expect(words == ["1", "2", "3"] && missed == 0)
    }

    @Test func `a dropped frame is missed`() {
        let (words, missed) = heard([.passes, .drop, .passes])
        #expect(words == ["1", "3"] && missed == 1)
    }

    @Test func `a duplicate reaches the core twice, a replay once`() {
        #expect(heard([.duplicate, .passes]).words == ["1", "1", "2"])
        #expect(heard([.replay, .passes]).words == ["1", "!", "2"])
    }

    @Test func `a reordered frame arrives after the next, or soon if there is none`() {
        #expect(heard([.reorder, .passes, .passes]).words == ["2", "1", "3"])
        #expect(heard([.reorder, .reorder, .passes]).words == ["2", "1", "3"])
        #expect(heard([.passes, .reorder], later: [.milliseconds(299)]).words == ["1"])
        #expect(heard([.passes, .reorder], later: [.milliseconds(300)]).words == ["1", "2"])
    }

    @Test func `a delayed frame is overtaken and comes when it is due, once`() {
        let delayed: [FrameFate] = [.delay(.seconds(2)), .passes, .delay(.seconds(1)), .passes]
        let (words, missed) = heard(delayed, later: [.milliseconds(999), .seconds(3), .seconds(9)])
        #expect(words == ["2", "4", "3", "1"] && missed == 0)
    }

    @Test(arguments: [0, 0.2, 0.5, 0.999_999]) func `one flipped bit is noticed wherever it is`(place: Double) {
        let (words, missed) = heard([.corrupt(place: place), .passes])
        #expect(words == ["!", "2"] && missed == 1)
    }
}
