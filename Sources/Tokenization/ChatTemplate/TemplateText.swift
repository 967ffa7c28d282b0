// What is a string inside a chat template? Scalars, each of which knows whether it came from a message.

/// A string of Unicode scalars, as Python indexes strings. Every operation moves scalars without losing where they came
/// from, so that a rendered conversation still tells the template's own text from what people wrote.
struct TemplateText: Hashable, Sendable {
    /// The scalar's value in the low 21 bits; the top bit is set where it came from a message.
    private(set) var units: [UInt32]

    private static let messageBit: UInt32 = 1 << 31
    private static let valueMask: UInt32 = 0x1F_FFFF

    init(_ string: String, fromMessage: Bool = false) {
        units = string.unicodeScalars.map { $0.value | (fromMessage ? TemplateText.messageBit : 0) }
    }

    init(units: [UInt32] = []) { self.units = units }

    var count: Int { units.count }
    var isEmpty: Bool { units.isEmpty }

    /// Equal text is equal, wherever it came from.
    static func == (left: TemplateText, right: TemplateText) -> Bool {
        left.units.count == right.units.count
            && zip(left.units, right.units).allSatisfy { ($0 ^ $1) & valueMask == 0 }
    }

    func hash(into hasher: inout Hasher) {
        for unit in units { hasher.combine(unit & TemplateText.valueMask) }
    }

    static func < (left: TemplateText, right: TemplateText) -> Bool {
        left.units.lexicographicallyPrecedes(right.units) { $0 & valueMask < $1 & valueMask }
    }

    static func + (left: TemplateText, right: TemplateText) -> TemplateText {
        TemplateText(units: left.units + right.units)
    }

    mutating func append(_ other: TemplateText) { units += other.units }

    func scalar(_ index: Int) -> Unicode.Scalar { TemplateText.scalar(units[index]) }

    static func scalar(_ unit: UInt32) -> Unicode.Scalar {
        Unicode.Scalar(unit & valueMask) ?? "\u{FFFD}"  // only valid scalars go in
    }

    var string: String {
        var view = String.UnicodeScalarView()
        for unit in units { view.append(TemplateText.scalar(unit)) }
        return String(view)
    }

    /// UTF-8, and for each byte whether it came from a message.
    var utf8: (bytes: [UInt8], isProtected: [Bool]) {
        var bytes: [UInt8] = []
        var isProtected: [Bool] = []
        bytes.reserveCapacity(units.count)
        isProtected.reserveCapacity(units.count)
        for unit in units {
            for byte in UTF8.encode(TemplateText.scalar(unit))! {  // every scalar has a UTF-8 form
                bytes.append(byte)
                isProtected.append(unit & TemplateText.messageBit != 0)
            }
        }
        return (bytes, isProtected)
    }

    subscript(range: Range<Int>) -> TemplateText { TemplateText(units: Array(units[range])) }

    func hasPrefix(_ other: TemplateText) -> Bool { count >= other.count && self[0..<other.count] == other }
    func hasSuffix(_ other: TemplateText) -> Bool { count >= other.count && self[count - other.count..<count] == other }

    /// - Parameter characters: what to remove; nil is white space.
    func trimmed(_ characters: TemplateText? = nil, left: Bool = true, right: Bool = true) -> TemplateText {
        let set = characters.map { Set($0.units.map { $0 & TemplateText.valueMask }) }
        func removes(_ unit: UInt32) -> Bool {
            set?.contains(unit & TemplateText.valueMask) ?? TemplateText.isSpace(unit)
        }
        var range = 0..<count
        while left, let first = range.first, removes(units[first]) { range = first + 1..<range.upperBound }
        while right, let last = range.last, removes(units[last]) { range = range.lowerBound..<last }
        return self[range]
    }

    /// Python's `str.isspace`: Unicode white space and the four information separators.
    static func isSpace(_ unit: UInt32) -> Bool {
        let scalar = scalar(unit)
        return (0x1C...0x1F).contains(scalar.value) || scalar.properties.isWhitespace
    }

    /// Start positions of `needle`, without overlaps, from the left. Linear in both lengths (Knuth–Morris–Pratt).
    func occurrences(of needle: TemplateText, limit: Int = .max) -> [Int] {
        guard !needle.isEmpty, needle.count <= count, limit > 0 else { return [] }
        let mask = TemplateText.valueMask
        var borders = [0]
        var matched = 0
        for index in 1..<needle.count {
            while matched > 0, (needle.units[matched] ^ needle.units[index]) & mask != 0 {
                matched = borders[matched - 1]
            }
            if (needle.units[matched] ^ needle.units[index]) & mask == 0 { matched += 1 }
            borders.append(matched)
        }
        var found: [Int] = []
        matched = 0
        for index in 0..<count {
            while matched > 0, (needle.units[matched] ^ units[index]) & mask != 0 { matched = borders[matched - 1] }
            if (needle.units[matched] ^ units[index]) & mask == 0 { matched += 1 }
            guard matched == needle.count else { continue }
            found.append(index + 1 - needle.count)
            if found.count == limit { return found }
            matched = 0
        }
        return found
    }

    func contains(_ needle: TemplateText) -> Bool {
        needle.isEmpty || !occurrences(of: needle, limit: 1).isEmpty
    }

    /// - Parameter limit: the largest number of cuts.
    func split(by separator: TemplateText, limit: Int) -> [TemplateText] {
        var parts: [TemplateText] = []
        var start = 0
        for position in occurrences(of: separator, limit: limit) {
            parts.append(self[start..<position])
            start = position + separator.count
        }
        return parts + [self[start..<count]]
    }

    /// At runs of white space, none at the ends.
    func splitAtSpaces(limit: Int) -> [TemplateText] {
        var parts: [TemplateText] = []
        var position = 0
        while true {
            while position < count, TemplateText.isSpace(units[position]) { position += 1 }
            guard position < count else { return parts }
            if parts.count == limit { return parts + [self[position..<count].trimmed(left: false)] }
            let start = position
            while position < count, !TemplateText.isSpace(units[position]) { position += 1 }
            parts.append(self[start..<position])
        }
    }

    var reversed: TemplateText { TemplateText(units: units.reversed()) }

    func mapped(_ transform: (Unicode.Scalar) -> String) -> TemplateText {
        var result: [UInt32] = []
        result.reserveCapacity(count)
        for unit in units {
            let origin = unit & TemplateText.messageBit
            for scalar in transform(TemplateText.scalar(unit)).unicodeScalars { result.append(scalar.value | origin) }
        }
        return TemplateText(units: result)
    }

    var uppercased: TemplateText { mapped(\.properties.uppercaseMapping) }
    var lowercased: TemplateText { mapped(\.properties.lowercaseMapping) }

    /// Python's `str.capitalize`.
    var capitalized: TemplateText {
        isEmpty ? self : self[0..<1].mapped(\.properties.titlecaseMapping) + self[1..<count].lowercased
    }

    /// Python's `str.title`: a letter after anything but a letter is upper case.
    var titled: TemplateText {
        var result = TemplateText()
        var afterLetter = false
        for index in 0..<count {
            let one = self[index..<index + 1]
            result.append(afterLetter ? one.lowercased : one.mapped(\.properties.titlecaseMapping))
            afterLetter = scalar(index).properties.isCased
        }
        return result
    }
}
