// `coordinator score`: token log-probs of given text, row by row.

import Datasets
import Foundation
import Rollouts

private typealias JSONRow = [String: Datasets.JSONValue]

package struct ScoreJob {
    var subject: String
    var data: String
    var runs: String

    package init(subject: String, data: String, runs: String) {
        self.subject = subject
        self.data = data
        self.runs = runs
    }

    package func run() throws -> Int32 {
        let reader = try jsonLines(path: data)
        let session = try ModelSession(try Subject.find(subject, runs: runs), options: RunOptions())
        defer { session.close() }
        while let row = try reader.next() {
            let tokens = try tokens(of: row, line: reader.lineNumber, session)
            let logProbs = try session.score(tokens)
            var sum = 0.0
            for logProb in logProbs { sum += Double(logProb) }
            Output.line(
                JSONText.object([
                    ("line", .integer(reader.lineNumber)), ("tokens", .array(tokens.map { .integer(Int($0)) })),
                    ("log_probs", .array([.null] + logProbs.map { .number(Double($0)) })), ("sum", .number(sum)),
                ]))
        }
        return 0
    }

    private func tokens(of row: JSONRow, line: Int, _ session: ModelSession) throws -> [Int32] {
        let tokens: [Int32]
        if let text = row["text"]?.text {
            tokens = session.tokenizer.encodeText(text)
        } else if case .array(let turns)? = row["messages"] {
            let messages = try turns.map { turn in
                guard let role = turn["role"]?.text, let content = turn["content"]?.text else {
                    throw RuntimeError("\(data) line \(line): every turn of `messages` needs `role` and `content`")
                }
                return ChatMessage(role: role, content: content)
            }
            tokens = try session.tokenizer.encodeChat(messages, addGenerationPrompt: false)
        } else {
            throw RuntimeError("\(data) line \(line): give `text`, or `messages` (a list of role/content turns)")
        }
        guard !tokens.isEmpty else { throw RuntimeError("\(data) line \(line): the text is empty") }
        guard tokens.count <= session.config.contextTokens else {
            throw RuntimeError(
                "\(data) line \(line): \(tokens.count) tokens exceed the model's context of "
                    + "\(session.config.contextTokens)")
        }
        return tokens
    }
}
