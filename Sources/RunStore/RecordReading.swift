// How rows become records again.

import Cluster
import Foundation
import GRDB
import Rollouts

/// A group as it is stored.
package struct StoredGroup: Equatable, Sendable {
    package var prompt: Prompt
    /// In index order. Of a compacted group only index, text and finish are left.
    package var completions: [Completion]
    /// One per completion, or nil while it is not judged.
    package var verdicts: [Verdict]?
    /// Why it was not trained, where that is so.
    package var dropReason: String?
    /// Its token arrays were removed, because a checkpoint covers it.
    package var isCompacted: Bool
}

struct RecordReader {
    let database: Database

    /// Everything, in the order in which it was appended. Compacted groups are left out.
    func records() throws -> [Cluster.Record] {
        var found: [(sequence: Int, record: Cluster.Record)] = []
        for row in try rows("SELECT * FROM workers") {
            let name = try row.text("name")
            found.append(
                (
                    try row.integer("joined_sequence"),
                    .workerJoined(name: name, host: try row.text("host"), roles: try row.roles())
                ))
            // The column is missing in a store that an older program wrote and that is open for reading only.
            if let drained = row["drained_sequence"] as DatabaseValue?, !drained.isNull {
                found.append((try row.integer("drained_sequence"), .workerDrained(name: name)))
            }
            if !(row["left_sequence"] as DatabaseValue).isNull {
                let left = Cluster.Record.workerLeft(name: name, reason: try row.text("left_reason"))
                found.append((try row.integer("left_sequence"), left))
            }
        }
        for row in try rows("SELECT * FROM groups WHERE compacted = 0") {
            let group = try self.group(row)
            found.append((try row.integer("sequence"), .completionsAccepted(group.prompt, group.completions)))
        }
        for row in try rows("SELECT * FROM verdicts WHERE id IN (SELECT id FROM groups WHERE compacted = 0)") {
            let judged = Cluster.Record.verdictsAccepted(try row.groupKey(), try verdicts(row))
            found.append((try row.integer("sequence"), judged))
        }
        for row in try rows("SELECT * FROM drops") {
            let dropped = Cluster.Record.groupDropped(try row.groupKey(), reason: try row.text("reason"))
            found.append((try row.integer("sequence"), dropped))
        }
        for row in try rows("SELECT * FROM steps") {
            let metrics = try self.metrics(row)
            let groups = try rows("SELECT * FROM step_groups WHERE step = ? ORDER BY position", [metrics.step])
            let trained = Cluster.Record.stepTrained(
                metrics, manifest: try row.manifest(), groups: try groups.map { try $0.groupKey(prefix: "group_") },
                nextPosition: try row.integer("next_position"))
            found.append((try row.integer("sequence"), trained))
        }
        for row in try rows("SELECT * FROM checkpoints") {
            found.append((try row.integer("sequence"), .checkpointed(try checkpoint(row))))
        }
        for row in try rows("SELECT * FROM evaluations") {
            found.append((try row.integer("sequence"), .evaluated(try evaluation(row))))
        }
        if let row = try rows("SELECT * FROM run WHERE outcome IS NOT NULL").first {
            found.append((try row.integer("outcome_sequence"), .finished(try outcome(row))))
        }
        return found.sorted { $0.sequence < $1.sequence }.map(\.record)
    }

    func rows(_ sql: String, _ arguments: [(any DatabaseValueConvertible)?] = []) throws -> [Row] {
        try Row.fetchAll(database, sql: sql, arguments: StatementArguments(arguments))
    }

    // MARK: Groups

    func group(_ key: GroupKey) throws -> StoredGroup? {
        try rows("SELECT * FROM groups WHERE id = ?", [key.rowIdentifier]).first.map(group)
    }

    func group(_ row: Row) throws -> StoredGroup {
        let key = try row.groupKey()
        guard let tokens = TokenBlob.integers(try row.bytes("prompt_tokens"), as: Int32.self) else {
            throw DamagedRow(detail: "\(key.words): prompt_tokens is cut off")
        }
        let prompt = Prompt(
            key: key, tokens: tokens, text: try row.text("prompt_text"), answer: try row.text("answer"),
            source: try row.text("source"))
        let (completions, isDamaged) = GroupBlob.completions(try row.bytes("completions"))
        guard !isDamaged else {
            throw DamagedRow(detail: "\(key.words), completion \(completions.count): its bytes do not verify")
        }
        let judged = try rows("SELECT * FROM verdicts WHERE id = ?", [key.rowIdentifier]).first
        let drop = try rows("SELECT reason FROM drops WHERE id = ?", [key.rowIdentifier]).first
        return StoredGroup(
            prompt: prompt, completions: completions, verdicts: try judged.map(verdicts),
            dropReason: try drop?.text("reason"), isCompacted: try row.integer("compacted") != 0)
    }

    private func verdicts(_ row: Row) throws -> [Verdict] {
        guard let verdicts = GroupBlob.verdicts(try row.bytes("verdicts")) else {
            throw DamagedRow(detail: "\(try row.groupKey().words): its verdicts do not verify")
        }
        return verdicts
    }

    // MARK: Steps, evaluations, workers

    func metrics(_ row: Row) throws -> StepMetrics {
        let step = try row.integer("step")
        let values = try rows("SELECT name, value FROM step_values WHERE step = ? ORDER BY position", [step])
        return StepMetrics(
            step: step, policyVersion: PolicyVersion(try row.unsigned("policy_version")),
            weightsHash: try row.digest("weights_hash"),
            values: try values.map { StepMetrics.Value(name: try $0.text("name"), value: try $0.number("value")) })
    }

    func checkpoint(_ row: Row) throws -> Checkpoint {
        Checkpoint(
            step: try row.integer("step"), manifest: try row.manifest(),
            nextPosition: try row.integer("next_position"))
    }

    func evaluation(_ row: Row) throws -> EvaluationReport {
        let step = try row.integer("step")
        let sources = try rows("SELECT * FROM evaluation_sources WHERE step = ? ORDER BY position", [step])
        let examples = try rows("SELECT * FROM evaluation_examples WHERE step = ? ORDER BY position", [step])
        return EvaluationReport(
            step: step, version: PolicyVersion(try row.unsigned("policy_version")),
            right: try row.integer("right_count"), wrong: try row.integer("wrong_count"),
            noVerdict: try row.integer("no_verdict_count"),
            completionTokensMean: try row.number("completion_tokens_mean"),
            bySource: try sources.map {
                .init(
                    source: try $0.text("source"), right: try $0.integer("right_count"),
                    judged: try $0.integer("judged_count"))
            },
            examples: try examples.map {
                .init(
                    prompt: try $0.text("prompt"), completion: try $0.text("completion"),
                    answer: try $0.text("answer"), outcome: try $0.word("outcome", as: Verdict.Outcome.self))
            })
    }

    func outcome(_ row: Row) throws -> RunOutcome {
        let step = try row.integer("outcome_step")
        switch try row.text("outcome") {
        case "completed": return .completed(step: step)
        case "interrupted": return .interrupted(step: step)
        default: return .failed(step: step, reason: try row.text("outcome_reason"))
        }
    }
}
