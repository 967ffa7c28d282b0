// Where does a run's progress survive: one SQLite file (`run.sqlite`), one writer, every record durable when `append`
// returns.

import Cluster
import Foundation
import GRDB
import Rollouts

/// The store of one run. Safe from any thread, one call after the other; readers in other processes do not disturb it.
package final class RunStore: Sendable {
    package let path: String
    let queue: DatabaseQueue
    /// Nil in a store that is open for reading only.
    private let lock: LockBox?
    private let epoch: UInt64
    private let clock: @Sendable () -> Double

    /// A class, because `RunLock` is not copyable and optional.
    private final class LockBox: Sendable {
        let lock: RunLock
        init(_ lock: consuming RunLock) { self.lock = lock }
    }

    /// Opens or creates the store for writing. The folder must exist.
    package convenience init(path: String) throws(RunStoreError) {
        try self.init(path: path, clock: { Date().timeIntervalSince1970 })
    }

    /// - Parameter clock: wall-clock seconds since 1970, only ever shown to people.
    init(path: String, clock: @escaping @Sendable () -> Double) throws(RunStoreError) {
        let lock = LockBox(try RunLock(storePath: path))
        do {
            var configuration = Configuration()
            configuration.busyMode = .timeout(5)
            let isNew = !FileManager.default.fileExists(atPath: path)
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            try RunStore.verify(queue, path: path, isWriter: true)
            try queue.inDatabase(RunStore.makeDurable)
            try RunSchema.migrator.migrate(queue)
            self.epoch = try queue.write { database in
                try database.execute(
                    sql: "INSERT OR IGNORE INTO run (id, created_at) VALUES (1, ?)", arguments: [clock()])
                let count = try Int.fetchOne(database, sql: "SELECT open_count FROM run") ?? 0
                try database.execute(sql: "UPDATE run SET open_count = open_count + 1")
                return UInt64(max(0, count))
            }
            if isNew { try RunStore.synchronizeFolder(of: path) }
            self.queue = queue
        } catch {
            throw RunStoreError(error, path: path, operation: "opening")
        }
        self.path = path
        self.lock = lock
        self.clock = clock
    }

    /// Opens an existing store for reading, also while a coordinator writes it.
    package init(reading path: String) throws(RunStoreError) {
        guard FileManager.default.fileExists(atPath: path) else { throw RunStoreError.missing(path: path) }
        do {
            var configuration = Configuration()
            configuration.readonly = true
            configuration.busyMode = .timeout(5)
            var queue = try DatabaseQueue(path: path, configuration: configuration)
            try RunStore.verify(queue, path: path, isWriter: false)
            if try queue.read({ try !RunSchema.migrator.hasCompletedMigrations($0) }) {
                // What an older release wrote and no one opened for writing since: a copy in memory becomes newer.
                let copy = try DatabaseQueue()
                try queue.backup(to: copy)
                try RunSchema.migrator.migrate(copy)
                queue = copy
            }
            self.epoch = try queue.read {
                UInt64(max(0, try Int.fetchOne($0, sql: "SELECT open_count FROM run") ?? 0))
            }
            self.queue = queue
        } catch {
            throw RunStoreError(error, path: path, operation: "opening")
        }
        self.path = path
        self.lock = nil
        self.clock = { 0 }
    }

    /// Refuses what is no store of a run, what a newer program wrote, and what is damaged.
    /// - Parameter isWriter: a new file has no tables yet; a reader leaves the check of every page to the writer.
    private static func verify(_ queue: DatabaseQueue, path: String, isWriter: Bool) throws {
        try queue.read { database in
            let identifier = try Int.fetchOne(database, sql: "PRAGMA application_id")
            let tables = try String.fetchAll(database, sql: "SELECT name FROM sqlite_master WHERE type = 'table'")
            let isOurs = identifier == RunSchema.applicationIdentifier
            guard isWriter ? isOurs || tables.isEmpty : isOurs && tables.contains("run") else {
                throw RunStoreError.foreign(path: path)
            }
            if try RunSchema.migrator.hasBeenSuperseded(database) { throw RunStoreError.newerSchema(path: path) }
            guard isWriter else { return }
            let report = try String.fetchOne(database, sql: "PRAGMA quick_check(1)") ?? "no answer to a check"
            guard report == "ok" else { throw RunStoreError.damaged(path: path, detail: report) }
        }
    }

    /// Commits survive the end of the process and of the power: write-ahead log, synced at every commit. Not before
    /// `verify`: it changes the file.
    private static func makeDurable(_ database: Database) throws {
        guard try String.fetchOne(database, sql: "PRAGMA journal_mode = WAL") == "wal" else {
            throw DatabaseError(resultCode: .SQLITE_CANTOPEN, message: "no write-ahead log on this file system")
        }
        try database.execute(sql: "PRAGMA synchronous = FULL")
        // Moving the log into the file waits for the disk twice more: 16 MB at a time.
        try database.execute(sql: "PRAGMA wal_autocheckpoint = 4000")
        // Before the first table: a store that was killed while being made is still known as one.
        try database.execute(sql: "PRAGMA application_id = \(RunSchema.applicationIdentifier)")
    }

    /// A new file's name is durable only when its folder is.
    private static func synchronizeFolder(of path: String) throws {
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        let descriptor = open(folder, O_RDONLY | O_CLOEXEC)
        defer { if descriptor >= 0 { close(descriptor) } }
        guard descriptor >= 0, fsync(descriptor) == 0 else {
            throw RunStoreError.cannotOpen(path: folder, reason: String(cString: strerror(errno)))
        }
    }

    /// How many times the run was opened for writing before this: 0 for a fresh run. Durable before anything else is.
    package func leaseEpoch() -> UInt64 { epoch }

    /// The process that has the run open for writing (this one, for a store that is); nil when none has.
    package var writerProcess: Int32? { lock == nil ? RunLock.holder(storePath: path) : getpid() }

    // MARK: - Writing

    /// Makes records durable, all or none. Repeating a record is harmless: groups and steps are stored by name.
    /// - Throws: `.conflict` when a repeated group has other completions or a repeated step other weights.
    package func append(_ records: [Cluster.Record]) throws(RunStoreError) {
        if records.isEmpty { return }
        let now = clock()
        try write("storing records") { [path] database in
            let last = try Int.fetchOne(database, sql: "SELECT sequence FROM run") ?? 0
            var writer = RecordWriter(database: database, path: path, now: now, sequence: last)
            for record in records { try writer.write(record) }
            try database.execute(sql: "UPDATE run SET sequence = ?", arguments: [writer.sequence])
        }
    }

    /// Keeps the recipe that the run is made from; a later one replaces it.
    /// - Parameter yaml: as it was resolved, for people.
    package func storeRecipe(_ yaml: String, options: RunOptions) throws(RunStoreError) {
        try write("storing the recipe") { database in
            let encoder = JSONEncoder()
            encoder.outputFormatting = .sortedKeys
            let json = String(decoding: try encoder.encode(options), as: UTF8.self)
            try database.execute(
                sql: "UPDATE run SET recipe = ?, options = ?", arguments: [StoredValue.text(yaml), json])
        }
    }

    /// Undoes what came after a step: its metrics, evaluations and checkpoints are shown no more. Accepted groups and
    /// the hashes of the policies stay, because training the same steps again uses the ones and must give the others.
    package func rewind(toStep step: Int) throws(RunStoreError) {
        try write("going back") { database in
            try database.execute(sql: "UPDATE steps SET undone = 1 WHERE step > ?", arguments: [step])
            try database.execute(sql: "DELETE FROM evaluations WHERE step > ?", arguments: [step])
            try database.execute(sql: "DELETE FROM checkpoints WHERE step > ?", arguments: [step])
            try database.execute(
                sql: """
                    UPDATE run SET outcome = NULL, outcome_step = NULL, outcome_reason = NULL, outcome_sequence = NULL
                    """)
        }
    }

    /// Forgets a checkpoint whose files were deleted or do not verify.
    package func removeCheckpoint(step: Int) throws(RunStoreError) {
        try write("removing a checkpoint") { database in
            try database.execute(sql: "DELETE FROM checkpoints WHERE step = ?", arguments: [step])
        }
    }

    /// Frees the token arrays of groups that a checkpoint of this step covers. Texts, verdicts and prompts stay.
    package func compact(throughStep step: Int) throws(RunStoreError) {
        let training = Purpose.training.rawValue
        let covered = """
            compacted = 0 AND ((purpose = \(training) AND step <= :step) OR (purpose <> \(training) AND step < :step))
            """
        try write("compacting") { database in
            let reader = RecordReader(database: database)
            for id in try Int64.fetchAll(
                database, sql: "SELECT id FROM groups WHERE \(covered)", arguments: ["step": step])
            {
                guard let group = try reader.rows("SELECT * FROM groups WHERE id = ?", [id]).first.map(reader.group)
                else { continue }
                try database.cachedStatement(sql: "UPDATE groups SET compacted = 1, completions = ? WHERE id = ?")
                    .execute(arguments: [
                        GroupBlob.bytes(group.completions, isCompacted: true), id,
                    ])
            }
        }
    }

    private func write(_ operation: String, _ body: (Database) throws -> Void) throws(RunStoreError) {
        precondition(lock != nil, "\(operation) in a store that is open for reading: \(path)")
        do {
            try queue.write(body)
        } catch {
            throw failure(error, operation)
        }
    }

    func failure(_ error: any Error, _ operation: String) -> RunStoreError {
        RunStoreError(error, path: path, operation: operation)
    }
}
