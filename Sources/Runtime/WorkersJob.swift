// `coordinator workers`: who was let into a run, and who is to stay out.

import Cluster
import Foundation
import Rollouts
import RunStore
import Telemetry

package struct WorkersJob {
    var run: String
    var revoke: String?
    var json: Bool
    var runs: String

    package init(run: String, revoke: String?, json: Bool, runs: String) {
        self.run = run
        self.revoke = revoke
        self.json = json
        self.runs = runs
    }

    package func execute() throws -> Int32 {
        try RunDirectory.check(name: run)
        let directory = RunDirectory(runs: runs, name: run)
        guard FileManager.default.fileExists(atPath: directory.access) else {
            guard FileManager.default.fileExists(atPath: directory.path) else {
                throw RuntimeError("there is no run `\(run)` in `\(runs)/`")
            }
            guard revoke == nil else { throw RuntimeError("nobody was admitted to the run `\(run)`") }
            Output.line(json ? JSONText.object([("run", .string(run)), ("workers", .array([]))]) : Self.nobody(run))
            return 0
        }
        let store = try AccessStore(path: directory.access)
        if let revoke { return try revoked(revoke, store) }
        let present = try WorkersJob.present(directory)
        let workers = try store.workers()
        if json {
            Output.line(WorkersJob.object(run, workers, present))
        } else if workers.isEmpty {
            Output.line(Self.nobody(run))
        } else {
            for line in WorkersJob.table(workers, present) { Output.line(line) }
        }
        return 0
    }

    private static func nobody(_ run: String) -> String {
        "Nobody was admitted to the run `\(run)`. Invite with: coordinator invite \(run)"
    }

    private func revoked(_ name: String, _ store: AccessStore) throws -> Int32 {
        guard let worker = try store.revoke(name: name) else {
            let names = try store.workers().map(\.name).joined(separator: ", ")
            throw RuntimeError(
                "no worker `\(name)` was admitted to the run `\(run)`" + (names.isEmpty ? "" : "; there are \(names)"))
        }
        Output.line(
            worker.revokedAt == nil
                ? "`\(name)` is not let in any more; a running coordinator gives its work to others within a second."
                : "`\(name)` was revoked already.")
        return 0
    }

    /// Seconds since each admitted worker was heard, of those connected to a running coordinator.
    private static func present(_ directory: RunDirectory) throws -> [String: Double] {
        guard directory.exists, try RunStore(reading: directory.store).writerProcess != nil else { return [:] }
        let status = StatusFile(path: directory.status).read()
        var heard: [String: Double] = [:]
        for worker in status?["workers"] as? [[String: Any]] ?? [] {
            guard let admitted = (worker["name"] as? String).flatMap(admittedName),
                worker["reachable"] as? Bool == true, let silence = worker["silent_seconds"] as? Double
            else { continue }
            heard[admitted] = min(silence, heard[admitted] ?? .infinity)
        }
        return heard
    }

    private static func seenAt(_ worker: AdmittedWorker, _ present: [String: Double]) -> Double? {
        present[worker.name].map { Date().timeIntervalSince1970 - $0 } ?? worker.seenAt
    }

    private static func object(
        _ run: String, _ workers: [AdmittedWorker], _ present: [String: Double]
    ) -> String {
        JSONText.object([
            ("run", .string(run)),
            (
                "workers",
                .array(
                    workers.map { worker in
                        .object([
                            ("name", .string(worker.name)), ("key", .string(worker.key)),
                            ("roles", .array(worker.roles.map { .string($0.rawValue) })),
                            ("joined_at", .number(worker.joinedAt)),
                            ("last_seen_at", seenAt(worker, present).map { .number($0) } ?? .null),
                            ("revoked_at", worker.revokedAt.map { .number($0) } ?? .null),
                            ("connected", .bool(worker.revokedAt == nil && present[worker.name] != nil)),
                        ])
                    })
            ),
        ])
    }

    private static func table(_ workers: [AdmittedWorker], _ present: [String: Double]) -> [String] {
        func time(_ seconds: Double?) -> String {
            seconds.map { Date(timeIntervalSince1970: $0).formatted(.iso8601) } ?? "never"
        }
        var rows = [["name", "roles", "joined", "last seen", "state"]]
        for worker in workers {
            let state =
                worker.revokedAt.map { "revoked \(time($0))" }
                ?? (present[worker.name] == nil ? "not connected" : "connected")
            rows.append([
                worker.name, worker.roles.map(\.rawValue).joined(separator: "+"), time(worker.joinedAt),
                time(seenAt(worker, present)), state,
            ])
        }
        return DisplayText.aligned(rows, gap: 2)
    }
}
