// Right when a pattern matches: somewhere in the judged part, or the whole completion.

import Rollouts

/// Right when the pattern matches somewhere in the extracted part; `{answer}` stands for the known answer, literally.
struct RegexVerifier: Verifier {
    private let extraction: Extraction
    private let pattern: Pattern

    init(_ options: VerifierOptions) throws(VerifierError) {
        extraction = Extraction(options)
        pattern = try Pattern(options)
    }

    func verify(completion: String, answer: String, prompt: String) -> Verdict {
        let expected = answer.trimmed
        if pattern.usesAnswer && expected.isEmpty { return .noVerdict("the known answer is empty") }
        if completion.trimmed.isEmpty { return .wrong("the completion is empty") }
        switch extraction(completion) {
        case .missing(let reason): return .wrong("\(reason) to match \(pattern.source.quoted)")
        case .text(let text): return pattern.judge(text, answer: expected, whole: false, name: extraction.name)
        }
    }
}

/// Right when the pattern matches the completion from its first to its last character. The answer plays no part.
struct FormatVerifier: Verifier {
    private let pattern: Pattern

    init(_ options: VerifierOptions) throws(VerifierError) {
        pattern = try Pattern(options)
        if pattern.usesAnswer {
            throw VerifierError(
                kind: .format, option: "pattern", problem: "holds {answer}, which only `kind: regex` replaces")
        }
    }

    func verify(completion: String, answer: String, prompt: String) -> Verdict {
        if completion.trimmed.isEmpty { return .wrong("the completion is empty") }
        return pattern.judge(completion, answer: "", whole: true, name: "completion")
    }
}

/// A regular expression in Swift's syntax. A pattern may backtrack without end, so texts beyond a limit are not tried:
/// that is no verdict, never wrong.
struct Pattern: Sendable {
    /// Longest text that is matched.
    static let textBytesLimit = 16_384
    private static let placeholder = "{answer}"

    let source: String
    let usesAnswer: Bool

    init(_ options: VerifierOptions) throws(VerifierError) {
        source = options.pattern
        usesAnswer = source.contains(Pattern.placeholder)
        if source.isEmpty {
            throw VerifierError(kind: options.kind, option: "pattern", problem: "is empty; give a regular expression")
        }
        do {
            _ = try compiled(answer: "0")
        } catch {
            throw VerifierError(
                kind: options.kind, option: "pattern",
                problem: "\(source.quoted) is not a regular expression: \("\(error)".shortened)")
        }
    }

    func judge(_ text: String, answer: String, whole: Bool, name: String) -> Verdict {
        let byteCount = text.utf8.count
        guard byteCount <= Pattern.textBytesLimit else {
            return .noVerdict("\(name) has \(byteCount) bytes; patterns are matched up to \(Pattern.textBytesLimit)")
        }
        do {
            let regex = try compiled(answer: answer)
            let isMatch = whole ? try regex.wholeMatch(in: text) != nil : try regex.firstMatch(in: text) != nil
            let reason = "\(name) \(isMatch ? "matches" : "does not match") \(source.quoted)"
            return isMatch ? .right(reason) : .wrong(reason)
        } catch {
            return .noVerdict("\(source.quoted) with answer \(answer.quoted): \("\(error)".shortened)")
        }
    }

    /// Compiled each time: `Regex` is not Sendable, and the answer differs anyway.
    private func compiled(answer: String) throws -> Regex<AnyRegexOutput> {
        guard usesAnswer else { return try Regex(source) }
        return try Regex(source.replacing(Pattern.placeholder, with: Pattern.escaped(answer)))
    }

    /// A pattern that matches exactly this text: every ASCII character that could mean something is escaped.
    static func escaped(_ text: String) -> String {
        var pattern = ""
        for scalar in text.unicodeScalars {
            let isPlain = !scalar.isASCII || scalar.properties.isAlphabetic || scalar.properties.numericType != nil
            if !isPlain && scalar.value > 0x20 || scalar == " " { pattern.unicodeScalars.append("\\") }
            pattern.unicodeScalars.append(scalar)
        }
        return pattern
    }
}
