// Which tasks can be generated, and how instances are chosen.

import Rollouts

/// A family of questions with exact answers. Its space is numbered, so instances are distinct without keeping a list.
struct GeneratedTask: Sendable {
    struct Instance: Equatable, Sendable {
        /// Place in the task's space.
        var place: Int
        var question: String
        var answer: String
    }

    var name: String
    /// Number of different questions.
    var size: Int
    /// The question and answer at a place in 0..<size.
    var make: @Sendable (Int) -> (question: String, answer: String)

    /// One row a task; one file a family.
    static let all = sums + numberLists + [evenOdd] + words + formattedSums

    /// Up to `count` distinct instances: the whole space in its order where it is that small, else places drawn by the
    /// seed.
    func instances(count: Int, seed: UInt64) -> [Instance] {
        let drawn = min(count, size)
        // The name keeps tasks of one size apart, and a new row in the table changes no other task.
        let permutation = KeyedPermutation(
            count: size, seed: seed, use: .generatedTask, key: stableHash(of: name) >> 8)
        return (0..<drawn).map { index in
            let place = drawn == size ? index : permutation[index]
            let (question, answer) = make(place)
            return Instance(place: place, question: question, answer: answer)
        }
    }

    /// - Parameter place: of the source in the recipe, for the error's line.
    static func named(_ name: String, place: Int) throws(DatasetError) -> GeneratedTask {
        guard let task = all.first(where: { $0.name == name }) else {
            throw .badOption(
                option: "data.sources[\(place)].task", found: "\"\(name)\"",
                expected: "one of \(all.map(\.name).joined(separator: ", "))")
        }
        return task
    }
}

/// Names of the tasks a recipe can generate, for help texts.
package let generatedTaskNames = GeneratedTask.all.map(\.name)

/// Two operands, each from its range, in every combination: place = first · count of second + second.
func operands(_ place: Int, _ first: ClosedRange<Int>, _ second: ClosedRange<Int>) -> (Int, Int) {
    (first.lowerBound + place / second.count, second.lowerBound + place % second.count)
}
