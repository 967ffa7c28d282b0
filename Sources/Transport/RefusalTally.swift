// How refusals become log lines, so that a scan of the ports cannot fill the disk.

import Rollouts
import Synchronization

/// The first refusal of a kind is a line at once; those that follow within a minute are counted and become one line at
/// its end. Kinds beyond `kindLimit` share one line. So there are at most `2 * (kindLimit + 1)` lines a minute.
package struct RefusalTally: Sendable {
    package static let kindLimit = 32
    package static let window = Duration.seconds(60)

    private struct Kind: Sendable {
        var text: String
        var since: MonotonicTime
        /// Not yet said.
        var unsaid: Int
    }

    private var kinds: [Kind] = []
    private var lines: [String] = []

    package init() {}

    /// - Parameter text: one line, the same for refusals of the same kind: who was refused what and why.
    package mutating func add(_ text: String, at now: MonotonicTime) {
        let others = "others were refused too"
        if let index = kinds.firstIndex(where: { $0.text == text }) {
            kinds[index].unsaid += 1
        } else if kinds.count < RefusalTally.kindLimit {
            kinds.append(Kind(text: text, since: now, unsaid: 0))
            lines.append(text)
        } else if let index = kinds.firstIndex(where: { $0.text == others }) {
            kinds[index].unsaid += 1
        } else {
            kinds.append(Kind(text: others, since: now, unsaid: 0))
            lines.append(others)
        }
    }

    /// Lines to log now.
    package mutating func take(at now: MonotonicTime) -> [String] {
        kinds.removeAll { kind in
            guard now - kind.since >= RefusalTally.window else { return false }
            if kind.unsaid > 0 { lines.append("\(kind.text) (\(kind.unsaid) more within a minute)") }
            return true
        }
        defer { lines = [] }
        return lines
    }

    /// When `take` has something to say although nothing is added.
    package var nextDeadline: MonotonicTime? {
        kinds.filter { $0.unsaid > 0 }.map { $0.since + RefusalTally.window }.min()
    }
}

/// One tally that several threads add to.
package final class SharedTally: Sendable {
    private let tally = Mutex(RefusalTally())

    package init() {}
    package func add(_ text: String, at now: MonotonicTime) { tally.withLock { $0.add(text, at: now) } }
    package func take(at now: MonotonicTime) -> [String] { tally.withLock { $0.take(at: now) } }
}
