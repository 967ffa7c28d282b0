// Exact answers, and the parts of a completion that can be judged.

import Rollouts
import Testing

@testable import Verifiers

@Test func `exact compares trimmed texts, with or without regard to case`() throws {
    #expect(try outcome(options(.exact), "  odd\n", "odd ") == .right)
    #expect(try outcome(options(.exact), "Odd", "odd") == .wrong)
    #expect(try outcome(options(.exact) { $0.ignoreCase = true }, "ODD", "odd") == .right)
    #expect(try outcome(options(.exact), "odd.", "odd") == .wrong)
    #expect(try outcome(options(.exact), "29, 32, 81", "29, 32, 81") == .right)
    #expect(try outcome(options(.exact), "29,32,81", "29, 32, 81") == .wrong)
    // The same letter in two encodings is one letter.
    #expect(try outcome(options(.exact), "caf\u{E9}", "cafe\u{301}") == .right)
    #expect(try judge(options(.exact), "even", "odd").reason == "completion is \"even\", expected \"odd\"")
}

@Test func `an empty completion is wrong and an empty known answer is no verdict`() throws {
    for kind in [VerifierOptions.Kind.exact, .numeric, .choice] {
        #expect(try outcome(options(kind), " \n ", kind == .choice ? "B" : "1") == .wrong)
        #expect(try outcome(options(kind), "1", " ") == .noVerdict)
    }
    let everything = options(.regex) { $0.pattern = ".*" }
    #expect(try outcome(everything, "", "") == .wrong)
    #expect(try outcome(options(.format) { $0.pattern = "(?s).*" }, "\n", "") == .wrong)
}

@Test func `each extraction takes exactly its part`() {
    func extract(_ kind: VerifierOptions.Extract, _ text: String, marker: String = "####") -> Extracted {
        Extraction(options(.exact, kind) { $0.marker = marker })(text)
    }
    #expect(extract(.whole, " a b ") == .text("a b"))
    #expect(extract(.lastNumber, "1 then −2.5 apples") == .text("-2.5"))
    #expect(extract(.firstNumber, "1 then 2") == .text("1"))
    #expect(extract(.lastLine, "a\r\n b \r\n \r\n") == .text("b"))
    #expect(extract(.afterMarker, "x => 1 => 2 ", marker: "=>") == .text("2"))
    #expect(extract(.afterMarker, "nothing", marker: "=>") == .missing("found no text after \"=>\""))
    #expect(extract(.boxed, "\\boxed{a}") == .text("a"))
    #expect(extract(.boxed, "\\boxed{}") == .missing("the \\boxed content is empty"))
    #expect(extract(.answerTag, "<answer>a</answer> <answer> b\nc </answer>") == .text("b\nc"))
    #expect(extract(.answerTag, "<answer>a") == .missing("found no <answer> content"))
    #expect(extract(.answerTag, "a</answer>") == .missing("found no <answer> content"))
    #expect(extract(.answerTag, "<answer>1 <answer>2</answer>") == .text("2"))
}

@Test func `boxes are found with balanced braces, the last complete one`() {
    #expect(lastBoxed("\\boxed{\\frac{1}{2}}") == "\\frac{1}{2}")
    #expect(lastBoxed("\\boxed{1} \\boxed{2") == "1")
    #expect(lastBoxed("\\boxed{1} \\boxed{2} {3}") == "2")
    #expect(lastBoxed("{ { \\boxed{5}") == "5")
    #expect(lastBoxed("} \\boxed{5} }") == "5")
    #expect(lastBoxed("\\boxed{\\{1, 2\\}}") == "\\{1, 2\\}")
    #expect(lastBoxed("\\boxed{\\boxed{7}}") == "7")
    #expect(lastBoxed("boxed{5}") == nil)
    #expect(lastBoxed("\\boxed{5") == nil)
    #expect(lastBoxed("\\") == nil)
    #expect(lastBoxed(String(repeating: "\\boxed{", count: 20_000)) == nil)
}

@Test func `naturals multiply, add and subtract across limbs`() {
    func natural(_ text: String) -> Natural { Natural(digits: text.utf8.map { $0 - 48 }) }
    let big = natural("999999999999999999")
    #expect(big * big == natural("999999999999999998000000000000000001"))
    #expect(big + .one == natural("1000000000000000000"))
    #expect(Natural.distance(natural("1000000000000000000"), .one) == big)
    #expect(Natural.distance(.one, natural("1000000000000000000")) == big)
    #expect(natural("000") == natural("0") && natural("0").isZero)
    #expect(natural("0") * big == natural("0"))
    #expect(big < natural("1000000000000000000") && !(big < big))
    #expect(Natural.powerOfTen(18) == natural("1000000000000000000"))
}
