// Whole numbers of any size, so that comparing numbers never overflows and never rounds.

/// A natural number, 0 included: nine decimal digits a limb, least significant first, no leading zero limbs.
struct Natural: Equatable, Sendable {
    private static let base: UInt64 = 1_000_000_000
    private var limbs: [UInt64] = []

    static let one = Natural(digits: [1])

    var isZero: Bool { limbs.isEmpty }

    /// - Parameter digits: 0...9, most significant first.
    init(digits: some BidirectionalCollection<UInt8>) {
        var limb: UInt64 = 0
        var scale: UInt64 = 1
        for digit in digits.reversed() {
            limb += UInt64(digit) * scale
            scale *= 10
            if scale == Natural.base {
                limbs.append(limb)
                limb = 0
                scale = 1
            }
        }
        limbs.append(limb)
        dropLeadingZeros()
    }

    static func powerOfTen(_ exponent: Int) -> Natural {
        Natural(digits: [1] + [UInt8](repeating: 0, count: exponent))
    }

    private init(limbs: [UInt64]) {
        self.limbs = limbs
        dropLeadingZeros()
    }

    private mutating func dropLeadingZeros() {
        while limbs.last == 0 { limbs.removeLast() }
    }

    static func * (left: Natural, right: Natural) -> Natural {
        if left.isZero || right.isZero { return Natural(limbs: []) }
        var product = [UInt64](repeating: 0, count: left.limbs.count + right.limbs.count)
        for (place, limb) in left.limbs.enumerated() {
            var carry: UInt64 = 0
            for (otherPlace, otherLimb) in right.limbs.enumerated() {
                // Below 10^18 + 10^9 + 10^9: fits 64 bits.
                let sum = limb * otherLimb + product[place + otherPlace] + carry
                product[place + otherPlace] = sum % base
                carry = sum / base
            }
            product[place + right.limbs.count] = carry
        }
        return Natural(limbs: product)
    }

    static func + (left: Natural, right: Natural) -> Natural {
        var sum: [UInt64] = []
        var carry: UInt64 = 0
        for place in 0..<max(left.limbs.count, right.limbs.count) {
            let limb = left.limb(place) + right.limb(place) + carry
            sum.append(limb % base)
            carry = limb / base
        }
        sum.append(carry)
        return Natural(limbs: sum)
    }

    /// |left − right|.
    static func distance(_ left: Natural, _ right: Natural) -> Natural {
        let (greater, smaller) = left < right ? (right, left) : (left, right)
        var difference: [UInt64] = []
        var borrow: UInt64 = 0
        for place in greater.limbs.indices {
            let taken = smaller.limb(place) + borrow
            borrow = greater.limbs[place] < taken ? 1 : 0
            difference.append(greater.limbs[place] + borrow * base - taken)
        }
        return Natural(limbs: difference)
    }

    private func limb(_ place: Int) -> UInt64 { place < limbs.count ? limbs[place] : 0 }
}

extension Natural: Comparable {
    static func < (left: Natural, right: Natural) -> Bool {
        if left.limbs.count != right.limbs.count { return left.limbs.count < right.limbs.count }
        for place in left.limbs.indices.reversed() where left.limbs[place] != right.limbs[place] {
            return left.limbs[place] < right.limbs[place]
        }
        return false
    }
}

/// A fraction of naturals with a sign; not reduced, compared by cross-multiplication.
struct Rational: Equatable, Sendable {
    var isNegative: Bool
    var numerator: Natural
    /// Never zero.
    var denominator: Natural

    /// Exactly |self − other| ≤ limit.
    func isWithin(_ limit: Rational, of other: Rational) -> Bool {
        let left = numerator * other.denominator
        let right = other.numerator * denominator
        let distance = isNegative == other.isNegative ? Natural.distance(left, right) : left + right
        return distance * limit.denominator <= limit.numerator * (denominator * other.denominator)
    }

    /// Equal as numbers: 1/2 and 2/4 are, and so are 0 and −0.
    static func == (left: Rational, right: Rational) -> Bool {
        left.isWithin(Rational(isNegative: false, numerator: Natural(digits: [0]), denominator: .one), of: right)
    }
}
