// Who is in the cluster: greeting, silence, strikes.

import Rollouts

/// A worker is: unknown → joined ⇄ unreachable (connection gone) → lost (silent for the whole window), or it leaves:
/// by itself, or draining (no new work) → told to go when it holds nothing any more.
/// A refused worker is unknown again; one with too many strikes stays refused under its name. The name of a worker
/// that was admitted by key is `ADMITTED:PROCESS`, and its strikes are those of the part before the colon, which it
/// cannot choose.
struct Membership: Equatable, Sendable {
    static let strikeLimit = 3
    private static let rememberedStrikesLimit = 1024
    private static let rememberedDrainsLimit = 1024
    private static let slotsLimit = 4096
    private static let nameBytesLimit = 256

    /// In order of joining.
    private(set) var workers: [Worker] = []
    /// Places in `workers`; looked up, never iterated.
    private var placesByName: [String: Int] = [:]
    private var placesByPeer: [PeerIdentifier: Int] = [:]
    private var strikes: [Strikes] = []
    /// Processes that were told to leave, oldest first.
    private var drained: [String] = []
    let silenceLimit: Duration

    private struct Strikes: Equatable, Sendable {
        var account: String
        var count: Int
    }

    enum Greeting: Equatable {
        case joined
        /// The same process over a new connection; what was sent over the old one may be lost.
        case returned
        /// The same hello over the same connection.
        case repeated
        case refused(reason: String)
        /// It was told to leave and asks to come in again.
        case drained
    }

    /// - Parameter drained: processes that were told to leave before, oldest first.
    init(options: ClusterOptions, drained: [String] = []) {
        self.drained = drained.suffix(Self.rememberedDrainsLimit)
        silenceLimit = .nanoseconds(
            Int64(options.heartbeatSeconds * Double(max(1, options.heartbeatsMissed)) * 1e9))
    }

    func index(of name: String) -> Int? { placesByName[name] }
    func index(at peer: PeerIdentifier) -> Int? { placesByPeer[peer] }
    subscript(name: String) -> Worker? { index(of: name).map { workers[$0] } }

    /// For everything but its name and its connection.
    mutating func update(_ name: String, _ change: (inout Worker) -> Void) {
        guard let index = index(of: name) else { return }
        let peer = workers[index].peer
        change(&workers[index])
        precondition(workers[index].name == name && workers[index].peer == peer, "`\(name)` changed its connection")
    }

    mutating func greet(_ hello: Hello, from peer: PeerIdentifier, at now: MonotonicTime) -> Greeting {
        if let fault = Self.fault(in: hello) { return .refused(reason: fault) }
        if strikeCount(of: hello.worker) >= Self.strikeLimit {
            return .refused(
                reason: "worker `\(Self.account(of: hello.worker))` gave \(Self.strikeLimit) unusable answers; "
                    + "look at its log; it is not let in again before this coordinator restarts")
        }
        guard let index = index(of: hello.worker) else {
            if drained.contains(hello.worker) { return .drained }
            placesByName[hello.worker] = workers.count
            placesByPeer[peer] = workers.count
            workers.append(Worker(hello: hello, peer: peer, lastHeard: now))
            return .joined
        }
        let known = workers[index].hello
        guard known.host == hello.host, known.processIdentifier == hello.processIdentifier, known.roles == hello.roles
        else {
            return .refused(
                reason: "the name `\(hello.worker)` is taken by process \(known.processIdentifier) on \(known.host); "
                    + "process \(hello.processIdentifier) on \(hello.host) needs another one")
        }
        workers[index].lastHeard = now
        if workers[index].peer == peer { return .repeated }
        if let former = workers[index].peer { placesByPeer[former] = nil }
        placesByPeer[peer] = index
        workers[index].hello = hello
        workers[index].peer = peer
        workers[index].policy = .none
        return .returned
    }

    /// Any message counts as a sign of life. Returns the worker's name, nil for a stranger.
    mutating func heard(_ peer: PeerIdentifier, at now: MonotonicTime) -> String? {
        guard let index = index(at: peer) else { return nil }
        workers[index].lastHeard = now
        return workers[index].name
    }

    /// The connection is gone; the worker may come back until it has been silent for the whole window.
    mutating func disconnect(_ peer: PeerIdentifier) -> String? {
        guard let index = placesByPeer.removeValue(forKey: peer) else { return nil }
        workers[index].peer = nil
        return workers[index].name
    }

    mutating func remove(_ name: String) {
        workers.removeAll { $0.name == name }
        placesByName = [:]
        placesByPeer = [:]
        for (place, worker) in workers.enumerated() {
            placesByName[worker.name] = place
            if let peer = worker.peer { placesByPeer[peer] = place }
        }
    }

    /// The worker gets no more work, and this process is not let in again.
    mutating func drain(_ name: String) {
        update(name) { $0.isDraining = true }
        if drained.contains(name) { return }
        if drained.count == Self.rememberedDrainsLimit { drained.removeFirst() }
        drained.append(name)
    }

    /// The workers that the operator means: the one of this name, or every process of the worker admitted under it.
    func workers(called name: String) -> [Worker] {
        if let worker = self[name] { return [worker] }
        return workers.filter { admittedName($0.name) == name }
    }

    func silent(at now: MonotonicTime) -> [String] {
        let latest = MonotonicTime(nanoseconds: now.nanoseconds - silenceLimit.nanoseconds)
        return workers.indices.filter { workers[$0].lastHeard <= latest }.map { workers[$0].name }
    }

    /// When the first of them will have been silent for too long, if it stays silent.
    var nextSilence: MonotonicTime? {
        workers.indices.map { workers[$0].lastHeard }.min().map { $0 + silenceLimit }
    }

    /// Returns how many strikes the worker has.
    mutating func strike(_ name: String) -> Int {
        let account = Self.account(of: name)
        if let index = strikes.firstIndex(where: { $0.account == account }) {
            strikes[index].count += 1
            return strikes[index].count
        }
        if strikes.count == Self.rememberedStrikesLimit { strikes.removeFirst() }
        strikes.append(Strikes(account: account, count: 1))
        return 1
    }

    /// The worker stays refused, as after too many strikes.
    mutating func ban(_ name: String) {
        while strike(name) < Self.strikeLimit {}
    }

    func strikeCount(of name: String) -> Int {
        let account = Self.account(of: name)
        return strikes.first { $0.account == account }?.count ?? 0
    }

    /// What a worker's misdeeds are counted under.
    static func account(of name: String) -> String { admittedName(name) ?? name }

    private static func fault(in hello: Hello) -> String? {
        let ours = ProtocolVersion.current
        let theirs = hello.protocolVersion
        if theirs.major != ours.major {
            return "worker `\(hello.worker)` speaks protocol \(theirs.major).\(theirs.minor), this coordinator "
                + "\(ours.major).\(ours.minor); install the same version on both hosts"
        }
        if hello.worker.isEmpty || hello.worker.utf8.count > nameBytesLimit {
            return "a worker's name has 1 to \(nameBytesLimit) bytes, found \(hello.worker.utf8.count)"
        }
        if hello.roles.isEmpty { return "worker `\(hello.worker)` has no role; give it rollout, verifier or learner" }
        if hello.roles.contains(.rollout), !(1...slotsLimit).contains(hello.rolloutSlots) {
            return "worker `\(hello.worker)`: expected 1 to \(slotsLimit) rollout slots, found \(hello.rolloutSlots)"
        }
        if hello.roles.contains(.verifier), !(1...slotsLimit).contains(hello.verificationSlots) {
            return "worker `\(hello.worker)`: expected 1 to \(slotsLimit) verification slots, "
                + "found \(hello.verificationSlots)"
        }
        return nil
    }
}
