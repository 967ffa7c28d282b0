// How does one record become rows? One that repeats what is stored changes nothing; one that contradicts it is refused.

import Cluster
import Foundation
import GRDB
import Rollouts

/// Writes records inside one transaction.
struct RecordWriter {
    let database: Database
    let path: String
    /// Wall-clock time, for people; seconds since 1970.
    let now: Double
    /// Of the last record written.
    var sequence: Int

    mutating func write(_ record: Cluster.Record) throws {
        sequence += 1
        switch record {
        case .workerJoined(let name, let host, let roles):
            try run(
                """
                INSERT INTO workers (name, host, roles, open_count, joined_at, joined_sequence)
                VALUES (?, ?, ?, (SELECT open_count FROM run), ?, ?)
                """,
                [
                    StoredValue.text(name), StoredValue.text(host), roles.map(\.rawValue).joined(separator: ","), now,
                    sequence,
                ])
        case .workerLeft(let name, let reason):
            try run(
                """
                UPDATE workers SET left_at = ?, left_sequence = ?, left_reason = ?
                WHERE id = (SELECT max(id) FROM workers WHERE name = ? AND left_sequence IS NULL)
                """,
                [now, sequence, StoredValue.text(reason), StoredValue.text(name)])
        case .workerDrained(let name):
            try run(
                "UPDATE workers SET drained_sequence = ? WHERE id = (SELECT max(id) FROM workers WHERE name = ?)",
                [sequence, StoredValue.text(name)])
        case .completionsAccepted(let prompt, let completions):
            try accept(prompt, completions)
        case .verdictsAccepted(let key, let verdicts):
            try judge(key, verdicts)
        case .groupDropped(let key, let reason):
            try run(
                "INSERT OR REPLACE INTO drops (id, reason, sequence) VALUES (?, ?, ?)",
                [key.rowIdentifier, StoredValue.text(reason), sequence])
        case .stepTrained(let metrics, let manifest, let groups, let nextPosition):
            try train(metrics, manifest, groups, nextPosition)
        case .checkpointed(let checkpoint):
            try run(
                """
                INSERT OR REPLACE INTO checkpoints (step, sequence, next_position, \(Self.manifestColumns))
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                [checkpoint.step, sequence, checkpoint.nextPosition] + checkpoint.manifest.arguments)
        case .evaluated(let report):
            try evaluate(report)
        case .finished(let outcome):
            try finish(outcome)
        }
    }

    private func run(_ sql: String, _ arguments: [(any DatabaseValueConvertible)?]) throws {
        try database.cachedStatement(sql: sql).execute(arguments: StatementArguments(arguments))
    }

    private func conflict(_ subject: String, _ detail: String) -> RunStoreError {
        .conflict(path: path, subject: subject, detail: detail)
    }

    private static let manifestColumns =
        "manifest_version, manifest_weights_hash, weights_digest, weights_bytes, optimizer_digest, optimizer_bytes"

    // MARK: Groups

    private func accept(_ prompt: Prompt, _ completions: [Completion]) throws {
        if try insert(prompt, completions) {
            // A group that was dropped without an answer may be taken up again.
            return try run("DELETE FROM drops WHERE id = ?", [prompt.key.rowIdentifier])
        }
        let key = prompt.key
        guard let stored = try RecordReader(database: database).group(key) else {
            throw conflict(key.words, "a row with its number, but not its name")
        }
        let isDropped = stored.dropReason != nil
        let isSame =
            stored.completions.map(\.text) == completions.map(\.text)
            && (stored.isCompacted
                || (stored.prompt == prompt && stored.completions.elementsEqual(completions, by: sameBits)))
        // What was dropped may come again as something else: its policy or its sampler was another one.
        guard isSame || isDropped else {
            throw conflict(
                key.words,
                "other completions are stored under this name: sampling it again did not give the same tokens")
        }
        if !stored.isCompacted && !isDropped { return }
        for table in ["groups", "verdicts", "drops"] {
            try run("DELETE FROM \(table) WHERE id = ?", [key.rowIdentifier])
        }
        _ = try insert(prompt, completions)
    }

    /// - Returns: false when a group is stored under this name.
    private func insert(_ prompt: Prompt, _ completions: [Completion]) throws -> Bool {
        try run(
            """
            INSERT INTO groups (id, sequence, source, prompt_text, answer, prompt_tokens, completions)
            VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
            """,
            [
                prompt.key.rowIdentifier, sequence, StoredValue.text(prompt.source), StoredValue.text(prompt.text),
                StoredValue.text(prompt.answer), TokenBlob.bytes(prompt.tokens), GroupBlob.bytes(completions),
            ])
        return database.changesCount == 1
    }

    /// Equal to the last bit: unlike `==`, NaN equals itself and 0 does not equal −0.
    private func sameBits(_ left: Completion, _ right: Completion) -> Bool {
        left.index == right.index && left.tokens == right.tokens && left.finish == right.finish
            && left.versions == right.versions
            && left.sampledLogProbs.map(\.bitPattern) == right.sampledLogProbs.map(\.bitPattern)
            && left.policyLogProbs.map(\.bitPattern) == right.policyLogProbs.map(\.bitPattern)
            && left.entropies.map(\.bitPattern) == right.entropies.map(\.bitPattern)
    }

    /// The last verdicts count: judging again after a verifier's failure may say more.
    private func judge(_ key: GroupKey, _ verdicts: [Verdict]) throws {
        try run(
            """
            INSERT OR REPLACE INTO verdicts (id, sequence, verdicts)
            SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM groups WHERE id = ?1)
            """,
            [key.rowIdentifier, sequence, GroupBlob.bytes(verdicts)])
        guard database.changesCount == 1 else {
            throw conflict(key.words, "verdicts for a group whose completions were never stored")
        }
    }

    // MARK: Steps

    private func train(
        _ metrics: StepMetrics, _ manifest: PolicyManifest, _ groups: [GroupKey], _ nextPosition: Int
    ) throws {
        let stored = try Row.fetchOne(
            database, sql: "SELECT manifest_version, manifest_weights_hash FROM steps WHERE step = ?",
            arguments: [metrics.step])
        if let stored {
            let version = try stored.unsigned("manifest_version")
            let hash = try stored.text("manifest_weights_hash")
            guard version == manifest.version.rawValue, hash == manifest.weightsHash.description else {
                let now = manifest.weightsHash.description
                throw conflict(
                    "step \(metrics.step)",
                    "training it again gave other weights (stored \(hash.prefix(12)), now \(now.prefix(12)))")
            }
            try run("DELETE FROM steps WHERE step = ?", [metrics.step])
        }
        try run(
            """
            INSERT INTO steps (step, sequence, trained_at, policy_version, weights_hash, next_position,
                \(Self.manifestColumns))
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                metrics.step, sequence, now, StoredValue.unsigned(metrics.policyVersion.rawValue),
                metrics.weightsHash.description, nextPosition,
            ] + manifest.arguments)
        for (position, value) in metrics.values.enumerated() {
            try run(
                "INSERT INTO step_values (step, position, name, value) VALUES (?, ?, ?, ?)",
                [metrics.step, position, value.name, StoredValue.number(value.value)])
        }
        for (position, key) in groups.enumerated() {
            try run(
                """
                INSERT INTO step_groups (step, position, group_purpose, group_step, group_ordinal)
                VALUES (?, ?, ?, ?, ?)
                """,
                [metrics.step, position] + key.arguments)
        }
    }

    private func evaluate(_ report: EvaluationReport) throws {
        try run("DELETE FROM evaluations WHERE step = ?", [report.step])
        try run(
            """
            INSERT INTO evaluations (step, sequence, policy_version, right_count, wrong_count, no_verdict_count,
                completion_tokens_mean)
            VALUES (?, ?, ?, ?, ?, ?, ?)
            """,
            [
                report.step, sequence, StoredValue.unsigned(report.version.rawValue), report.right, report.wrong,
                report.noVerdict, StoredValue.number(report.completionTokensMean),
            ])
        for (position, source) in report.bySource.enumerated() {
            try run(
                """
                INSERT INTO evaluation_sources (step, position, source, right_count, judged_count)
                VALUES (?, ?, ?, ?, ?)
                """,
                [report.step, position, StoredValue.text(source.source), source.right, source.judged])
        }
        for (position, example) in report.examples.enumerated() {
            try run(
                """
                INSERT INTO evaluation_examples (step, position, prompt, completion, answer, outcome)
                VALUES (?, ?, ?, ?, ?, ?)
                """,
                [
                    report.step, position, StoredValue.text(example.prompt), StoredValue.text(example.completion),
                    StoredValue.text(example.answer), Int(example.outcome.rawValue),
                ])
        }
    }

    private func finish(_ outcome: RunOutcome) throws {
        let (word, step, reason): (String, Int, String?) =
            switch outcome {
            case .completed(let step): ("completed", step, nil)
            case .interrupted(let step): ("interrupted", step, nil)
            case .failed(let step, let reason): ("failed", step, reason)
            }
        try run(
            "UPDATE run SET outcome = ?, outcome_step = ?, outcome_reason = ?, outcome_sequence = ?",
            [word, step, reason.map(StoredValue.text), sequence])
    }
}
