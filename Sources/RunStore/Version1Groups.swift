// How groups of the first schema, a row for each completion and verdict, become those of the second.

import Cluster
import Foundation
import GRDB
import Rollouts

/// Inside the migration: the first schema's tables have the suffix `_1`.
struct Version1Groups {
    let database: Database

    func move() throws {
        for row in try rows("SELECT * FROM groups_1") {
            let key = try row.version1Key()
            let isCompacted = try row.integer("compacted") != 0
            let completions = try rows("SELECT * FROM completions_1 \(Self.matching) ORDER BY position", key.columns)
                .map { try completion($0, of: key, isCompacted: isCompacted) }
            try database.execute(
                sql: """
                    INSERT INTO groups (id, sequence, compacted, source, prompt_text, answer, prompt_tokens,
                        completions)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    key.rowIdentifier, try row.integer("sequence"), isCompacted ? 1 : 0, row["source"] as DatabaseValue,
                    row["prompt_text"] as DatabaseValue, row["answer"] as DatabaseValue,
                    row["prompt_tokens"] as DatabaseValue, GroupBlob.bytes(completions, isCompacted: isCompacted),
                ])
            guard !(row["judged_sequence"] as DatabaseValue).isNull else { continue }
            let verdicts = try rows("SELECT * FROM verdicts_1 \(Self.matching) ORDER BY position", key.columns).map {
                Verdict(
                    try $0.word("outcome", as: Verdict.Outcome.self), score: try $0.number("score"),
                    reason: try $0.text("reason"))
            }
            try database.execute(
                sql: "INSERT INTO verdicts (id, sequence, verdicts) VALUES (?, ?, ?)",
                arguments: [key.rowIdentifier, try row.integer("judged_sequence"), GroupBlob.bytes(verdicts)])
        }
        for row in try rows("SELECT * FROM drops_1") {
            try database.execute(
                sql: "INSERT INTO drops (id, reason, sequence) VALUES (?, ?, ?)",
                arguments: [
                    try row.version1Key().rowIdentifier, row["reason"] as DatabaseValue, try row.integer("sequence"),
                ])
        }
    }

    private static let matching = "WHERE purpose = ? AND step = ? AND ordinal = ?"

    private func rows(_ sql: String, _ arguments: StatementArguments = []) throws -> [Row] {
        try Row.fetchAll(database, sql: sql, arguments: arguments)
    }

    private func completion(_ row: Row, of key: GroupKey, isCompacted: Bool) throws -> Completion {
        var completion = Completion(
            index: try row.integer("completion_index"), tokens: [], sampledLogProbs: [], policyLogProbs: [],
            entropies: [], versions: [], text: try row.text("text"),
            finish: try row.word("finish", as: FinishReason.self))
        if isCompacted { return completion }
        let names = ["tokens", "sampled_log_probs", "policy_log_probs", "entropies", "versions"]
        let blobs = try names.map { try row.bytes($0) }
        let count = try row.integer("token_count")
        guard Self.checksum(blobs) == Int64(try row.integer("checksum")),
            let tokens = TokenBlob.integers(blobs[0], as: Int32.self), tokens.count == count,
            let sampled = TokenBlob.floats(blobs[1]), let policy = TokenBlob.floats(blobs[2]),
            let entropies = TokenBlob.floats(blobs[3]), let runs = TokenBlob.integers(blobs[4], as: UInt64.self),
            let versions = TokenBlob.versions(runs, limit: count)
        else {
            throw DamagedRow(detail: "\(key.words), completion \(completion.index): token arrays do not verify")
        }
        completion.tokens = tokens
        completion.sampledLogProbs = sampled
        completion.policyLogProbs = policy
        completion.entropies = entropies
        completion.versions = versions
        return completion
    }

    /// FNV-1a, 64 bits, over the concatenation.
    private static func checksum(_ parts: [[UInt8]]) -> Int64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for part in parts { for byte in part { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 } }
        return Int64(bitPattern: hash)
    }
}

extension Row {
    fileprivate func version1Key() throws -> GroupKey {
        GroupKey(
            purpose: try word("purpose", as: Purpose.self), step: try integer("step"),
            ordinal: try integer("ordinal"))
    }
}

extension GroupKey {
    fileprivate var columns: StatementArguments { [Int(purpose.rawValue), step, ordinal] }
}
