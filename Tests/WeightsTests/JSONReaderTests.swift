// Is JSON read as the standard says, and nothing else taken for it?

import Testing

@testable import Weights

@Suite struct JSONReaderTests {
    private func read(_ text: String) throws -> JSONValue {
        try JSONReader.read(Array(text.utf8), file: "f", subject: "s")
    }

    @Test func `values of every kind`() throws {
        let value = try read(" {\"a\" : [1, -0, 2.5e+3, true, false, null, \"x\"], \"b\":{}, \"c\":[] }\n")
        #expect(value.object?["a"]?.array?.map(\.double) == [1, 0, 2500, nil, nil, nil, nil])
        #expect(value.object?["a"]?.array?[3].bool == true && value.object?["a"]?.array?[5] == .null)
        #expect(value.object?["b"] == .object([:]) && value.object?["c"] == .array([]))
        #expect(try read("9007199254740993").integer == 9_007_199_254_740_993)
        #expect(try read("1e3").integer == 1000 && read("1.5").integer == nil && read("1e300").integer == nil)
    }

    @Test func `escapes`() throws {
        #expect(try read(#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é""#) == .string("\"\\/\u{8}\u{c}\n\r\té😀é"))
    }

    @Test(arguments: [
        "", "{", "[1,]", "[1 2]", "{\"a\"}", "{\"a\":1,\"a\":2}", "01", "1.", ".5", "1e", "+1", "-", "nul", "'a'",
        "\"a",
        "\"\n\"", #""\x""#, #""\u12g4""#, #""\ud800""#, #""\ud800A""#, #""\udc00""#, "NaN", "1 2", "\u{feff}1",
        "{1:2}",
        #""\u+123""#,
    ])
    func `is refused`(text: String) {
        #expect(throws: WeightsError.self) { try read(text) }
    }

    @Test func `nesting ends at 64`() throws {
        let deep = { (count: Int) in String(repeating: "[", count: count) + String(repeating: "]", count: count) }
        #expect(try read(deep(64)).array != nil)
        #expect(throws: WeightsError.self) { try read(deep(65)) }
        #expect(throws: WeightsError.self) { try read(String(repeating: "[", count: 100_000)) }
    }

    @Test func `what is written is read back`() throws {
        let value = JSONValue.object([
            "text": .string("a\"\\\u{1}é"), "list": .array([.integer(-3), .double(1e-5), .bool(true), .null]),
            "none": .array([]), "object": .object(["x": .object([:])]),
        ])
        #expect(try read(value.serialized()) == value)
    }
}
