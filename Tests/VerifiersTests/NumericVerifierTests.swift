// Numbers as models and data sets write them.

import Rollouts
import Testing
import Verifiers

@Test(arguments: [
    ("15", "15"), (" 15\n", "15"), ("15.", "15"), ("15.0", "15"), ("+15", "15"), ("015", "15"), ("-0", "0"),
    ("1,234,567", "1234567"), ("1234567", "1,234,567"), ("1,234.50", "1234.5"),
    ("3/4", "0.75"), ("6/8", "3/4"), ("1 1/2", "1.5"), ("-1 1/2", "-1.5"), ("0.5/2", "0.25"),
    ("−5", "-5"), (".5", "0.5"), ("1e3", "1000"), ("2.5E-3", "0.0025"), ("1e+2", "100"),
    ("50%", "50"), ("50 %", "50%"), ("1/3", "2/6"),
    ("123456789012345678901234567890", "123456789012345678901234567890"),
    ("0.1", "1/10"), ("1e400", "1" + String(repeating: "0", count: 400)),
])
func `equal numbers are right however they are written`(completion: String, answer: String) throws {
    let verdict = try judge(options(.numeric), completion, answer)
    #expect(verdict.outcome == .right, "\(verdict.reason)")
    #expect(verdict.score == 1)
}

@Test(arguments: [
    ("16", "15"), ("-15", "15"), ("1,2", "12"), ("12,34", "1234"), ("1,2345", "12345"), ("0,123", "123"),
    ("15 apples", "15"), ("x = 15", "15"), ("$15", "15"), ("fifteen", "15"), ("0.3333333333333333", "1/3"),
    ("123456789012345678901234567891", "123456789012345678901234567890"), ("1 3/2", "2.5"), ("1/2/4", "0.125"),
    ("--5", "5"), ("+-5", "-5"), ("- 5", "-5"), ("1e", "1"), ("5e5x", "500000"), ("3.14.15", "3.14"), ("50%", "0.5"),
    ("1e999999999999999999999", "5"), ("5/0", "5"), ("1e-2000", "0"), (".", "0"), ("..5", "0.5"), ("NaN", "0"),
])
func `other numbers and other texts are wrong`(completion: String, answer: String) throws {
    let verdict = try judge(options(.numeric), completion, answer)
    #expect(verdict.outcome == .wrong, "\(verdict.reason)")
    #expect(verdict.score == 0)
}

@Test(arguments: ["abc", "", "  ", "12 or 13", "1,2", "1/0", "five", "12 apples", "1e5000"])
func `a known answer that is no number is no verdict`(answer: String) throws {
    #expect(try outcome(options(.numeric), "12", answer) == .noVerdict)
    #expect(try outcome(options(.numeric, .lastNumber), "", answer) == .noVerdict)
}

@Test(arguments: [
    ("He has 3 apples and 12 pears.", "12"), ("5-3", "3"), ("so x=-7", "-7"), ("48/2 = 24 clips.", "24"),
    ("She paid $1,080.", "1080"), ("between 3, 4 and 1,2", "2"), ("I ate 1 1/2", "1.5"), ("Total: 3/4 cup", "0.75"),
    ("on 1/2/2024", "2024"), ("version 3.14.15", "15"), ("192.168.1.7", "7"), ("(7)", "7"), ("it rose by 5.", "5"),
    ("1,234,56", "56"), ("about 2.5e3 m", "2500"), ("from 10−4", "4"), ("is −4", "-4"), ("42...", "42"), ("12%", "12"),
    ("It is 5e", "5"), ("2nd", "2"),
])
func `the last number is found as people write it`(completion: String, answer: String) throws {
    let verdict = try judge(options(.numeric, .lastNumber), completion, answer)
    #expect(verdict.outcome == .right, "\(verdict.reason)")
}

@Test func `the first number is found`() throws {
    #expect(try outcome(options(.numeric, .firstNumber), "First 7, then 8", "7") == .right)
    #expect(try outcome(options(.numeric, .firstNumber), "no digits", "7") == .wrong)
}

@Test func `reasons are one line that a person can read`() throws {
    #expect(try judge(options(.numeric, .lastNumber), "I say 12", "15").reason == "last number is 12, expected 15")
    #expect(try judge(options(.numeric, .lastNumber), "I say", "15").reason == "found no number, expected 15")
    #expect(
        try judge(options(.numeric), "a\nb", "15").reason == "completion \"a⏎b\" is not a number, expected 15")
    #expect(try judge(options(.numeric), "1/0", "15").reason == "completion 1/0 divides by zero, expected 15")
    #expect(try judge(options(.numeric), "1", "abc").reason == "the known answer \"abc\" is not a number")
    #expect(try judge(options(.numeric), " \n", "1").reason == "the completion is empty")
    let long = try judge(options(.numeric), String(repeating: "y", count: 500), "1").reason
    #expect(long.count < 110 && !long.contains("\n"))
}

@Test func `answers of GSM8K are judged after their marker`() throws {
    let grader = options(.numeric, .afterMarker)
    #expect(try outcome(grader, "48/2 = <<48/2=24>>24 clips in May.\n#### 72", "72") == .right)
    #expect(try outcome(grader, "#### 1\nNo, wait.\n#### 1,080", "1080") == .right)
    #expect(try outcome(grader, "#### 73", "72") == .wrong)
    #expect(try judge(grader, "the answer is 72", "72").reason == "found no text after \"####\", expected 72")
    #expect(try judge(grader, "#### ", "72").reason == "the text after \"####\" is empty, expected 72")
    let custom = options(.numeric, .afterMarker) { $0.marker = "Answer:" }
    #expect(try outcome(custom, "Answer: 5\nAnswer: 72", "72") == .right)
}

@Test func `units and currencies are stripped only where the recipe names them`() throws {
    let grader = options(.numeric) { $0.units = ["$", "dollars", "m", "km", "€"] }
    for completion in ["$5", "5 dollars", "5 dollars.", "$ 5", "5 km", "5km", "€5", "$5 dollars"] {
        #expect(try outcome(grader, completion, "5") == .right, "\(completion)")
    }
    for completion in ["-$5", "$-5", "−$5"] {
        #expect(try outcome(grader, completion, "-5") == .right, "\(completion)")
    }
    #expect(try outcome(grader, "5", "$5") == .right)
    // "mm" is not "m" twice.
    #expect(try outcome(grader, "5 mm", "5") == .wrong)
    #expect(try outcome(options(.numeric), "$5", "5") == .wrong)
    let last = options(.numeric, .lastNumber) { $0.units = ["$"] }
    #expect(try outcome(last, "a loss, so -$5", "-5") == .right)
}

@Test func `the tolerance is exactly the decimal in the recipe, and the bound itself is allowed`() throws {
    let grader = options(.numeric) { $0.tolerance = 0.3 }
    #expect(try outcome(grader, "1.3", "1") == .right)
    #expect(try outcome(grader, "0.7", "1") == .right)
    #expect(try outcome(grader, "1.3000000000000000000001", "1") == .wrong)
    #expect(try outcome(grader, "-0.1", "0.2") == .right)
    #expect(try outcome(grader, "-0.1", "0.3") == .wrong)
    let tiny = options(.numeric) { $0.tolerance = 1e-6 }
    #expect(try outcome(tiny, "0.333333", "1/3") == .right)
    #expect(try outcome(tiny, "0.33333", "1/3") == .wrong)
}

@Test func `numbers inside boxes and tags are read as a whole`() throws {
    #expect(try outcome(options(.numeric, .boxed), "so \\boxed{1} and \\boxed{35}.", "35") == .right)
    #expect(try outcome(options(.numeric, .boxed), "so \\boxed{x = 35}", "35") == .wrong)
    #expect(try outcome(options(.numeric, .answerTag), "<answer> 64 </answer>", "64") == .right)
    #expect(try outcome(options(.numeric, .lastLine), "work\n 64 \n\n", "64") == .right)
}

@Test func `long runs of digits and separators are judged, never trap`() throws {
    let huge = String(repeating: "9", count: 100_000)
    #expect(try outcome(options(.numeric), huge, "9") == .wrong)
    #expect(try outcome(options(.numeric), "9", huge) == .noVerdict)
    for filler in ["1,", "1,234,", "1/", "1 ", "1.", "-", "e", "\\boxed{", "}", "1e"] {
        let text = String(repeating: filler, count: 3000)
        let verdict = try outcome(options(.numeric, .lastNumber), text, "77")
        #expect(verdict == .wrong, "\(filler)")
    }
    // A thousand digits are still compared exactly.
    let long = String(repeating: "7", count: 1000)
    #expect(try outcome(options(.numeric), long, long) == .right)
    #expect(try outcome(options(.numeric), long.dropLast() + "8", long) == .wrong)
    #expect(try outcome(options(.numeric), "\(long)/\(long)", "1") == .right)
}
