// Lists of three different numbers: the largest of them, and all of them in order.

extension GeneratedTask {
    static let numberLists = [
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
        var left = Array(1...99)
        return [place / (98 * 97), place / 97 % 98, place % 97].map { left.remove(at: $0) }
    }
}
