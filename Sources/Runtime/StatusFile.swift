// runs/NAME/status.json: how the run stands, rewritten about once a second for `coordinator status`.

import Cluster
import Foundation
import Rollouts

package struct StatusFile {
    private let path: String

    package init(path: String) { self.path = path }

    /// Written beside and renamed, so that a reader never sees half a file.
    package func write(run: String, _ status: CoordinatorStatus, at now: MonotonicTime) throws {
        let text = JSONText.object(members(run, status, now)) + "\n"
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
        _ run: String, _ status: CoordinatorStatus, _ now: MonotonicTime
    ) -> [(String, JSONText.Value)] {
        let workers = status.workers.map { worker in
            JSONText.Value.object([
                ("name", .string(worker.name)), ("host", .string(worker.host)),
                ("reachable", .bool(worker.isReachable)), ("draining", .bool(worker.isDraining)),
                ("roles", .array(worker.roles.map { .string($0.rawValue) })),
                ("version", worker.version.map { .integer(Int($0.rawValue)) } ?? .null),
                ("leases", .integer(worker.leaseCount)), ("completions", .integer(worker.completionCount)),
                ("silent_seconds", .number((now - worker.lastHeard).inSeconds)),
            ])
        }
        return [
            ("run", .string(run)), ("process", .integer(Int(getpid()))), ("step", .integer(status.step)),
            ("steps", .integer(status.stepCount)), ("phase", .string(status.phase)),
            ("groups_done", .integer(status.groupsDone)), ("groups_needed", .integer(status.groupsNeeded)),
            ("workers", .array(workers)),
            ("no_verdict_count", .integer(status.counters.noVerdictCount)),
            ("released_leases", .integer(status.counters.releaseCount)),
            ("duplicate_results", .integer(status.counters.duplicateCount)),
            ("faults", .integer(status.counters.faultCount)),
        ]
    }
}
