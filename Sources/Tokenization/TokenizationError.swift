// What can be wrong with a tokenizer's file or a chat template.

package enum TokenizationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file breaks its own format. `source` names the file or format, `subject` the place in it.
    case malformed(source: String, subject: String, problem: String)
    /// The file is well-formed and asks for something that this module does not do.
    case unsupported(source: String, subject: String, found: String, advice: String)
    /// A chat template that cannot be read, or that failed on these messages. Lines count from 1.
    case template(line: Int, problem: String)
    /// A conversation was to be rendered, and the tokenizer came without a template.
    case noChatTemplate

    package var description: String {
        switch self {
        case .malformed(let source, let subject, let problem):
            return "\(source): \(subject): \(problem)"
        case .unsupported(let source, let subject, let found, let advice):
            return "\(source): \(subject): \(found) is not supported; \(advice)"
        case .template(let line, let problem):
            return "chat template, line \(line): \(problem)"
        case .noChatTemplate:
            return "this tokenizer has no chat template; use plain-text prompts or a model that brings a template"
        }
    }
}

extension String {
    /// At most `limit` characters, for error messages that quote a file.
    func shortened(_ limit: Int = 120) -> String {
        count <= limit ? self : prefix(limit) + "…"
    }
}
