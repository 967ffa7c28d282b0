// Plain arithmetic: sums, differences and products of small numbers.

extension GeneratedTask {
    static let sums = [
        arithmetic("sum_digits_small", "+", 1...5, 1...5, +),
        arithmetic("add_1digit", "+", 1...9, 1...9, +),
        arithmetic("add_2digit", "+", 10...99, 10...99, +),
        difference,
        arithmetic("mul_1digit", "*", 2...9, 2...9, *),
    ]

    private static func arithmetic(
        _ name: String, _ sign: String, _ first: ClosedRange<Int>, _ second: ClosedRange<Int>,
        _ result: @escaping @Sendable (Int, Int) -> Int
    ) -> GeneratedTask {
        GeneratedTask(name: name, size: first.count * second.count) { place in
            let (left, right) = operands(place, first, second)
            return ("What is \(left) \(sign) \(right)? Answer with the number only.", "\(result(left, right))")
        }
    }

    /// From 10 to 99, minus 1 up to the number itself, so no answer is negative.
    private static let difference = GeneratedTask(name: "sub_2digit", size: (10...99).reduce(0, +)) { place in
        var left = 10
        var right = place
        while right >= left {
            right -= left
            left += 1
        }
        right += 1
        return ("What is \(left) - \(right)? Answer with the number only.", "\(left - right)")
    }
}
