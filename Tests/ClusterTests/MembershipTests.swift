import Rollouts
import Testing

@testable import Cluster

@Suite struct MembershipTests {
    private var membership: Membership {
        var options = ClusterOptions()
        options.heartbeatSeconds = 2
        options.heartbeatsMissed = 3
        return Membership(options: options)
    }

    @Test func `a worker that misses three heartbeats is silent`() {
        var membership = membership
        #expect(membership.greet(Samples.hello("a"), from: Samples.peer(1), at: .zero) == .joined)
        #expect(membership.silent(at: Samples.time(5.9)) == [])
        #expect(membership.silent(at: Samples.time(6)) == ["a"])
        #expect(membership.heard(Samples.peer(1), at: Samples.time(5)) == "a")
        #expect(membership.silent(at: Samples.time(10.9)) == [])
    }

    @Test func `the same process may come back over another connection`() {
        var membership = membership
        _ = membership.greet(Samples.hello("a"), from: Samples.peer(1), at: .zero)
        #expect(membership.greet(Samples.hello("a"), from: Samples.peer(1), at: .zero) == .repeated)
        #expect(membership.greet(Samples.hello("a"), from: Samples.peer(2), at: .zero) == .returned)
        #expect(membership.heard(Samples.peer(1), at: .zero) == nil)
        #expect(membership.heard(Samples.peer(2), at: .zero) == "a")
        #expect(membership.disconnect(Samples.peer(1)) == nil, "the old connection is not the worker's any more")
        #expect(membership.disconnect(Samples.peer(2)) == "a")
        #expect(membership["a"]?.isReachable == false)
    }

    @Test func `two processes cannot have one name`() {
        var membership = membership
        _ = membership.greet(Samples.hello("a"), from: Samples.peer(1), at: .zero)
        guard
            case .refused(let reason) = membership.greet(
                Samples.hello("a", process: 2), from: Samples.peer(2), at: .zero)
        else {
            Issue.record("not refused")
            return
        }
        #expect(reason == "the name `a` is taken by process 1 on host; process 2 on host needs another one")
        #expect(membership.heard(Samples.peer(1), at: .zero) == "a")
    }

    @Test func `a worker without a role or without slots is refused`() {
        var membership = membership
        for hello in [Samples.hello("a", []), Samples.hello("b", [.rollout], slots: 0), Samples.hello("", [.learner])] {
            guard case .refused = membership.greet(hello, from: Samples.peer(1), at: .zero) else {
                Issue.record("`\(hello.worker)` is not refused")
                continue
            }
        }
        #expect(membership.greet(Samples.hello("c", [.learner], slots: 0), from: Samples.peer(1), at: .zero) == .joined)
    }

    @Test func `removing one worker leaves the others where they are`() {
        var membership = membership
        for (number, name) in ["a", "b", "c"].enumerated() {
            _ = membership.greet(Samples.hello(name), from: Samples.peer(UInt8(number)), at: .zero)
        }
        membership.remove("b")
        #expect(membership.workers.map(\.name) == ["a", "c"])
        #expect(membership.index(at: Samples.peer(2)) == 1)
        #expect(membership.index(at: Samples.peer(1)) == nil)
        #expect(membership.index(of: "b") == nil)
    }

    @Test func `strikes stay with the name`() {
        var membership = membership
        #expect((1...3).map { _ in membership.strike("a") } == [1, 2, 3])
        guard case .refused = membership.greet(Samples.hello("a"), from: Samples.peer(1), at: .zero) else {
            Issue.record("not refused")
            return
        }
        #expect(membership.greet(Samples.hello("b"), from: Samples.peer(1), at: .zero) == .joined)
    }
}
