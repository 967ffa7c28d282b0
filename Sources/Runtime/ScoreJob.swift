// `coordinator score`: token log-probs of given text, row by row.

import Datasets
import Foundation
import Rollouts

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
        let rows = try jsonLines(path: data)
        let session = try ModelSession(try Subject.find(subject, runs: runs), options: RunOptions())
        defer { session.close() }
        for row in rows {
            let tokens = try tokens(of: row, session)
            let logProbs = try session.score(tokens)
            var sum = 0.0
            for logProb in logProbs { sum += Double(logProb) }
            Output.line(
                JSONText.object([
                    ("line", .integer(row.line)), ("tokens", .array(tokens.map { .integer(Int($0)) })),
                    ("log_probs", .array([.null] + logProbs.map { .number(Double($0)) })), ("sum", .number(sum)),
                ]))
        }
        return 0
    }

    private func tokens(of row: JSONRow, _ session: ModelSession) throws -> [Int32] {
        let tokens: [Int32]
        if let text = row.string("text") {
            tokens = session.tokenizer.encode(text, specials: false)
        } else if let messages = try row.messages("messages") {
            tokens = try session.tokenizer.encodeChat(messages, addGenerationPrompt: false)
        } else {
            throw RuntimeError("\(data) line \(row.line): give `text`, or `messages` (a list of role/content turns)")
        }
        guard !tokens.isEmpty else { throw RuntimeError("\(data) line \(row.line): the text is empty") }
        guard tokens.count <= session.config.contextTokens else {
            throw RuntimeError(
                "\(data) line \(row.line): \(tokens.count) tokens exceed the model's context of "
                    + "\(session.config.contextTokens)")
        }
        return tokens
    }
}
