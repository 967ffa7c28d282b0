// Which part of a completion is judged.

import Rollouts

/// What an extraction finds.
enum Extracted: Equatable {
    case text(String)
    /// One line: what was looked for and is not there.
    case missing(String)
}

/// Finds the part of a completion that a recipe's `extract` names.
struct Extraction: Sendable {
    var kind: VerifierOptions.Extract
    var marker: String

    init(_ options: VerifierOptions) {
        kind = options.extract
        marker = options.marker
    }

    /// How reasons call the part: "last number".
    var name: String {
        switch kind {
        case .whole: "completion"
        case .lastNumber: "last number"
        case .firstNumber: "first number"
        case .lastLine: "last line"
        case .afterMarker: "text after \(marker.quoted)"
        case .boxed: "\\boxed content"
        case .answerTag: "<answer> content"
        }
    }

    /// The part, trimmed; not necessarily anything.
    func callAsFunction(_ completion: String) -> Extracted {
        let part: String?
        switch kind {
        case .whole: part = completion.trimmed
        case .lastNumber: part = NumberScanner(completion).numbers().last?.text
        case .firstNumber: part = NumberScanner(completion).numbers(limit: 1).first?.text
        case .lastLine: part = completion.split(whereSeparator: \.isNewline).last { !$0.trimmed.isEmpty }?.trimmed
        case .afterMarker: part = completion.ranges(of: marker).last.map { completion[$0.upperBound...].trimmed }
        case .boxed: part = lastBoxed(completion)?.trimmed
        case .answerTag: part = lastAnswerTag(completion)?.trimmed
        }
        guard let part else { return .missing("found no \(name)") }
        return part.isEmpty ? .missing("the \(name) is empty") : .text(part)
    }
}

/// The content of the complete `\boxed{…}` that starts last; braces inside it must balance, `\{` and `\}` do not count.
func lastBoxed(_ text: String) -> String? {
    let bytes = Array(text.utf8)
    let opening = Array("\\boxed{".utf8)
    var openBraces: [(start: Int, boxed: Bool)] = []
    var best: Range<Int>?
    var index = 0
    while index < bytes.count {
        if bytes[index] == UInt8(ascii: "\\") {
            if bytes[index...].starts(with: opening) {
                index += opening.count
                openBraces.append((index, true))
            } else {
                // A backslash takes the next byte with it: `\{` opens nothing.
                index += 2
            }
            continue
        }
        if bytes[index] == UInt8(ascii: "{") { openBraces.append((index + 1, false)) }
        if bytes[index] == UInt8(ascii: "}"), let open = openBraces.popLast(), open.boxed,
            open.start > best?.lowerBound ?? -1
        {
            best = open.start..<index
        }
        index += 1
    }
    return best.map { String(decoding: bytes[$0], as: UTF8.self) }
}

/// What stands between the last `</answer>` and the `<answer>` before it.
func lastAnswerTag(_ text: String) -> String? {
    guard let closing = text.ranges(of: "</answer>").last else { return nil }
    let before = text[..<closing.lowerBound]
    return before.ranges(of: "<answer>").last.map { String(before[$0.upperBound...]) }
}
