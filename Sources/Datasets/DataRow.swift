// What a data set holds: one question with its known answer.

import Rollouts

package struct DataRow: Equatable, Sendable {
    /// Where the row comes from: "train.jsonl.gz:17" (line), "add_1digit#4" (place in the task's space).
    package var identifier: String
    /// The turns, template applied; the recipe's system turn is not among them.
    package var messages: [ChatMessage]
    /// The question as a person reads it, without the template.
    package var text: String
    /// The known answer; empty where the recipe names no answer field.
    package var answer: String
    /// Name of the task or file, for metrics by source.
    package var source: String

    package init(identifier: String, messages: [ChatMessage], text: String, answer: String, source: String) {
        self.identifier = identifier
        self.messages = messages
        self.text = text
        self.answer = answer
        self.source = source
    }
}
