// How does a conversation become text? The model's own template, run by a small interpreter of Jinja.
import Rollouts

/// A chat template as models carry it: Jinja with what transformers adds (`raise_exception`, `strftime_now`, `tojson`,
/// `generation`, loop controls) and with its settings (`trim_blocks`, `lstrip_blocks`). What it does not know is
/// refused by name and line, when the template is read where possible.
package struct ChatTemplate: Sendable {
    /// A template comes with a model from anywhere: work and output are bounded.
    package struct Limits: Sendable {
        /// Nodes visited, characters and list items copied, and eight for each value put into a new list, which keeps
        /// memory below about half a gigabyte at the worst.
        var work = 1 << 25
        /// Statements, expressions and macro calls within each other.
        var depth = 250

        package init(work: Int = 1 << 25) { self.work = work }
    }

    package let source: String
    private let statements: [TemplateStatement]

    package init(_ source: String) throws(TokenizationError) {
        self.source = source
        statements = try TemplateParser.statements(source)
    }

    /// - Parameter specials: variables that hold a special token's text.
    package func render(
        _ messages: [ChatMessage], addGenerationPrompt: Bool, specials: [(String, String)], date: CalendarDate,
        limits: Limits = Limits()
    ) throws(TokenizationError) -> String {
        try rendered(
            messages, addGenerationPrompt: addGenerationPrompt, specials: specials, date: date, limits: limits
        ).string
    }

    func rendered(
        _ messages: [ChatMessage], addGenerationPrompt: Bool, specials: [(String, String)], date: CalendarDate,
        limits: Limits = Limits()
    ) throws(TokenizationError) -> TemplateText {
        let turns = messages.map { message in
            TemplateValue.dictionary(
                TemplateDictionary([
                    ("role", .text(TemplateText(message.role, fromMessage: true))),
                    ("content", .text(TemplateText(message.content, fromMessage: true))),
                ]))
        }
        let variables: [(String, TemplateValue)] = [
            ("messages", .list(TemplateList(turns))), ("add_generation_prompt", .bool(addGenerationPrompt)),
            ("tools", .none), ("documents", .none),
        ]
        return try render(variables + specials.map { ($0.0, .string($0.1)) }, date: date, limits: limits)
    }

    func render(
        _ variables: [(String, TemplateValue)], date: CalendarDate, limits: Limits = Limits()
    ) throws(TokenizationError) -> TemplateText {
        var evaluator = TemplateEvaluator(variables, date: date, limits: limits)
        return try evaluator.run(statements)
    }
}

extension Tokenizer {
    /// The conversation as text, exactly as transformers' `apply_chat_template` gives it without tools.
    package func render(_ messages: [ChatMessage], addGenerationPrompt: Bool) throws(TokenizationError) -> String {
        try rendered(messages, addGenerationPrompt: addGenerationPrompt).string
    }

    /// Renders and encodes with control markers honoured, except in what people wrote.
    ///
    /// While the template runs, each character remembers whether it came from a message (its role or content), through
    /// every filter and string operation. A control marker in the rendered text counts only if none of its characters
    /// did: `<|im_end|>` typed by a user stays the plain text that it is, also where typed and templated characters
    /// would only together spell one. Cutting into pieces and merging do not see the difference, so without markers
    /// in messages the result equals `encode(render(…), specials: true)`.
    package func encodeChat(
        _ messages: [ChatMessage], addGenerationPrompt: Bool
    ) throws(TokenizationError) -> [Int32] {
        let (bytes, isProtected) = try rendered(messages, addGenerationPrompt: addGenerationPrompt).utf8
        return bytes.withUnsafeBufferPointer { encode($0, specials: true, isProtected: isProtected) }
    }

    private func rendered(
        _ messages: [ChatMessage], addGenerationPrompt: Bool
    ) throws(TokenizationError) -> TemplateText {
        guard let compiled = core.template else { throw .noChatTemplate }
        let template: ChatTemplate
        switch compiled {
        case .success(let value): template = value
        case .failure(let error): throw error
        }
        let named: [(String, Int32?)] = [
            ("bos_token", bos), ("eos_token", eos), ("unk_token", core.settings.unknown), ("pad_token", padding),
        ]
        let specials = named.compactMap { name, id in
            id.map { (name, String(decoding: bytes(of: $0), as: UTF8.self)) }
        }
        return try template.rendered(
            messages, addGenerationPrompt: addGenerationPrompt, specials: specials, date: templateDate)
    }
}
