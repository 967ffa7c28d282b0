// Where numbers stand in a text, and what each is worth.

/// A number as it stands in a text.
struct NumberLiteral: Equatable, Sendable {
    /// As written, a Unicode minus shown as "-".
    var text: String
    var value: NumberValue
}

enum NumberValue: Equatable, Sendable {
    case rational(Rational)
    /// Looks like a number but is worth none; says why.
    case none(String)
}

/// Reads numbers: integers, decimals ("3.14", ".5"), thousands ("1,234,567", but "1,2" is two numbers), scientific
/// notation ("1.5e-3"), fractions ("3/4"), mixed numbers ("1 1/2"), each with an optional sign, which may be U+2212.
///
/// A sign counts only where no letter, digit or closing bracket stands before it: "5-3" holds 5 and 3. Chains such as
/// dates ("1/2/2024") and versions ("3.14.15") are read as their pieces.
struct NumberScanner {
    /// Significant digits, and powers of ten, that a number may have and still be compared.
    static let digitLimit = 1000

    private let scalars: [Unicode.Scalar]
    private let units: [[Unicode.Scalar]]

    /// - Parameter units: may stand between a sign and its number ("-$5").
    init(_ text: some StringProtocol, units: [String] = []) {
        scalars = text.unicodeScalars.map { $0 == "\u{2212}" ? "-" : $0 }
        self.units = units.map { Array($0.unicodeScalars) }.sorted { $0.count > $1.count }
    }

    /// The numbers of the text, in order; stops after `limit` of them.
    func numbers(limit: Int = .max) -> [NumberLiteral] {
        var found: [NumberLiteral] = []
        var index = 0
        while index < scalars.count && found.count < limit {
            if let (literal, end) = number(at: index) {
                found.append(literal)
                index = end
            } else {
                index += 1
            }
        }
        return found
    }

    /// The number that the whole trimmed text is, where one of the units may stand on either side, a percent sign after
    /// it (12% is worth 12, as stated) and a full stop at the end; nil where it is none.
    func wholeNumber() -> NumberLiteral? {
        var text = scalars[...]
        func trim() {
            while text.first?.properties.isWhitespace == true { text.removeFirst() }
            while text.last?.properties.isWhitespace == true { text.removeLast() }
        }
        func dropLast(_ ending: [Unicode.Scalar]) -> Bool {
            guard text.count > ending.count, text.suffix(ending.count).elementsEqual(ending) else { return false }
            text.removeLast(ending.count)
            trim()
            return true
        }
        trim()
        _ = dropLast(["."])
        _ = units.contains { dropLast($0) }
        _ = dropLast(["%"])
        if let unit = units.first(where: { text.starts(with: $0) }) {
            text.removeFirst(unit.count)
            trim()
        }
        var whole = String.UnicodeScalarView()
        whole.append(contentsOf: text)
        let scanner = NumberScanner(String(whole), units: units.map { unit in
            var view = String.UnicodeScalarView()
            view.append(contentsOf: unit)
            return String(view)
        })
        guard let (literal, end) = scanner.number(at: 0), end == scanner.scalars.count else { return nil }
        return literal
    }

    // MARK: One number

    /// The longest number that starts exactly here.
    private func number(at start: Int) -> (NumberLiteral, end: Int)? {
        var index = start
        var isNegative = false
        if let sign = scalar(index), sign == "-" || sign == "+" {
            let before = scalar(start - 1)
            if let before, ")]}+-".unicodeScalars.contains(before) || isWordLike(before) { return nil }
            isNegative = sign == "-"
            index += 1
            if let unit = units.first(where: { scalars[index...].starts(with: $0) }) {
                index += unit.count
                if scalar(index) == " " { index += 1 }
            }
        }
        guard let first = decimal(at: index) else { return nil }
        let (value, end) = fraction(first, from: index) ?? mixed(first) ?? (first.value(isNegative: false), first.end)
        var text = String.UnicodeScalarView()
        text.append(contentsOf: scalars[start..<end])
        return (NumberLiteral(text: String(text), value: value.signed(isNegative)), end)
    }

    /// "3/4" with `first` before the slash; not inside a chain of slashes.
    private func fraction(_ first: DecimalText, from start: Int) -> (NumberValue, end: Int)? {
        guard scalar(first.end) == "/", let second = decimal(at: first.end + 1) else { return nil }
        let isChain =
            (scalar(second.end) == "/" && isDigit(second.end + 1)) || (scalar(start - 1) == "/" && isDigit(start - 2))
        return isChain ? nil : (first.divided(by: second), second.end)
    }

    /// "1 1/2" with `first` before the space: whole numbers and a proper fraction.
    private func mixed(_ first: DecimalText) -> (NumberValue, end: Int)? {
        guard first.isPlainInteger, let space = scalar(first.end), space == " " || space == "\u{A0}",
            let upper = decimal(at: first.end + 1), upper.isPlainInteger, scalar(upper.end) == "/",
            let lower = decimal(at: upper.end + 1), lower.isPlainInteger,
            !(scalar(lower.end) == "/" && isDigit(lower.end + 1)),
            case .rational(let whole) = first.value(isNegative: false),
            case .rational(let part) = upper.divided(by: lower), part.numerator < part.denominator
        else { return nil }
        let sum = Rational(
            isNegative: false, numerator: whole.numerator * part.denominator + part.numerator,
            denominator: part.denominator)
        return (.rational(sum), lower.end)
    }

    // MARK: One unsigned decimal

    private func decimal(at start: Int) -> DecimalText? {
        let isContinued = isDigit(start - 2)
        var result = DecimalText(end: start)
        result.integer = digits(from: start)
        result.end += result.integer.count
        if result.integer.isEmpty {
            // ".5", but not the tail of "3.5" or of "...5".
            guard scalar(start) == ".", !isDigit(start - 1), scalar(start - 1) != "." else { return nil }
        } else if !(isContinued && scalar(start - 1) == ","), let grouped = thousands(result) {
            result = grouped
        }
        let isPiece = isContinued && scalar(start - 1) == "."
        if scalar(result.end) == ".", !isPiece {
            let fraction = digits(from: result.end + 1)
            let end = result.end + 1 + fraction.count
            if !fraction.isEmpty && !(scalar(end) == "." && isDigit(end + 1)) {
                result.fraction = fraction
                result.end = end
            }
        }
        guard !result.integer.isEmpty || !result.fraction.isEmpty else { return nil }
        readExponent(&result)
        return result
    }

    /// "1,234,567": up to three digits, no leading zero, then groups of exactly three to the end of the run.
    private func thousands(_ first: DecimalText) -> DecimalText? {
        guard first.integer.count <= 3, first.integer[0] != 0 else { return nil }
        var result = first
        while scalar(result.end) == "," && isDigit(result.end + 1) {
            let group = digits(from: result.end + 1)
            guard group.count == 3 else { return nil }
            result.integer += group
            result.end += 4
            result.isGrouped = true
        }
        return result.isGrouped ? result : nil
    }

    private func readExponent(_ number: inout DecimalText) {
        guard let mark = scalar(number.end), mark == "e" || mark == "E" else { return }
        var index = number.end + 1
        let isNegative = scalar(index) == "-"
        if isNegative || scalar(index) == "+" { index += 1 }
        let exponent = digits(from: index)
        let end = index + exponent.count
        if exponent.isEmpty || scalar(end).map(isWordLike) == true { return }
        // Saturates far beyond the limit on digits: the number is then worth none.
        let size = exponent.reduce(0) { min($0 * 10 + Int($1), 1_000_000) }
        number.exponent = isNegative ? -size : size
        number.hasExponent = true
        number.end = end
    }

    private func digits(from start: Int) -> [UInt8] {
        var digits: [UInt8] = []
        while isDigit(start + digits.count) {
            digits.append(UInt8(scalars[start + digits.count].value - 48))
        }
        return digits
    }

    private func scalar(_ index: Int) -> Unicode.Scalar? { scalars.indices.contains(index) ? scalars[index] : nil }
    private func isDigit(_ index: Int) -> Bool { scalar(index).map { ("0"..."9").contains($0) } ?? false }
    private func isWordLike(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)
    }
}
