// Who may join a run: its open invitations and the workers that were let in, in one SQLite file beside its keys.

import Foundation
import GRDB
import Rollouts

/// A one-time permission to join. What is stored of its secret is the verifier.
package struct Invitation: Equatable, Sendable {
    /// The token's id, in hexadecimal digits.
    package var identifier: String
    package var verifier: [UInt8]
    package var roles: [WorkerRole]
    /// Seconds since 1970.
    package var expiresAt: Double

    package init(identifier: String, verifier: [UInt8], roles: [WorkerRole], expiresAt: Double) {
        self.identifier = identifier
        self.verifier = verifier
        self.roles = roles
        self.expiresAt = expiresAt
    }
}

/// A worker whose key is known. Times are seconds since 1970.
package struct AdmittedWorker: Equatable, Sendable {
    /// The public key, in hexadecimal digits.
    package var key: String
    /// Unique in the run.
    package var name: String
    package var roles: [WorkerRole]
    package var joinedAt: Double
    package var seenAt: Double?
    /// Not let in since then.
    package var revokedAt: Double?
}

package enum Redemption: Equatable, Sendable {
    case admitted(AdmittedWorker, isNew: Bool)
    case expired(at: Double)
    /// By this worker, with another key.
    case used(by: String)
    case revoked(name: String)
    /// No such invitation.
    case unknown
}

/// Written by the coordinator and, beside it, by `coordinator invite` and `coordinator workers --revoke`. Safe from any
/// thread, one call after the other.
package final class AccessStore: Sendable {
    /// "RkAc": tells it from any other SQLite file.
    private static let applicationIdentifier = 0x526b_4163

    package let path: String
    private let queue: DatabaseQueue
    private let clock: @Sendable () -> Double

    /// Opens or makes the file, which nobody else may read. Its folder must exist.
    package convenience init(path: String) throws(RunStoreError) {
        try self.init(path: path, clock: { Date().timeIntervalSince1970 })
    }

    /// - Parameter clock: wall-clock seconds since 1970.
    init(path: String, clock: @escaping @Sendable () -> Double) throws(RunStoreError) {
        do {
            // SQLite gives the files beside it the same mode.
            let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else {
                throw RunStoreError.cannotOpen(path: path, reason: String(cString: strerror(errno)))
            }
            close(descriptor)
            var configuration = Configuration()
            configuration.busyMode = .timeout(2)
            queue = try DatabaseQueue(path: path, configuration: configuration)
            try queue.inDatabase { database in
                let identifier = try Int.fetchOne(database, sql: "PRAGMA application_id")
                let tables = try String.fetchAll(database, sql: "SELECT name FROM sqlite_master")
                guard identifier == AccessStore.applicationIdentifier || tables.isEmpty else {
                    throw RunStoreError.foreign(path: path)
                }
                guard try String.fetchOne(database, sql: "PRAGMA journal_mode = WAL") == "wal" else {
                    throw RunStoreError.cannotOpen(path: path, reason: "no write-ahead log on this file system")
                }
                try database.execute(sql: "PRAGMA synchronous = FULL")
                try database.execute(sql: "PRAGMA application_id = \(AccessStore.applicationIdentifier)")
            }
            var migrator = DatabaseMigrator()
            migrator.registerMigration("v1") { try $0.execute(sql: AccessStore.version1) }
            if try queue.read(migrator.hasBeenSuperseded) { throw RunStoreError.newerSchema(path: path) }
            try migrator.migrate(queue)
        } catch {
            throw RunStoreError(error, path: path, operation: "opening")
        }
        self.path = path
        self.clock = clock
    }

    private static let version1 = """
        CREATE TABLE invitations (
            identifier TEXT PRIMARY KEY,
            verifier BLOB NOT NULL,
            roles TEXT NOT NULL,
            created_at REAL NOT NULL,
            expires_at REAL NOT NULL,
            used_by TEXT,
            used_at REAL
        ) STRICT;
        CREATE TABLE workers (
            key TEXT PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            roles TEXT NOT NULL,
            joined_at REAL NOT NULL,
            seen_at REAL,
            revoked_at REAL
        ) STRICT;
        CREATE TABLE endpoints (
            position INTEGER PRIMARY KEY,
            address TEXT NOT NULL
        ) STRICT;
        """

    // MARK: - Invitations

    /// Stores invitations, and forgets those that expired unused more than a day ago.
    package func add(_ invitations: [Invitation]) throws(RunStoreError) {
        let now = clock()
        try write("storing invitations") { database in
            try database.execute(
                sql: "DELETE FROM invitations WHERE used_by IS NULL AND expires_at < ?", arguments: [now - 86_400])
            for invitation in invitations {
                try database.execute(
                    sql: """
                        INSERT INTO invitations (identifier, verifier, roles, created_at, expires_at)
                        VALUES (?, ?, ?, ?, ?)
                        """,
                    arguments: [
                        invitation.identifier, Data(invitation.verifier), AccessStore.text(invitation.roles), now,
                        invitation.expiresAt,
                    ])
            }
        }
    }

    /// What a proof for this token is checked with; nil for a token that is not known.
    package func verifier(of identifier: String) throws(RunStoreError) -> [UInt8]? {
        try read { database in
            try Data.fetchOne(
                database, sql: "SELECT verifier FROM invitations WHERE identifier = ?", arguments: [identifier]
            ).map { Array($0) }
        }
    }

    /// Uses up an invitation whose proof was right. A key that it has let in before is let in again, whatever the time.
    /// A fresh invitation also lets in a key that was revoked.
    /// - Parameter name: what the worker would like to be called; made unique, and into letters, digits, `-`, `_`, `.`.
    package func redeem(
        _ identifier: String, key: String, name: String
    ) throws(RunStoreError) -> Redemption {
        let now = clock()
        return try write("admitting a worker") { database in
            guard
                let row = try Row.fetchOne(
                    database, sql: "SELECT * FROM invitations WHERE identifier = ?", arguments: [identifier])
            else { return .unknown }
            let known = try AccessStore.worker(database, "key", key)
            if let usedBy: String = row["used_by"] {
                guard usedBy == key, let known else {
                    return .used(by: try AccessStore.worker(database, "key", usedBy)?.name ?? "a worker")
                }
                return known.revokedAt == nil ? .admitted(known, isNew: false) : .revoked(name: known.name)
            }
            let expiresAt: Double = row["expires_at"]
            guard now < expiresAt else {
                if let known, known.revokedAt == nil { return .admitted(known, isNew: false) }
                return .expired(at: expiresAt)
            }
            try database.execute(
                sql: "UPDATE invitations SET used_by = ?, used_at = ? WHERE identifier = ?",
                arguments: [key, now, identifier])
            let roles: String = row["roles"]
            if known != nil {
                try database.execute(
                    sql: "UPDATE workers SET roles = ?, joined_at = ?, revoked_at = NULL WHERE key = ?",
                    arguments: [roles, now, key])
            } else {
                try database.execute(
                    sql: "INSERT INTO workers (key, name, roles, joined_at) VALUES (?, ?, ?, ?)",
                    arguments: [key, try AccessStore.freeName(database, like: name), roles, now])
            }
            guard let admitted = try AccessStore.worker(database, "key", key) else {
                throw DamagedRow(detail: "the worker just stored is gone")
            }
            return .admitted(admitted, isNew: known?.revokedAt != nil || known == nil)
        }
    }

    private static func freeName(_ database: Database, like wanted: String) throws -> String {
        let allowed = wanted.utf8.filter {
            ($0 >= 48 && $0 <= 57) || ($0 >= 65 && $0 <= 90) || ($0 >= 97 && $0 <= 122) || $0 == 45 || $0 == 46
                || $0 == 95
        }
        let base = allowed.isEmpty ? "worker" : String(decoding: allowed.prefix(60), as: UTF8.self)
        var name = base
        var number = 2
        while try worker(database, "name", name) != nil {
            name = "\(base)-\(number)"
            number += 1
        }
        return name
    }

    // MARK: - Workers

    /// In order of name.
    package func workers() throws(RunStoreError) -> [AdmittedWorker] {
        try read { try Row.fetchAll($0, sql: "SELECT * FROM workers ORDER BY name").map(AccessStore.worker) }
    }

    /// From now on the worker is not let in. Returns it as it was before; nil for one that is not known.
    package func revoke(name: String) throws(RunStoreError) -> AdmittedWorker? {
        let now = clock()
        return try write("revoking a worker") { database in
            guard let worker = try AccessStore.worker(database, "name", name) else { return nil }
            try database.execute(
                sql: "UPDATE workers SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL", arguments: [now, name])
            return worker
        }
    }

    /// Notes that these workers are there now.
    package func see(names: [String]) throws(RunStoreError) {
        guard !names.isEmpty else { return }
        let now = clock()
        try write("noting who is there") { database in
            for name in names {
                try database.execute(sql: "UPDATE workers SET seen_at = ? WHERE name = ?", arguments: [now, name])
            }
        }
    }

    // MARK: - Where to join

    /// Keeps where the coordinator takes requests to join, for invitations.
    package func storeEndpoints(_ addresses: [String]) throws(RunStoreError) {
        try write("storing addresses") { database in
            try database.execute(sql: "DELETE FROM endpoints")
            for (position, address) in addresses.enumerated() {
                try database.execute(
                    sql: "INSERT INTO endpoints (position, address) VALUES (?, ?)", arguments: [position, address])
            }
        }
    }

    package func endpoints() throws(RunStoreError) -> [String] {
        try read { try String.fetchAll($0, sql: "SELECT address FROM endpoints ORDER BY position") }
    }

    /// Another number whenever another process has changed something.
    package func foreignChanges() throws(RunStoreError) -> Int {
        try read { try Int.fetchOne($0, sql: "PRAGMA data_version") ?? 0 }
    }

    // MARK: - Rows

    private static func text(_ roles: [WorkerRole]) -> String { roles.map(\.rawValue).joined(separator: ",") }

    private static func worker(_ database: Database, _ column: String, _ value: String) throws -> AdmittedWorker? {
        try Row.fetchOne(database, sql: "SELECT * FROM workers WHERE \(column) = ?", arguments: [value]).map(worker)
    }

    private static func worker(_ row: Row) throws -> AdmittedWorker {
        AdmittedWorker(
            key: try row.text("key"), name: try row.text("name"), roles: try row.roles(),
            joinedAt: try row.number("joined_at"), seenAt: row["seen_at"], revokedAt: row["revoked_at"])
    }

    private func write<Value>(
        _ operation: String, _ body: (Database) throws -> Value
    ) throws(RunStoreError) -> Value {
        do {
            return try queue.write(body)
        } catch {
            throw failure(error, operation)
        }
    }

    private func read<Value>(_ body: (Database) throws -> Value) throws(RunStoreError) -> Value {
        do {
            return try queue.read(body)
        } catch {
            throw failure(error, "reading")
        }
    }

    private func failure(_ error: any Error, _ operation: String) -> RunStoreError {
        if let row = error as? DamagedRow { return .damaged(path: path, detail: row.detail) }
        return RunStoreError(error, path: path, operation: operation)
    }
}
