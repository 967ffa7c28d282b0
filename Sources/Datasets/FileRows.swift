// How the rows of a JSONL file become questions and answers.

import Rollouts

/// Reads one file source of a recipe.
package struct FileRows {
    private let options: DataSource
    private let path: String
    private let source: String
    private let refusesSystemTurns: Bool

    /// - Parameters:
    ///   - source: the name its rows carry.
    ///   - refusesSystemTurns: the recipe sets a system turn of its own.
    package init(_ options: DataSource, path: String, source: String, refusesSystemTurns: Bool) {
        self.options = options
        self.path = path
        self.source = source
        self.refusesSystemTurns = refusesSystemTurns
    }

    func load() throws(DatasetError) -> [DataRow] { try rows(of: jsonLines(path: path)) }

    package func rows(of reader: JSONLineReader) throws(DatasetError) -> [DataRow] {
        var rows: [DataRow] = []
        var sawRow = false
        while let fields = try reader.next() {
            sawRow = true
            if let field = options.filterField, !matches(fields[field], options.filterValue ?? "") { continue }
            rows.append(try row(fields, reader))
        }
        if rows.isEmpty {
            let filter = "no row has \(options.filterField ?? "") = \"\(options.filterValue ?? "")\""
            throw .noRows(path: path, reason: sawRow ? filter : "is empty, expected one JSON object a line")
        }
        return rows
    }

    private func matches(_ value: JSONValue?, _ expected: String) -> Bool {
        switch value {
        case .bool(let bool): expected == (bool ? "true" : "false")
        case let value: value?.text == expected
        }
    }

    private func row(_ fields: [String: JSONValue], _ reader: JSONLineReader) throws(DatasetError) -> DataRow {
        guard let value = fields[options.promptField] else { throw reader.missing(options.promptField, in: fields) }
        var messages: [ChatMessage]
        if case .array(let turns) = value {
            messages = try conversation(turns, reader)
        } else {
            messages = [ChatMessage(role: "user", content: try reader.text(of: options.promptField, in: fields))]
        }
        let question = messages[messages.count - 1].content
        if question.allSatisfy(\.isWhitespace) {
            throw reader.bad(options.promptField, found: "an empty question", expected: "some text")
        }
        let text = messages.count == 1 ? question : messages.map { "\($0.role): \($0.content)" }.joined(separator: "\n")
        messages[messages.count - 1].content = filled(options.template, question)
        return DataRow(
            identifier: "\(source):\(reader.lineNumber)", messages: messages, text: text,
            answer: try answer(fields, reader), source: source)
    }

    private func conversation(_ turns: [JSONValue], _ reader: JSONLineReader) throws(DatasetError) -> [ChatMessage] {
        let field = options.promptField
        var messages: [ChatMessage] = []
        for (place, turn) in turns.enumerated() {
            guard let role = turn["role"]?.text, let content = turn["content"]?.text else {
                throw reader.bad(
                    "\(field)[\(place)]", found: turn.kindName, expected: "an object with strings `role` and `content`")
            }
            guard ["system", "user", "assistant"].contains(role) else {
                throw reader.bad("\(field)[\(place)].role", found: "\"\(role)\"", expected: "system, user or assistant")
            }
            if role == "system" && refusesSystemTurns {
                throw reader.bad(
                    "\(field)[\(place)].role", found: "a system turn",
                    expected: "none, because the recipe sets data.system; remove one of the two")
            }
            messages.append(ChatMessage(role: role, content: content))
        }
        guard messages.last?.role == "user" else {
            let found = messages.last.map { "a conversation that ends with \($0.role)" } ?? "an empty list"
            throw reader.bad(field, found: found, expected: "turns that end with user")
        }
        return messages
    }

    private func answer(_ fields: [String: JSONValue], _ reader: JSONLineReader) throws(DatasetError) -> String {
        // An empty name says that the file holds no answers: a format can be judged without.
        if options.answerField.isEmpty { return "" }
        let whole = try reader.text(of: options.answerField, in: fields)
        guard let marker = options.answerAfter else { return whole }
        guard let found = whole.ranges(of: marker).last else {
            throw reader.bad(options.answerField, found: "no \"\(marker)\"", expected: "the answer after \"\(marker)\"")
        }
        let answer = whole[found.upperBound...]
        guard let first = answer.firstIndex(where: { !$0.isWhitespace }),
            let last = answer.lastIndex(where: { !$0.isWhitespace })
        else {
            throw reader.bad(
                options.answerField, found: "nothing after \"\(marker)\"", expected: "the answer after \"\(marker)\"")
        }
        return String(answer[first...last])
    }
}

/// The template with the question in place of each `{prompt}`.
func filled(_ template: String, _ question: String) -> String {
    template.replacing("{prompt}", with: question)
}
