// How texts are trimmed before they are judged and shortened before they are shown.

extension StringProtocol {
    /// Without white space, line breaks included, at both ends.
    var trimmed: String {
        guard let first = firstIndex(where: { !$0.isWhitespace }), let last = lastIndex(where: { !$0.isWhitespace })
        else { return "" }
        return String(self[first...last])
    }

    /// One short quoted line for a verdict's reason.
    var quoted: String { "\"\(shortened)\"" }

    /// One short line: at most 60 characters, line breaks shown as ⏎.
    var shortened: String {
        var line = ""
        for (place, character) in enumerated() {
            if place == 60 { return line + "…" }
            line.append(character.isNewline ? "⏎" : character)
        }
        return line
    }
}
