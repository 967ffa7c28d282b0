// Labels as models write them.

import Rollouts
import Testing
import Verifiers

@Test(arguments: [
    "B", "(B)", "B.", "B)", "[B]", "**B**", "\"B\"", " b: B", "Answer: B", "answer: (B)", "The answer is B",
    "the answer is B.", "The answer is (B).", "ANSWER IS B", "The correct answer is option B because of it",
    "**Answer:** B", "Answer:\nB", "B. Paris", "(B) Paris", "B) a city", "I think it is B", "A cat may look, but B",
    "The answer is B, since A is too small.", "Answer - B", "The answer would be B",
])
func `a completion that settles on the known label is right`(completion: String) throws {
    let verdict = try judge(options(.choice), completion, "B")
    #expect(verdict.outcome == .right, "\(verdict.reason)")
}

@Test(arguments: [
    ("A", "chose A, expected B"), ("The answer is C", "chose C, expected B"),
    ("A or B", "completion is ambiguous: it names A, B, expected B"),
    ("The answer is B or C", "completion is ambiguous: it names B, C, expected B"),
    ("The answer is A. No, the answer is B.", "completion is ambiguous: it names A, B, expected B"),
    ("no idea", "completion \"no idea\" names no choice, expected B"),
    ("b", "completion \"b\" names no choice, expected B"), ("A is right", "chose A, expected B"),
    ("Because", "completion \"Because\" names no choice, expected B"),
])
func `other labels, several labels and none are wrong, with the reason`(completion: String, reason: String) throws {
    let verdict = try judge(options(.choice), completion, "B")
    #expect(verdict.outcome == .wrong)
    #expect(verdict.reason == reason)
}

@Test func `the known answer may be wrapped, but must be one of the labels`() throws {
    #expect(try outcome(options(.choice), "B", "(B)") == .right)
    #expect(try outcome(options(.choice), "B", "7") == .noVerdict)
    let four = options(.choice) { $0.choices = ["A", "B", "C", "D"] }
    #expect(try outcome(four, "B", "E") == .noVerdict)
    #expect(try outcome(four, "E", "B") == .wrong)
    #expect(try judge(four, "B", "E").reason == "the known answer \"E\" is not one of the choices")
}

@Test func `given labels may be words, and case may be ignored`() throws {
    let parity = options(.choice) {
        $0.choices = ["even", "odd"]
        $0.ignoreCase = true
    }
    #expect(try outcome(parity, "Odd.", "odd") == .right)
    #expect(try outcome(parity, "The number 99 is odd", "odd") == .right)
    #expect(try outcome(parity, "It is oddly even", "odd") == .wrong)
    #expect(try outcome(parity, "It is odd, not even", "odd") == .wrong)
    let cities = options(.choice) { $0.choices = ["York", "New York"] }
    #expect(try outcome(cities, "I say New York", "New York") == .right)
    #expect(try outcome(cities, "I say New York", "York") == .wrong)
    let numbered = options(.choice) { $0.choices = ["1", "2", "10"] }
    #expect(try outcome(numbered, "Answer: 10", "10") == .right)
    #expect(try outcome(numbered, "Answer: 10", "1") == .wrong)
}

@Test func `with case ignored an article is still no label`() throws {
    let loose = options(.choice) { $0.ignoreCase = true }
    #expect(try outcome(loose, "the answer is b", "B") == .right)
    #expect(try outcome(loose, "b", "B") == .right)
    #expect(try outcome(loose, "it is a dog, so c", "C") == .right)
    #expect(try outcome(loose, "The answer is a", "A") == .right)
}

@Test func `choices are read from the extracted part alone`() throws {
    let last = options(.choice, .lastLine)
    #expect(try outcome(last, "A is too small. C is too big.\nB", "B") == .right)
    #expect(try outcome(options(.choice, .boxed), "A or C? \\boxed{B}", "B") == .right)
}
