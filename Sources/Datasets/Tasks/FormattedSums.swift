// Sums whose answer has to stand in a given place.

extension GeneratedTask {
    static let formattedSums = [
        sum("boxed_add", "Put your final answer in \\boxed{}."),
        sum("tag_add", "Write the final answer between <answer> and </answer>."),
    ]

    private static func sum(_ name: String, _ instruction: String) -> GeneratedTask {
        GeneratedTask(name: name, size: 49 * 49) { place in
            let (left, right) = operands(place, 1...49, 1...49)
            return ("What is \(left) + \(right)? \(instruction)", "\(left + right)")
        }
    }
}
