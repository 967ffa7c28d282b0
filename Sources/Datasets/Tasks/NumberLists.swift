// Lists of different numbers: the largest of them, and all of them in order.

extension GeneratedTask {
    static let numberLists = [
        GeneratedTask(name: "max_of_4_digits", size: 10 * 9 * 8 * 7) { place in
            let digits = differentNumbers(0...9, [place / (9 * 8 * 7), place / (8 * 7) % 9, place / 7 % 8, place % 7])
            let list = digits.map(String.init).joined(separator: ", ")
            return ("Which digit is largest: \(list)?", "\(digits.max() ?? 0)")
        },
        GeneratedTask(name: "max_of_3", size: 99 * 98 * 97) { place in
            let numbers = threeNumbers(place)
            let list = numbers.map(String.init).joined(separator: ", ")
            return ("Which number is largest: \(list)? Answer with the number only.", "\(numbers.max() ?? 0)")
        },
        GeneratedTask(name: "sort_3", size: 99 * 98 * 97) { place in
            let numbers = threeNumbers(place)
            let list = numbers.map(String.init).joined(separator: ", ")
            let question = "Sort these numbers from smallest to largest: \(list). "
                + "Answer with the sorted list only, separated by commas."
            return (question, numbers.sorted().map(String.init).joined(separator: ", "))
        },
    ]

    /// Three different numbers from 1 to 99, in every order.
    private static func threeNumbers(_ place: Int) -> [Int] {
        differentNumbers(1...99, [place / (98 * 97), place / 97 % 98, place % 97])
    }

    /// - Parameter choices: each the index of a number among those that are left.
    private static func differentNumbers(_ range: ClosedRange<Int>, _ choices: [Int]) -> [Int] {
        var left = Array(range)
        return choices.map { left.remove(at: $0) }
    }
}
