// How wide is a text on a terminal, and how is it cut or padded to a column?

package enum DisplayText {
    /// Columns that the text takes: wide East Asian characters and emoji take two, combining marks none.
    static func width(_ text: String) -> Int {
        text.reduce(0) { $0 + width($1) }
    }

    private static func width(_ character: Character) -> Int {
        guard let scalar = character.unicodeScalars.first else { return 0 }
        switch scalar.value {
        case 0..<0x20, 0x7f..<0xa0: return 0
        case 0x300...0x36f, 0x200b...0x200f: return 0
        case 0x1100...0x115f, 0x2e80...0x303e, 0x3041...0x4dbf, 0x4e00...0x9fff, 0xa000...0xa4cf, 0xac00...0xd7a3,
            0xf900...0xfaff, 0xfe30...0xfe6f, 0xff00...0xff60, 0xffe0...0xffe6, 0x1f300...0x1f64f, 0x1f680...0x1f6ff,
            0x1f900...0x1f9ff, 0x20000...0x3fffd:
            return 2
        default: return 1
        }
    }

    /// At most `columns` wide; what was cut shows as "…".
    static func clipped(_ text: String, to columns: Int) -> String {
        guard width(text) > columns else { return text }
        var clipped = ""
        var used = 1
        for character in text {
            used += width(character)
            if used > columns { break }
            clipped.append(character)
        }
        return columns > 0 ? clipped + "…" : ""
    }

    static func padded(_ text: String, to columns: Int) -> String {
        text + String(repeating: " ", count: max(0, columns - width(text)))
    }

    /// Rows of cells as lines, each column as wide as its widest cell and `gap` from the next.
    package static func aligned(_ rows: [[String]], gap: Int = 3) -> [String] {
        let count = rows.map(\.count).max() ?? 0
        let widths = (0..<count).map { column in
            rows.map { $0.count > column ? width($0[column]) : 0 }.max() ?? 0
        }
        let space = String(repeating: " ", count: gap)
        return rows.map { row in
            let cells = zip(row, widths).map { padded($0, to: $1) }.joined(separator: space)
            return String(cells.reversed().drop { $0 == " " }.reversed())
        }
    }

    static func leftPadded(_ text: String, to columns: Int) -> String {
        String(repeating: " ", count: max(0, columns - width(text))) + text
    }

    /// On one line and without control characters, so that a completion cannot move the cursor.
    package static func printable(_ text: String) -> String {
        var printable = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": printable += "⏎"
            case "\t": printable += " "
            case "\u{0}"..."\u{1f}", "\u{7f}"..."\u{9f}", "\u{200b}"..."\u{200f}", "\u{202a}"..."\u{202e}",
                "\u{2066}"..."\u{2069}":
                printable += "·"
            default: printable.unicodeScalars.append(scalar)
            }
        }
        return printable
    }

    /// A number in at most about six characters: 0.4375 → "0.438", 1234.5 → "1234", NaN → "–".
    static func short(_ value: Double?) -> String {
        guard let value, value.isFinite else { return "–" }
        let size = abs(value)
        if size >= 1e6 || (size > 0 && size < 1e-3) { return scientific(value) }
        return fixed(value, digits: size >= 100 ? 0 : size >= 10 ? 1 : 3)
    }

    /// Rounded half away from zero; without locale and without Foundation.
    static func fixed(_ value: Double, digits: Int) -> String {
        let scale = (0..<digits).reduce(1.0) { product, _ in product * 10 }
        let scaled = (abs(value) * scale).rounded()
        guard scaled < 1e15 else { return value.description }
        let whole = String(Int(scaled))
        let sign = value < 0 && scaled > 0 ? "-" : ""
        if digits == 0 { return sign + whole }
        let padded = String(repeating: "0", count: max(0, digits + 1 - whole.count)) + whole
        return sign + padded.dropLast(digits) + "." + padded.suffix(digits)
    }

    /// "1.2e-05"
    private static func scientific(_ value: Double) -> String {
        var exponent = 0
        var size = abs(value)
        while size >= 10 {
            size /= 10
            exponent += 1
        }
        while size < 1 {
            size *= 10
            exponent -= 1
        }
        var digits = fixed(size, digits: 1)
        if digits == "10.0" {
            digits = "1.0"
            exponent += 1
        }
        let power = String(abs(exponent))
        return "\(value < 0 ? "-" : "")\(digits)e\(exponent < 0 ? "-" : "+")\(power.count < 2 ? "0" : "")\(power)"
    }

    /// "0.4375" → "43.8 %"
    package static func percent(_ share: Double?) -> String {
        guard let share, share.isFinite else { return "–" }
        return fixed(share * 100, digits: 1) + " %"
    }

    /// "45s", "2m 05s", "3h 20m".
    static func duration(_ seconds: Double?) -> String {
        guard let seconds, seconds.isFinite, seconds >= 0, seconds < 1e9 else { return "–" }
        let whole = Int(seconds.rounded())
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : String(value) }
        if whole < 60 { return "\(whole)s" }
        if whole < 3600 { return "\(whole / 60)m \(two(whole % 60))s" }
        return "\(whole / 3600)h \(two(whole / 60 % 60))m"
    }
}
