// How much more may somebody ask for?

import Rollouts

/// A bucket of permissions: full at first, refilled with time and by what is granted, emptied by what is taken.
package struct RateBudget: Equatable, Sendable {
    private let burst: Double
    private let perSecond: Double
    private var left: Double
    private var filledAt: MonotonicTime?

    package init(burst: Int, perSecond: Int) {
        precondition(burst > 0 && perSecond >= 0, "RateBudget: burst \(burst), \(perSecond) per second")
        self.burst = Double(burst)
        self.perSecond = Double(perSecond)
        left = Double(burst)
    }

    /// - Returns: whether there were so many left; if not, none is taken.
    package mutating func take(_ count: Int = 1, at now: MonotonicTime) -> Bool {
        if let filledAt, now > filledAt { left = min(burst, left + (now - filledAt).inSeconds * perSecond) }
        filledAt = max(filledAt ?? now, now)
        guard left >= Double(count) else { return false }
        left -= Double(count)
        return true
    }

    package mutating func grant(_ count: Int) { left = min(burst, left + Double(count)) }
}
