// `cluster/chaos --coordinator-kills N`: does a coordinator killed at N random points lose or repeat anything?

import Foundation
import Rollouts
import Runtime

package struct JournalJob {
    /// Writes of the store a life may last: more than two steps of the tiny recipe.
    private static let longestLife = 24
    /// The first writes of a life come before any work.
    private static let shortestWork = 8

    private let settings: ChaosSettings
    private let kills: Int

    package init(_ settings: ChaosSettings, kills: Int) {
        self.settings = settings
        self.kills = kills
    }

    /// - Returns: the exit status: 0 only when all kills happened and every count is right.
    package func run() throws -> Int32 {
        let ground = try ChaosGround(settings)
        var isSame = false
        defer { ground.remove(keeping: !isSame && Signals.received == 0) }
        let undisturbed = try ground.runUndisturbed()
        let expected = try Journal.read(store: ground.store(of: "undisturbed"), mayBeUnmade: false)
        ground.say("the killed run: \(kills) kills")
        var counts = FaultCounts()
        let (journal, failure) = try live(ground, &counts)
        var verdict = ChaosVerdict(
            undisturbed, try ground.record(of: "killed"), counts: counts,
            failure: failure ?? (counts.total < kills ? "the run was complete after \(counts.total) kills" : nil))
        if verdict.difference == nil { verdict.difference = journal.repetition ?? journal.loss(since: expected) }
        if verdict.difference == nil, journal != expected { verdict.difference = "more was accepted than undisturbed" }
        isSame = verdict.isSame
        let count = journal.completions.count
        Output.line(
            verdict.line
                + (isSame ? "; \(count) groups accepted, none lost; \(journal.steps.count) steps, none twice" : ""))
        return isSame ? 0 : 1
    }

    /// One life of the coordinator after the other.
    private func live(_ ground: ChaosGround, _ counts: inout FaultCounts) throws -> (Journal, failure: String?) {
        var dice = Dice(seed: settings.seed, stream: 4)
        let store = ground.store(of: "killed")
        var journal = Journal([])
        while true {
            let isAhead = counts.total < kills
                && RunRecord.newestStep(path: ground.metrics(of: "killed")) * kills > settings.steps * counts.total
            let life = Life(
                writes: dice.integer(1...(isAhead ? Self.shortestWork : Self.longestLife)),
                microseconds: dice.integer(below: 5_000), isEndless: counts.total >= kills)
            let isKnown = FileManager.default.fileExists(atPath: store)
            let coordinator = try ground.start("killed", isKnown ? ["--resume"] : [])
            let wasKilled = try life.end(coordinator, store: store, ground)
            let now = try Journal.read(store: store, mayBeUnmade: journal.isEmpty)
            let wrong = now.loss(since: journal) ?? now.repetition
            journal = now
            if wasKilled {
                counts.add(.killCoordinator)
                if counts.total.isMultiple(of: 20) {
                    let done = "\(journal.steps.count) steps, \(journal.completions.count) groups"
                    ground.say("\(counts.total) kills, \(done)")
                }
            }
            if let wrong { return (journal, "after kill \(counts.total): \(wrong)") }
            if !wasKilled {
                let status = coordinator.status
                return (journal, status == 0 ? nil : "the coordinator ended with status \(status)")
            }
        }
    }
}

/// How long a coordinator lives: so many writes of its store, and a moment.
private struct Life {
    var writes: Int
    var microseconds: Int
    var isEndless: Bool

    /// - Returns: whether it was killed; else it ended by itself.
    func end(_ coordinator: OwnProcess, store: String, _ ground: ChaosGround) throws -> Bool {
        var seen = 0
        var last = Life.stamp(store)
        let deadline = ContinuousClock.now + ChaosJob.patience
        while coordinator.isRunning {
            try ground.checkInterruption()
            usleep(300)  // looking at another process's file
            let stamp = Life.stamp(store)
            if stamp != last {
                last = stamp
                seen += 1
            }
            guard ContinuousClock.now < deadline else {
                throw FaultInjectionError("the killed run does not go on: see `\(coordinator.log)`")
            }
            guard !isEndless, seen >= writes else { continue }
            usleep(UInt32(microseconds))  // anywhere between two writes
            // As when the host goes down: its workers with it.
            return coordinator.killWithChildren()
        }
        return false
    }

    /// Changes with every commit.
    private static func stamp(_ store: String) -> [Int] {
        var status = stat()
        guard stat(store + "-wal", &status) == 0 else { return [] }
        return [Int(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
    }
}
