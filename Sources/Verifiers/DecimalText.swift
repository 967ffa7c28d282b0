// What an unsigned decimal in a text is worth, exactly.

/// The digits of one unsigned decimal, and where it ends in its text.
struct DecimalText {
    /// Digits 0...9 before and after the point, most significant first.
    var integer: [UInt8] = []
    var fraction: [UInt8] = []
    var exponent = 0
    var hasExponent = false
    /// Written with thousands separators.
    var isGrouped = false
    var end: Int

    init(end: Int) {
        self.end = end
    }

    var isPlainInteger: Bool { fraction.isEmpty && !hasExponent && !isGrouped }

    func value(isNegative: Bool) -> NumberValue {
        // Leading zeros, and trailing ones behind the point, say nothing about size.
        var digits = (integer + fraction)[...]
        var power = exponent - fraction.count
        digits = digits.drop { $0 == 0 }
        while digits.last == 0 {
            digits.removeLast()
            power += 1
        }
        if digits.isEmpty { power = 0 }
        let limit = NumberScanner.digitLimit
        guard digits.count <= limit, abs(power) <= limit else {
            return .none("has more than \(limit) digits")
        }
        let natural = Natural(digits: digits)
        return .rational(
            Rational(
                isNegative: isNegative, numerator: power > 0 ? natural * .powerOfTen(power) : natural,
                denominator: power < 0 ? .powerOfTen(-power) : .one))
    }

    func divided(by other: DecimalText) -> NumberValue {
        switch (value(isNegative: false), other.value(isNegative: false)) {
        case (.rational(let upper), .rational(let lower)):
            if lower.numerator.isZero { return .none("divides by zero") }
            return .rational(
                Rational(
                    isNegative: false, numerator: upper.numerator * lower.denominator,
                    denominator: upper.denominator * lower.numerator))
        case (.none(let reason), _), (_, .none(let reason)): return .none(reason)
        }
    }
}

extension NumberValue {
    func signed(_ isNegative: Bool) -> NumberValue {
        guard isNegative, case .rational(var rational) = self else { return self }
        rational.isNegative.toggle()
        return .rational(rational)
    }
}
