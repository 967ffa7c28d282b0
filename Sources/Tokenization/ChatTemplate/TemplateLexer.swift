// Which tokens does a template's source consist of? Jinja's rules, with `trim_blocks` and `lstrip_blocks` on, as
// transformers has them.

struct TemplateToken: Equatable {
    enum Kind: Equatable {
        case text([UInt32])
        case blockBegin, blockEnd, variableBegin, variableEnd
        case name(String)
        case string(String)
        case integer(Int)
        case float(Double)
        case symbol(String)
        case end
    }
    var kind: Kind
    var line: Int
}

struct TemplateLexer {
    private let source: [UInt32]
    private var position = 0
    private var line = 1
    /// Whether only a line break, or nothing, stands before `position`.
    private var atLineStart = true
    private var tokens: [TemplateToken] = []

    static func tokens(_ source: String) throws(TokenizationError) -> [TemplateToken] {
        var lexer = TemplateLexer(source)
        try lexer.run()
        return lexer.tokens
    }

    private init(_ text: String) {
        // Line breaks become \n; one at the very end is dropped.
        var scalars: [UInt32] = []
        for scalar in text.unicodeScalars {
            if scalar == "\n", scalars.last == 0x0D { scalars.removeLast() }
            scalars.append(scalar.value)
        }
        for index in scalars.indices where scalars[index] == 0x0D { scalars[index] = 0x0A }
        if scalars.last == 0x0A { scalars.removeLast() }
        source = scalars
    }

    private func ascii(_ offset: Int) -> Character? {
        guard position + offset < source.count, source[position + offset] < 0x80 else { return nil }
        return Character(Unicode.Scalar(UInt8(source[position + offset])))
    }

    private func error(_ problem: String) -> TokenizationError { .template(line: line, problem: problem) }

    private mutating func add(_ kind: TemplateToken.Kind) { tokens.append(TemplateToken(kind: kind, line: line)) }

    private mutating func advance(_ count: Int) {
        for _ in 0..<count {
            if source[position] == 0x0A { line += 1 }
            position += 1
        }
    }

    private mutating func run() throws(TokenizationError) {
        while position < source.count {
            guard let tag = nextTag() else {
                add(.text(Array(source[position...])))
                break
            }
            takeText(until: tag)
            let kind = ascii(1)
            let signed = ascii(2) == "-" || ascii(2) == "+"
            advance(signed ? 3 : 2)
            switch kind {
            case "#": try skipComment()
            case "%": try takeCode(.blockBegin, closing: "%")
            default: try takeCode(.variableBegin, closing: "}")
            }
        }
        add(.end)
    }

    /// The next `{%`, `{{` or `{#`.
    private func nextTag() -> Int? {
        var index = position
        while index + 1 < source.count {
            if source[index] == 0x7B, [0x25, 0x7B, 0x23].contains(source[index + 1]) { return index }
            index += 1
        }
        return nil
    }

    private mutating func takeText(until tag: Int) {
        var end = tag
        let sign = tag + 2 < source.count ? source[tag + 2] : 0
        if sign == 0x2D {
            while end > position, TemplateText.isSpace(source[end - 1]) { end -= 1 }
        } else if sign != 0x2B, source[tag + 1] != 0x7B {
            // White space alone between the start of the line and the tag goes.
            var start = tag
            while start > position, source[start - 1] != 0x0A, TemplateText.isSpace(source[start - 1]) { start -= 1 }
            let startsLine = start > position ? source[start - 1] == 0x0A : atLineStart
            if startsLine { end = start }
        }
        if end > position { add(.text(Array(source[position..<end]))) }
        advance(tag - position)
    }

    private mutating func skipComment() throws(TokenizationError) {
        while position + 1 < source.count {
            if source[position] == 0x23, source[position + 1] == 0x7D {
                let sign = source[position - 1]
                return close(length: 2, stripping: sign == 0x2D, trimsLine: sign != 0x2B && sign != 0x2D)
            }
            advance(1)
        }
        throw error("a comment without its end `#}`")
    }

    /// Passes over the end of a tag and the white space that belongs to it.
    private mutating func close(length: Int, stripping: Bool, trimsLine: Bool) {
        advance(length)
        if stripping {
            while position < source.count, TemplateText.isSpace(source[position]) { advance(1) }
        } else if trimsLine, position < source.count, source[position] == 0x0A {
            advance(1)
        }
        atLineStart = source[position - 1] == 0x0A
    }

    /// The tokens between `{%` and `%}`, or `{{` and `}}`.
    private mutating func takeCode(_ begin: TemplateToken.Kind, closing: Character) throws(TokenizationError) {
        add(begin)
        let openedAt = line
        var brackets: [Character] = []
        while position < source.count {
            if TemplateText.isSpace(source[position]) {
                advance(1)
                continue
            }
            if brackets.isEmpty, takeEnd(closing) { return }
            try takeToken(&brackets)
        }
        throw .template(line: openedAt, problem: "a tag without its end")
    }

    private mutating func takeEnd(_ closing: Character) -> Bool {
        let isBlock = closing == "%"
        let end: TemplateToken.Kind = isBlock ? .blockEnd : .variableEnd
        if ascii(0) == closing, ascii(1) == "}" {
            add(end)
            close(length: 2, stripping: false, trimsLine: isBlock)
            return true
        }
        guard ascii(0) == "-" || (isBlock && ascii(0) == "+"), ascii(1) == closing, ascii(2) == "}" else {
            return false
        }
        let stripping = ascii(0) == "-"
        add(end)
        close(length: 3, stripping: stripping, trimsLine: false)
        return true
    }

    private mutating func takeToken(_ brackets: inout [Character]) throws(TokenizationError) {
        guard let first = ascii(0) else {
            if TemplateText.scalar(source[position]).properties.isXIDStart { return takeName() }
            throw error("unexpected `\(TemplateText.scalar(source[position]))`")
        }
        if first.isNumber { return try takeNumber() }
        if first.isLetter || first == "_" { return takeName() }
        if first == "'" || first == "\"" { return try takeString(quote: source[position]) }
        let two = ascii(1).map { String([first, $0]) } ?? ""
        if ["==", "!=", "<=", ">=", "//", "**"].contains(two) {
            add(.symbol(two))
            return advance(2)
        }
        switch first {
        case "(", "[", "{": brackets.append(first == "(" ? ")" : first == "[" ? "]" : "}")
        case ")", "]", "}":
            guard brackets.popLast() == first else { throw error("unexpected `\(first)`") }
        case "+", "-", "*", "/", "%", "~", "<", ">", "=", ".", ":", "|", ",", ";": break
        default: throw error("unexpected `\(first)`")
        }
        add(.symbol(String(first)))
        advance(1)
    }

    private mutating func takeName() {
        let start = position
        while position < source.count,
            source[position] == 0x5F || TemplateText.scalar(source[position]).properties.isXIDContinue
        {
            position += 1
        }
        add(.name(TemplateText(units: Array(source[start..<position])).string))
    }

    private mutating func takeNumber() throws(TokenizationError) {
        let afterDot = tokens.last?.kind == .symbol(".")
        var text = ""
        var isFloat = false
        while let character = ascii(0) {
            let next = ascii(1)
            if character.isNumber || (character == "_" && next?.isNumber == true) {
                if character != "_" { text.append(character) }
            } else if character == ".", !isFloat, !afterDot, next?.isNumber == true {
                isFloat = true
                text.append(character)
            } else if character == "e" || character == "E", !afterDot, next?.isNumber == true {
                isFloat = true
                text += "e"
            } else if character == "e" || character == "E", !afterDot, next == "-" || next == "+",
                ascii(2)?.isNumber == true
            {
                isFloat = true
                text += "e" + String(next!)  // just compared
                position += 1
            } else {
                break
            }
            position += 1
        }
        if isFloat {
            guard let value = Double(text) else { throw error("`\(text)` is not a number") }
            add(.float(value))
        } else {
            guard let value = Int(text) else { throw error("the number `\(text.shortened(40))` is too large") }
            add(.integer(value))
        }
    }

    private mutating func takeString(quote: UInt32) throws(TokenizationError) {
        let openedAt = line
        advance(1)
        var units: [UInt32] = []
        while position < source.count, source[position] != quote {
            if source[position] == 0x5C, position + 1 < source.count {
                advance(1)
                units += try takeEscape()
            } else {
                units.append(source[position])
                advance(1)
            }
        }
        guard position < source.count else { throw .template(line: openedAt, problem: "a string without its end") }
        advance(1)
        tokens.append(TemplateToken(kind: .string(TemplateText(units: units).string), line: openedAt))
    }

    /// What follows a backslash; Python's escapes, an unknown one kept as it is.
    private mutating func takeEscape() throws(TokenizationError) -> [UInt32] {
        let first = source[position]
        let simple: [Character: UInt32] = [
            "n": 0x0A, "t": 0x09, "r": 0x0D, "b": 0x08, "f": 0x0C, "v": 0x0B, "a": 0x07, "\\": 0x5C, "'": 0x27,
            "\"": 0x22,
        ]
        if let character = ascii(0), let value = simple[character] {
            advance(1)
            return [value]
        }
        if first == 0x0A {
            advance(1)
            return []
        }
        if (0x30...0x37).contains(first) { return [takeDigits(limit: 3, radix: 8)] }
        let lengths: [Character: Int] = ["x": 2, "u": 4, "U": 8]
        guard let character = ascii(0), let length = lengths[character] else {
            advance(1)
            return [0x5C, first]
        }
        advance(1)
        let start = position
        let value = takeDigits(limit: length, radix: 16)
        guard position - start == length, Unicode.Scalar(value) != nil else {
            throw error("`\\\(character)` needs \(length) hexadecimal digits of a character")
        }
        return [value]
    }

    private mutating func takeDigits(limit: Int, radix: UInt32) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<limit {
            guard let digit = ascii(0)?.hexDigitValue, digit < Int(radix) else { break }
            value = value &* radix &+ UInt32(digit)
            position += 1
        }
        return value
    }
}
