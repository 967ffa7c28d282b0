// runs/NAME/status.json: how the run stands, rewritten about once a second for `coordinator status`.

import Cluster
import Foundation
import Rollouts

package struct StatusFile {
    private let path: String
    private let use = ProcessorUse()

    package init(path: String) { self.path = path }

    /// Written beside and renamed, so that a reader never sees half a file.
    /// - Parameter rates: one a worker.
    package func write(
        run: String, _ status: CoordinatorStatus, rates: [WorkerRates.Rate], at now: MonotonicTime
    ) throws {
        let text = JSONText.object(members(run, status, rates, now)) + "\n"
        let temporary = path + ".tmp"
        try text.write(toFile: temporary, atomically: false, encoding: .utf8)
        guard rename(temporary, path) == 0 else {
            throw RuntimeError("cannot write `\(path)`: \(errnoText())")
        }
    }

    /// What was written last; nil where there is nothing, or nothing readable: then nobody knows better than the store.
    package func read() -> [String: Any]? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        // A file that cannot be read is as good as none.
        return (try? JSONSerialization.jsonObject(with: data)) as? [String: Any]  // see the line above
    }

    private func members(
        _ run: String, _ status: CoordinatorStatus, _ rates: [WorkerRates.Rate], _ now: MonotonicTime
    ) -> [(String, JSONText.Value)] {
        let counters = status.counters
        let workers = zip(status.workers, rates).map { worker, rate in
            JSONText.Value.object([
                ("name", .string(worker.name)), ("host", .string(worker.host)),
                ("reachable", .bool(worker.isReachable)), ("draining", .bool(worker.isDraining)),
                ("roles", .array(worker.roles.map { .string($0.rawValue) })),
                ("version", worker.version.map { .integer(Int($0.rawValue)) } ?? .null),
                ("leases", .integer(worker.leaseCount)), ("completions", .integer(worker.completionCount)),
                ("tokens", .integer(worker.tokenCount)), ("verdicts", .integer(worker.verdictCount)),
                ("steps", .integer(worker.stepCount)),
                ("token_share", Self.share(worker.tokenCount, of: counters.tokenCount)),
                ("verdict_share", Self.share(worker.verdictCount, of: counters.verdictCount)),
                ("tokens_per_second", .number(rate.tokensPerSecond)),
                ("completions_per_second", .number(rate.completionsPerSecond)),
                ("verdicts_per_second", .number(rate.verdictsPerSecond)),
                ("silent_seconds", .number((now - worker.lastHeard).inSeconds)),
            ])
        }
        return [
            ("run", .string(run)), ("process", .integer(Int(getpid()))), ("step", .integer(status.step)),
            ("steps", .integer(status.stepCount)), ("phase", .string(status.phase)),
            ("groups_done", .integer(status.groupsDone)), ("groups_needed", .integer(status.groupsNeeded)),
            ("policy_version", status.newestVersion.map { .integer(Int($0.rawValue)) } ?? .null),
            ("checkpoint_step", .integer(status.checkpointStep)),
            ("workers", .array(workers)),
            ("completions", .integer(counters.completionCount)), ("tokens", .integer(counters.tokenCount)),
            ("verdicts", .integer(counters.verdictCount)),
            ("tokens_per_second", .number(rates.reduce(0) { $0 + $1.tokensPerSecond })),
            ("no_verdict_count", .integer(counters.noVerdictCount)),
            ("released_leases", .integer(counters.releaseCount)),
            ("duplicate_results", .integer(counters.duplicateCount)),
            ("coordinator_processor_seconds", .number(use.seconds)),
            ("coordinator_processor_share", .number(use.share(at: now))),
            ("faults", .integer(counters.faultCount)), ("spot_checks", .integer(counters.spotCheckCount)),
            ("spot_checks_skipped", .integer(counters.spotCheckSkippedCount)),
            ("last_faults", .array(status.faults.map { fault($0, now) })),
        ]
    }

    private func fault(_ fault: Fault, _ now: MonotonicTime) -> JSONText.Value {
        let time = Date(timeIntervalSinceNow: -(now - fault.at).inSeconds)
        return .object([
            ("at", .string(time.formatted(.iso8601))), ("kind", .string(fault.kind.rawValue)),
            ("step", .integer(fault.step)), ("worker", fault.worker.map { .string($0) } ?? .null),
            ("lease", fault.lease.map { .string($0.words) } ?? .null), ("text", .string(fault.text)),
        ])
    }

    private static func share(_ count: Int, of total: Int) -> JSONText.Value {
        total == 0 ? .null : .number(Double(count) / Double(total))
    }
}
