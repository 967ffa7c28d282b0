// Which processes are struck when: a function of the seed alone.

import Rollouts

/// Numbers from a seed, one after the other. `stream` keeps users of one seed apart.
package struct Dice: Equatable, Sendable {
    private let seed: UInt64
    private let stream: UInt64
    private var drawn: UInt64 = 0

    package init(seed: UInt64, stream: UInt64) {
        self.seed = seed
        self.stream = stream
    }

    /// Uniform in 0..<bound.
    package mutating func integer(below bound: Int) -> Int {
        precondition(bound > 0, "Dice: nothing is below \(bound)")
        drawn += 1
        return Int(KeyedRandom.integer(below: UInt64(bound), seed: seed, use: .jitter, stream, drawn))
    }

    package mutating func integer(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + integer(below: range.count)
    }

    /// Uniform in [0, 1).
    package mutating func share() -> Double {
        drawn += 1
        return KeyedRandom.uniform(seed: seed, use: .jitter, stream, drawn)
    }
}

/// Faults hang on the run's progress, not on the clock: a slow machine is struck in the same steps as a fast one. Where
/// inside a step a fault falls is the pause after the step before was seen, and the machine's business.
package struct FaultPlan: Equatable, Sendable {
    package struct Strike: Equatable, Sendable {
        package var kind: FaultKind
        /// After this many steps are trained.
        package var step: Int
        package var pause: Duration
        /// Of a stop: in leases, above 1.
        package var leases: Double
    }

    /// Steps ascending.
    package private(set) var strikes: [Strike] = []

    /// - Parameters:
    ///   - kinds: those of messages are not planned; `FrameWeather` makes them.
    ///   - rounds: how often each kind comes.
    ///   - steps: the run's; nothing comes in its last third, so that every fault has work to hit and to spoil.
    package init(seed: UInt64, kinds: [FaultKind], rounds: Int, steps: Int) {
        var dice = Dice(seed: seed, stream: 1)
        let planned = kinds.filter { FaultKind.ofProcesses.contains($0) }
        var order: [FaultKind] = []
        for _ in 0..<rounds {
            var round = planned
            while !round.isEmpty { order.append(round.remove(at: dice.integer(below: round.count))) }
        }
        let last = steps * 2 / 3
        for (index, kind) in order.enumerated() {
            let step = order.count == 1 ? last / 2 : last * index / (order.count - 1)
            strikes.append(
                Strike(
                    kind: kind, step: step, pause: .milliseconds(dice.integer(below: 80)),
                    leases: 1.2 + dice.share()))
        }
    }
}
