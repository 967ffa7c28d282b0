// Patterns, formats, weighted sums, shuffled rewards, and what cannot be made.

import Rollouts
import Testing

@testable import Verifiers

@Test func `regex matches somewhere in the judged part, with the answer taken literally`() throws {
    let grader = options(.regex) { $0.pattern = "answer: {answer}$" }
    #expect(try outcome(grader, "my answer: 5", "5") == .right)
    #expect(try outcome(grader, "my answer: 55", "5") == .wrong)
    #expect(try outcome(grader, "my answer: 3.5", "3.5") == .right)
    #expect(try outcome(grader, "my answer: 3x5", "3.5") == .wrong)
    #expect(try outcome(grader, "my answer: 5", " ") == .noVerdict)
    let plain = options(.regex, .lastLine) { $0.pattern = "^[0-9]+$" }
    #expect(try outcome(plain, "x\n12", "") == .right)
    #expect(try judge(plain, "12\nx", "").reason == "last line does not match \"^[0-9]+$\"")
}

@Test func `every ASCII character of an answer is taken literally`() throws {
    let printable = String(String.UnicodeScalarView((32...126).reversed().map { Unicode.Scalar($0)! })) + "."
    let grader = options(.regex) { $0.pattern = "<{answer}>" }
    #expect(try outcome(grader, "<\(printable)>", printable) == .right)
    for scalar in printable.unicodeScalars where scalar != " " {
        let verdict = try judge(grader, "<a\(scalar)b>", "a\(scalar)b")
        #expect(verdict.outcome == .right, "\(verdict.reason)")
        #expect(try outcome(grader, "<a\(scalar == "!" ? "?" : "!")b>", "a\(scalar)b") == .wrong)
    }
    #expect(try outcome(grader, "<naïve 漢字>", "naïve 漢字") == .right)
}

@Test func `format must match the whole completion`() throws {
    let grader = options(.format) { $0.pattern = "<think>(?s:.*)</think> ?<answer>[0-9]+</answer>" }
    #expect(try outcome(grader, "<think>a\nb</think><answer>5</answer>", "ignored") == .right)
    #expect(try outcome(grader, "so <think>a</think><answer>5</answer>", "5") == .wrong)
    #expect(try outcome(grader, "<think>a</think><answer>5</answer> bye", "5") == .wrong)
}

@Test func `a text too long for a pattern is no verdict`() throws {
    let grader = options(.regex) { $0.pattern = "a" }
    #expect(try outcome(grader, String(repeating: "a", count: Pattern.textBytesLimit), "") == .right)
    let verdict = try judge(grader, String(repeating: "a", count: Pattern.textBytesLimit + 1), "")
    #expect(verdict.outcome == .noVerdict)
    #expect(verdict.reason == "completion has 16385 bytes; patterns are matched up to 16384")
}

private func part(_ verifier: VerifierOptions, weight: Double, required: Bool = false) -> VerifierOptions.Part {
    var part = VerifierOptions.Part()
    part.verifier = verifier
    part.weight = weight
    part.required = required
    return part
}

private let tagged = options(.format) { $0.pattern = "(?s).*<answer>.*</answer>" }

@Test func `a weighted sum adds scores and is right when every required part is`() throws {
    let grader = options(.weightedSum) {
        $0.parts = [part(options(.numeric, .answerTag), weight: 0.75, required: true), part(tagged, weight: 0.25)]
    }
    let right = try judge(grader, "so <answer>5</answer>", "5")
    #expect(right.outcome == .right && right.score == 1)
    let formatted = try judge(grader, "so <answer>6</answer>", "5")
    #expect(formatted.outcome == .wrong && formatted.score == 0.25)
    #expect(formatted.reason.hasPrefix("numeric: <answer> content is 6, expected 5; format: completion matches"))
    let neither = try judge(grader, "5", "5")
    #expect(neither.outcome == .wrong && neither.score == 0)
    let unrequired = options(.weightedSum) {
        $0.parts = [part(options(.numeric, .lastNumber), weight: 1, required: true), part(tagged, weight: 0.5)]
    }
    let plain = try judge(unrequired, "5", "5")
    #expect(plain.outcome == .right && plain.score == 1)
}

@Test func `a part without a verdict leaves the sum without one`() throws {
    let grader = options(.weightedSum) {
        $0.parts = [part(tagged, weight: 1, required: true), part(options(.numeric, .lastNumber), weight: 1)]
    }
    let verdict = try judge(grader, "<answer>5</answer>", "abc")
    #expect(verdict.outcome == .noVerdict)
    #expect(verdict.reason == "numeric: the known answer \"abc\" is not a number")
}

@Test func `every kind has a row and makes a verifier`() throws {
    for kind in VerifierOptions.Kind.allCases { #expect(VerifierRow.all.filter { $0.kind == kind }.count == 1) }
}

@Test func `what cannot be made says which option and why`() {
    #expect(failure(options(.regex)) == "verifier regex: `pattern` is empty; give a regular expression")
    let broken = failure(options(.regex) { $0.pattern = "(a" })
    #expect(broken?.hasPrefix("verifier regex: `pattern` \"(a\" is not a regular expression: ") == true)
    #expect(broken?.contains("\n") == false)
    #expect(
        failure(options(.format) { $0.pattern = "{answer}" })
            == "verifier format: `pattern` holds {answer}, which only `kind: regex` replaces")
    #expect(
        failure(options(.numeric) { $0.tolerance = -1 })
            == "verifier numeric: `tolerance` is -1.0; expected a number that is 0 or more")
    #expect(failure(options(.numeric) { $0.tolerance = .nan })?.contains("`tolerance` is nan") == true)
    #expect(failure(options(.numeric) { $0.tolerance = .infinity })?.contains("`tolerance` is inf") == true)
    #expect(failure(options(.numeric) { $0.units = [" "] })?.contains("`units` holds an empty unit") == true)
    #expect(failure(options(.choice) { $0.choices = ["A", ""] })?.contains("empty label") == true)
    #expect(failure(options(.choice) { $0.choices = ["A", "A"] })?.contains("\"A\" twice") == true)
    let folded = options(.choice) {
        $0.choices = ["a", "A"]
        $0.ignoreCase = true
    }
    #expect(failure(folded)?.contains("\"A\" twice") == true)
    #expect(failure(options(.exact, .afterMarker) { $0.marker = "" })?.contains("`marker` is empty") == true)
    #expect(failure(options(.weightedSum)) == "verifier weighted_sum: `parts` is empty; name at least one verifier")
}

@Test func `an option that a kind does not use is refused, not ignored`() {
    let unused: [VerifierOptions] = [
        options(.exact) { $0.tolerance = 0.1 }, options(.exact) { $0.units = ["$"] },
        options(.exact) { $0.choices = ["A"] },
        options(.exact) { $0.pattern = "a" }, options(.numeric) { $0.ignoreCase = true },
        options(.choice) { $0.tolerance = 0.1 }, options(.exact) { $0.parts = [part(tagged, weight: 1)] },
        options(.format, .boxed) { $0.pattern = "a" }, options(.exact) { $0.marker = "=>" },
        options(.regex) {
            $0.pattern = "a"
            $0.ignoreCase = true
        },
    ]
    for case let options in unused { #expect(failure(options)?.contains("has no meaning") == true, "\(options)") }
    #expect(
        failure(unused[0])
            == "verifier exact: `tolerance` has no meaning here; remove it, or choose a kind that uses it")
}

@Test func `a broken part names its place`() {
    let grader = options(.weightedSum) {
        $0.parts = [part(tagged, weight: 1, required: true), part(options(.regex) { $0.pattern = "[" }, weight: 1)]
    }
    #expect(failure(grader)?.hasPrefix("verifier regex: `parts[1].verifier.pattern` \"[\"") == true)
    let loose = options(.weightedSum) { $0.parts = [part(tagged, weight: 1)] }
    #expect(failure(loose)?.contains("no required part") == true)
    let infinite = options(.weightedSum) { $0.parts = [part(tagged, weight: .infinity, required: true)] }
    #expect(failure(infinite)?.contains("`parts[0].weight` is inf") == true)
    var shuffled = tagged
    shuffled.shuffle = true
    let inner = options(.weightedSum) { $0.parts = [part(shuffled, weight: 1, required: true)] }
    #expect(failure(inner)?.contains("`parts[0].verifier.shuffle`") == true)
    var deep = tagged
    for _ in 0..<20 {
        let inside = deep
        deep = options(.weightedSum) { $0.parts = [part(inside, weight: 1, required: true)] }
    }
    #expect(failure(deep)?.contains("nested more than 8 deep") == true)
}
