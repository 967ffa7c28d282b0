// Generated tasks: the same wording and answers as the published file, distinct instances, seeded choice.

import Foundation
import Rollouts
import Testing

@testable import Datasets

/// Places of the three numbers of `max_of_3` and `sort_3`.
private func placeOfThree(_ numbers: [Int]) -> Int? {
    var left = Array(1...99)
    var places: [Int] = []
    for number in numbers {
        guard let place = left.firstIndex(of: number) else { return nil }
        left.remove(at: place)
        places.append(place)
    }
    return places.count == 3 ? (places[0] * 98 + places[1]) * 97 + places[2] : nil
}

private let spaces: [String: [String: String]] = {
    var spaces: [String: [String: String]] = [:]
    for task in GeneratedTask.all where task.size < 10_000 {
        var answers: [String: String] = [:]
        for place in 0..<task.size {
            let (question, answer) = task.make(place)
            answers[question] = answer
        }
        spaces[task.name] = answers
    }
    return spaces
}()

/// The answer the task of this name gives to the prompt; nil when it never asks this.
private func answer(_ task: String, _ prompt: String) -> String? {
    if let space = spaces[task] { return space[prompt] }
    let numbers = prompt.split { !$0.isNumber }.compactMap { Int($0) }
    guard let row = GeneratedTask.all.first(where: { $0.name == task }), let place = placeOfThree(numbers)
    else { return nil }
    let (question, answer) = row.make(place)
    return question == prompt ? answer : nil
}

private func check(_ path: String) throws -> Set<String> {
    let reader = try jsonLines(path: path)
    var tasks: Set<String> = []
    while let row = try reader.next() {
        let task = try reader.text(of: "task", in: row)
        let prompt = try reader.text(of: "prompt", in: row)
        let expected = try reader.text(of: "answer", in: row)
        #expect(answer(task, prompt) == expected, "\(task): \(prompt)")
        tasks.insert(task)
    }
    return tasks
}

@Test func `every row of the sample is an instance of its generated task`() throws {
    let tasks = try check(fixture("small_model_tasks_sample.jsonl"))
    #expect(tasks.count == 12)
    #expect(tasks.union(["sum_digits_small", "max_of_4_digits"]) == Set(generatedTaskNames))
}

@Test(.enabled(if: hasSharedFile("rl_tasks/small_model_tasks.jsonl"), "needs ../shared/data/rl_tasks"))
func `every row of the whole file is an instance of its generated task`() throws {
    #expect(try check(sharedFile("rl_tasks/small_model_tasks.jsonl")).count == 12)
}

@Test func `questions of a space are distinct and their number is its size`() {
    for task in GeneratedTask.all where task.size < 10_000 {
        #expect(spaces[task.name]?.count == task.size, "\(task.name)")
    }
    let sizes = Dictionary(uniqueKeysWithValues: GeneratedTask.all.map { ($0.name, $0.size) })
    #expect(sizes["sum_digits_small"] == 25)
    #expect(sizes["add_1digit"] == 81)
    #expect(sizes["mul_1digit"] == 64)
    #expect(sizes["add_2digit"] == 8100)
    #expect(sizes["sub_2digit"] == 4905)
    #expect(sizes["even_odd"] == 999)
    #expect(sizes["boxed_add"] == 2401)
    #expect(sizes["max_of_4_digits"] == 5040)
}

@Test func `the largest of four digits, from the first place to the last`() throws {
    let task = try #require(GeneratedTask.all.first { $0.name == "max_of_4_digits" })
    #expect(task.make(0) == ("Which digit is largest: 0, 1, 2, 3?", "3"))
    // 4 · 504 + 8 · 56: 4, then the ninth of the digits left.
    #expect(task.make(2464) == ("Which digit is largest: 4, 9, 0, 1?", "9"))
    #expect(task.make(5039) == ("Which digit is largest: 9, 8, 7, 6?", "9"))
}

@Test func `differences start and end where they should and are never negative`() throws {
    let task = try #require(GeneratedTask.all.first { $0.name == "sub_2digit" })
    #expect(task.make(0).question == "What is 10 - 1? Answer with the number only.")
    #expect(task.make(9).question == "What is 10 - 10? Answer with the number only.")
    #expect(task.make(10).question == "What is 11 - 1? Answer with the number only.")
    #expect(task.make(4904).question == "What is 99 - 99? Answer with the number only.")
    #expect((0..<task.size).allSatisfy { Int(task.make($0).answer)! >= 0 })
}

@Test func `the smallest task says what it should`() throws {
    let task = try #require(GeneratedTask.all.first { $0.name == "sum_digits_small" })
    #expect(task.make(0) == ("What is 1 + 1? Answer with the number only.", "2"))
    #expect(task.make(24) == ("What is 5 + 5? Answer with the number only.", "10"))
}

@Test(arguments: generatedTaskNames)
func `instances are distinct, as many as asked for, and chosen by the seed`(name: String) throws {
    let task = try #require(GeneratedTask.all.first { $0.name == name })
    let count = min(200, task.size - 5)
    let instances = task.instances(count: count, seed: 1)
    #expect(instances.count == count)
    #expect(Set(instances.map(\.question)).count == count)
    #expect(instances == task.instances(count: count, seed: 1))
    // Another choice of five to leave out, or of 200: equal with a chance below 1 in 40,000 for the smallest space.
    #expect(Set(instances.map(\.place)) != Set(task.instances(count: count, seed: 2).map(\.place)))
    // More instances only add to fewer.
    #expect(task.instances(count: count - 3, seed: 1) == Array(instances.prefix(count - 3)))
}

@Test func `a count beyond the space gives the whole space in its order`() throws {
    let task = try #require(GeneratedTask.all.first { $0.name == "add_1digit" })
    #expect(task.instances(count: 1000, seed: 9).map(\.place) == Array(0..<81))
}

@Test func `generated rows carry the template, the bare question and their place`() throws {
    var source = task("add_1digit", count: 500)
    source.template = "Q: {prompt}\nA:"
    let dataset = try load([source], share: 0)
    let row = dataset.training[11]
    #expect(row.text == "What is 2 + 3? Answer with the number only.")
    #expect(row.messages == [ChatMessage(role: "user", content: "Q: What is 2 + 3? Answer with the number only.\nA:")])
    #expect(row.answer == "5" && row.source == "add_1digit" && row.identifier == "add_1digit#11")
}
