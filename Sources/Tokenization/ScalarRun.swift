// What kind of character is each scalar of a text? (letter, number, white space, …)

/// The properties that the pre-tokenizer patterns ask for, one bit each.
enum ScalarClass {
    /// `\p{L}`
    static let letter: UInt8 = 1
    /// `\p{N}`: digits of every script, and ½, Ⅳ, ².
    static let number: UInt8 = 2
    /// `\s`: Unicode White_Space.
    static let space: UInt8 = 4
    /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`
    static let upper: UInt8 = 8
    /// `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`
    static let lower: UInt8 = 16
    /// `[\r\n]`
    static let newline: UInt8 = 32

    /// Classes of the Basic Multilingual Plane; surrogates have none.
    private static let plane: [UInt8] = (0..<0x10000).map { value in
        Unicode.Scalar(UInt32(value)).map(computed) ?? 0
    }

    static func of(_ scalar: UInt32) -> UInt8 {
        if scalar < 0x10000 { return plane[Int(scalar)] }
        return Unicode.Scalar(scalar).map(computed) ?? 0
    }

    private static func computed(_ scalar: Unicode.Scalar) -> UInt8 {
        var bits: UInt8 = 0
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .titlecaseLetter: bits = letter | upper
        case .lowercaseLetter: bits = letter | lower
        case .modifierLetter, .otherLetter: bits = letter | upper | lower
        case .nonspacingMark, .spacingMark, .enclosingMark: bits = upper | lower
        case .decimalNumber, .letterNumber, .otherNumber: bits = number
        default: break
        }
        if scalar.properties.isWhitespace { bits |= space }
        if scalar == "\r" || scalar == "\n" { bits |= newline }
        return bits
    }
}

/// A text as parallel arrays, so that patterns look at characters by position.
struct ScalarRun {
    private(set) var scalars: [UInt32] = []
    private(set) var classes: [UInt8] = []
    /// Where each scalar starts in the UTF-8 text, and the text's length at the end.
    private(set) var offsets: [Int] = []

    var count: Int { scalars.count }

    /// - Parameter utf8: valid UTF-8, as a `String` has it.
    init(_ utf8: UnsafeBufferPointer<UInt8>) {
        scalars.reserveCapacity(utf8.count)
        classes.reserveCapacity(utf8.count)
        offsets.reserveCapacity(utf8.count + 1)
        var position = 0
        while position < utf8.count {
            let lead = UInt32(utf8[position])
            let length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
            precondition(position + length <= utf8.count, "not UTF-8: the text ends inside a character")
            var scalar = length == 1 ? lead : lead & (0x7F >> UInt32(length))
            for next in 1..<4 where next < length { scalar = scalar << 6 | UInt32(utf8[position + next] & 0x3F) }
            scalars.append(scalar)
            classes.append(ScalarClass.of(scalar))
            offsets.append(position)
            position += length
        }
        offsets.append(position)
    }
}
