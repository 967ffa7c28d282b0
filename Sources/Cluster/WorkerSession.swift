// Whether a worker and its coordinator are in touch: hello, heartbeats, silence, back-off.

import Rollouts

/// apart → (connected) greeting → (welcome) joined → (silence, refusal) apart → …; left is the end.
struct WorkerSession: Equatable, Sendable {
    enum State: Equatable, Sendable {
        case apart
        /// Hello is said; an answer is expected until then.
        case greeting(until: MonotonicTime)
        case joined
        case left
    }
    private static let backOffLimit = 5

    private(set) var state = State.apart
    private var lastHeard = MonotonicTime.zero
    private var nextHeartbeat = MonotonicTime.zero
    private var failureCount = 0
    /// Of the welcome, or the defaults before the first one.
    private var heartbeat = Duration.seconds(1)
    private var silenceLimit = Duration.seconds(5)

    var isJoined: Bool { state == .joined }

    mutating func greet(at now: MonotonicTime) { state = .greeting(until: now + silenceLimit) }

    mutating func join(_ options: ClusterOptions, at now: MonotonicTime) {
        heartbeat = .nanoseconds(Int64(options.heartbeatSeconds * 1e9))
        silenceLimit = .nanoseconds(
            Int64(options.heartbeatSeconds * Double(max(1, options.heartbeatsMissed)) * 1e9))
        state = .joined
        lastHeard = now
        nextHeartbeat = now
        failureCount = 0
    }

    mutating func heard(at now: MonotonicTime) { lastHeard = max(lastHeard, now) }
    mutating func leave() { state = .left }

    /// Refused, or no answer: how long to wait before the next try: 1 s, 2 s, 4 s, … 32 s.
    mutating func fail() -> Duration {
        state = .apart
        failureCount += 1
        return .seconds(1 << min(failureCount - 1, Self.backOffLimit))
    }

    /// A coordinator that was there is silent: try again at once.
    mutating func part() { state = .apart }

    func isSilent(at now: MonotonicTime) -> Bool {
        switch state {
        case .joined: lastHeard + silenceLimit <= now
        case .greeting(let until): until <= now
        case .apart, .left: false
        }
    }

    /// Whether a heartbeat is due; the next one is then counted from now.
    mutating func beats(at now: MonotonicTime) -> Bool {
        guard isJoined, nextHeartbeat <= now else { return false }
        nextHeartbeat = now + heartbeat
        return true
    }

    var nextDeadline: MonotonicTime? {
        switch state {
        case .joined: min(nextHeartbeat, lastHeard + silenceLimit)
        case .greeting(let until): until
        case .apart, .left: nil
        }
    }
}
