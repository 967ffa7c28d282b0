// What a run's store says: to the coordinator that goes on, to `coordinator status`, to a person.

import Cluster
import Foundation
import GRDB
import Rollouts

/// One stay of a worker in the run.
package struct WorkerStay: Equatable, Sendable {
    package var name: String
    package var host: String
    package var roles: [WorkerRole]
    /// Seconds since 1970.
    package var joinedAt: Double
    /// Nil while it is there, or when the coordinator ended before it could see it leave.
    package var leftAt: Double?
    package var reason: String?
    /// Joined since the coordinator was last started, and not left.
    package var isPresent: Bool
}

extension RunStore {
    /// Everything, in the order in which it was appended; what was repeated or replaced appears once. Groups that were
    /// compacted are left out.
    package func records() throws(RunStoreError) -> [Cluster.Record] {
        try read { try $0.records() }
    }

    package func latestCheckpoint() throws(RunStoreError) -> Checkpoint? {
        try checkpoints().last
    }

    /// Steps ascending.
    package func checkpoints() throws(RunStoreError) -> [Checkpoint] {
        try read { reader in try reader.rows("SELECT * FROM checkpoints ORDER BY step").map(reader.checkpoint) }
    }

    /// Steps ascending; those that were undone are left out.
    package func stepMetrics() throws(RunStoreError) -> [StepMetrics] {
        try read { reader in
            try reader.rows("SELECT * FROM steps WHERE undone = 0 ORDER BY step").map(reader.metrics)
        }
    }

    /// Steps ascending.
    package func evaluations() throws(RunStoreError) -> [EvaluationReport] {
        try read { reader in try reader.rows("SELECT * FROM evaluations ORDER BY step").map(reader.evaluation) }
    }

    /// Training groups of a step whose completions were accepted, in key order, dropped ones included.
    package func acceptedGroups(ofStep step: Int) throws(RunStoreError) -> [StoredGroup] {
        try groups(ofStep: step, purpose: .training)
    }

    package func groups(ofStep step: Int, purpose: Purpose) throws(RunStoreError) -> [StoredGroup] {
        try read { reader in
            let first = GroupKey(purpose: purpose, step: step, ordinal: 0).rowIdentifier
            return try reader.rows(
                "SELECT * FROM groups WHERE id BETWEEN ? AND ? ORDER BY id", [first, first + ((1 << 24) - 1)]
            ).map(reader.group)
        }
    }

    /// In order of joining.
    package func workers() throws(RunStoreError) -> [WorkerStay] {
        try read { reader in
            let current = try reader.rows("SELECT open_count FROM run").first?.integer("open_count")
            return try reader.rows("SELECT * FROM workers ORDER BY id").map { row in
                let hasLeft = !(row["left_sequence"] as DatabaseValue).isNull
                return WorkerStay(
                    name: try row.text("name"), host: try row.text("host"), roles: try row.roles(),
                    joinedAt: try row.number("joined_at"), leftAt: hasLeft ? try row.number("left_at") : nil,
                    reason: hasLeft ? try row.text("left_reason") : nil,
                    isPresent: try !hasLeft && row.integer("open_count") == current)
            }
        }
    }

    /// How the run ended last; nil before its first end and after a `rewind`. A run that goes on keeps the outcome of
    /// its last attempt until it ends again: `writerProcess` says whether it is on.
    package func outcome() throws(RunStoreError) -> RunOutcome? {
        try read { reader in try reader.rows("SELECT * FROM run WHERE outcome IS NOT NULL").first.map(reader.outcome) }
    }

    /// The recipe as text and as options; nil before it is stored.
    package func recipe() throws(RunStoreError) -> (yaml: String, options: RunOptions)? {
        try read { reader in
            guard let row = try reader.rows("SELECT recipe, options FROM run WHERE options IS NOT NULL").first else {
                return nil
            }
            do {
                let options = try JSONDecoder().decode(RunOptions.self, from: Data(try row.text("options").utf8))
                return (try row.text("recipe"), options)
            } catch let error as DecodingError {
                throw DamagedRow(detail: "the stored options cannot be read: \(error)")
            }
        }
    }

    /// When the run was first opened, seconds since 1970.
    package func createdAt() throws(RunStoreError) -> Double {
        try read { reader in try reader.rows("SELECT created_at FROM run").first?.number("created_at") ?? 0 }
    }

    private func read<Value>(_ body: (RecordReader) throws -> Value) throws(RunStoreError) -> Value {
        do {
            return try queue.read { try body(RecordReader(database: $0)) }
        } catch {
            throw failure(error, "reading")
        }
    }
}
