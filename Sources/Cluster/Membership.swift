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
    /// When each joined, counted; parallel to `workers`, ascending.
    private var arrivals: [UInt64] = []
    private var arrivalCount: UInt64 = 0
    /// Arrivals; looked up, never iterated.
    private var arrivalsByName: [String: UInt64] = [:]
    private var arrivalsByPeer: [PeerIdentifier: UInt64] = [:]
    // Places of some of them. Kept by `file`.
    private(set) var learners = PlaceSet()
    /// Learners that do nothing else that needs a policy.
    private(set) var mereLearnerCount = 0
    /// Those with optimizer state.
    private(set) var learned = PlaceSet()
    private(set) var draining = PlaceSet()
    /// When each was last heard, began to load, may try a failed load again, is rested.
    private var hearings = DeadlineQueue()
    private(set) var loads = DeadlineQueue()
    private(set) var retries = DeadlineQueue()
    private var rests = DeadlineQueue()
    /// Samplers that are not draining, by account; looked up and counted, never iterated.
    private var samplerCounts: [String: Int] = [:]
    /// Places where something changed since `takeTouched`; nil: all of them, places moved.
    private var touched: [Int]? = []
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

    func index(of name: String) -> Int? { arrivalsByName[name].map(place(ofArrival:)) }
    func index(at peer: PeerIdentifier) -> Int? { arrivalsByPeer[peer].map(place(ofArrival:)) }

    private func place(ofArrival arrival: UInt64) -> Int {
        var range = 0..<arrivals.count
        // Nobody has left in between: then it is where it came to.
        if let first = arrivals.first, arrival - first < arrivals.count, arrivals[Int(arrival - first)] == arrival {
            return Int(arrival - first)
        }
        while range.count > 1 {
            let middle = range.lowerBound + range.count / 2
            range = arrivals[middle] <= arrival ? middle..<range.upperBound : range.lowerBound..<middle
        }
        precondition(arrivals[range.lowerBound] == arrival, "arrival \(arrival) has no place")
        return range.lowerBound
    }

    func members(at places: PlaceSet) -> [Worker] { places.map { workers[$0] } }
    subscript(name: String) -> Worker? { index(of: name).map { workers[$0] } }

    /// For everything but its name and its connection.
    mutating func update(_ name: String, _ change: (inout Worker) -> Void) {
        guard let index = index(of: name) else { return }
        let peer = workers[index].peer
        change(&workers[index])
        precondition(workers[index].name == name && workers[index].peer == peer, "`\(name)` changed its connection")
        file(index)
    }

    /// Makes what is known of the places right again after a change of this worker.
    private mutating func file(_ place: Int) {
        hearings.set(place, to: workers[place].lastHeard)
        learned.set(place, workers[place].learned != nil)
        draining.set(place, workers[place].isDraining)
        rests.set(place, to: workers[place].restUntil)
        switch workers[place].policy {
        case .none, .ready:
            loads.set(place, to: nil)
            retries.set(place, to: nil)
        case .loading(_, let since):
            loads.set(place, to: since)
            retries.set(place, to: nil)
        case .failed(_, let retryAt):
            loads.set(place, to: nil)
            retries.set(place, to: retryAt)
        }
        touch(place)
    }

    /// Something that the schedulers look at has changed here.
    mutating func touch(_ place: Int) {
        guard let count = touched?.count else { return }
        if count > 4 * workers.count + 64 { touched = nil } else { touched?.append(place) }
    }

    /// - Returns: places where something may have changed, some of them twice; nil: anything may have, everywhere.
    mutating func takeTouched() -> [Int]? {
        defer { touched = [] }
        return touched
    }

    /// Touches those whose rest is over or who may try a failed load again.
    mutating func wake(at now: MonotonicTime) {
        for place in rests.due(at: now) {
            rests.set(place, to: nil)
            touch(place)
        }
        for place in retries.due(at: now) {
            retries.set(place, to: nil)
            touch(place)
        }
    }

    private mutating func enter(_ worker: Worker) {
        let place = workers.count
        workers.append(worker)
        arrivalCount += 1
        arrivals.append(arrivalCount)
        arrivalsByName[worker.name] = arrivalCount
        if let peer = worker.peer { arrivalsByPeer[peer] = arrivalCount }
        if worker.isLearner {
            learners.set(place, true)
            if !worker.isSampler { mereLearnerCount += 1 }
        }
        if worker.isSampler, !worker.isDraining { samplerCounts[Self.account(of: worker.name), default: 0] += 1 }
        file(place)
    }

    private mutating func dropSampler(_ worker: Worker) {
        let account = Self.account(of: worker.name)
        let count = (samplerCounts[account] ?? 0) - 1
        samplerCounts[account] = count > 0 ? count : nil
    }

    /// Accounts that have a sampler which is not draining.
    var samplerAccountCount: Int { samplerCounts.count }

    mutating func greet(_ hello: Hello, from peer: PeerIdentifier, at now: MonotonicTime) -> Greeting {
        if let fault = Self.fault(in: hello) { return .refused(reason: fault) }
        if strikeCount(of: hello.worker) >= Self.strikeLimit {
            return .refused(
                reason: "worker `\(Self.account(of: hello.worker))` gave \(Self.strikeLimit) unusable answers; "
                    + "look at its log; it is not let in again before this coordinator restarts")
        }
        guard let index = index(of: hello.worker) else {
            if drained.contains(hello.worker) { return .drained }
            enter(Worker(hello: hello, peer: peer, lastHeard: now))
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
        hearings.set(index, to: now)
        if workers[index].peer == peer { return .repeated }
        if let former = workers[index].peer { arrivalsByPeer[former] = nil }
        arrivalsByPeer[peer] = arrivals[index]
        workers[index].hello = hello
        workers[index].peer = peer
        workers[index].policy = .none
        file(index)
        return .returned
    }

    /// Any message counts as a sign of life. Returns the worker's name, nil for a stranger.
    mutating func heard(_ peer: PeerIdentifier, at now: MonotonicTime) -> String? {
        guard let index = index(at: peer) else { return nil }
        workers[index].lastHeard = now
        hearings.set(index, to: now)
        return workers[index].name
    }

    /// The connection is gone; the worker may come back until it has been silent for the whole window.
    mutating func disconnect(_ peer: PeerIdentifier) -> String? {
        guard let index = index(at: peer) else { return nil }
        arrivalsByPeer[peer] = nil
        workers[index].peer = nil
        file(index)
        return workers[index].name
    }

    /// Those after it move up by one place: a short round over all of them.
    mutating func remove(_ name: String) {
        guard let index = index(of: name) else { return }
        let worker = workers.remove(at: index)
        arrivals.remove(at: index)
        arrivalsByName[name] = nil
        if let peer = worker.peer { arrivalsByPeer[peer] = nil }
        if worker.isLearner, !worker.isSampler { mereLearnerCount -= 1 }
        if worker.isSampler, !worker.isDraining { dropSampler(worker) }
        learners.close(index)
        learned.close(index)
        draining.close(index)
        hearings.close(index)
        loads.close(index)
        retries.close(index)
        rests.close(index)
        touched = nil
    }

    /// A membership of these, in this order.
    init(options: ClusterOptions, workers: [Worker]) {
        self.init(options: options)
        for worker in workers { enter(worker) }
    }

    /// The worker gets no more work, and this process is not let in again.
    mutating func drain(_ name: String) {
        if let worker = self[name], worker.isSampler, !worker.isDraining { dropSampler(worker) }
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
        return hearings.due(at: latest).map { workers[$0].name }
    }

    /// When the first of them will have been silent for too long, if it stays silent.
    var nextSilence: MonotonicTime? {
        hearings.first.map { $0 + silenceLimit }
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
