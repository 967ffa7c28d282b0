// JSON as files have it, and as they should not.

import Testing

@testable import Datasets

private func parse(_ text: String) -> JSONValue? {
    if case .success(let value) = JSONParser.parse(Array(text.utf8)[...]) { value } else { nil }
}

private func reason(_ text: String) -> String? {
    if case .failure(let failure) = JSONParser.parse(Array(text.utf8)[...]) {
        "\(failure.column): \(failure.reason)"
    } else {
        nil
    }
}

@Test func `values of every kind are read, numbers with the digits they were written with`() {
    #expect(parse(" null ") == .null)
    #expect(parse("[true, false]") == .array([.bool(true), .bool(false)]))
    for number in ["0", "-0", "1.50", "12345678901234567890123", "-1.5e-07", "1E+2"] {
        #expect(parse(number) == .number(number))
    }
    #expect(parse("{\"a\": {\"b\": [1, \"x\"]}, \"c\": {}, \"d\": []}") == .object([
        "a": .object(["b": .array([.number("1"), .string("x")])]), "c": .object([:]), "d": .array([]),
    ]))
}

@Test func `strings are read with all their escapes`() {
    #expect(parse(#""a\"\\\/\b\f\n\r\t""#) == .string("a\"\\/\u{8}\u{C}\n\r\t"))
    #expect(parse(#""\u00e9\ud83d\ude00\u0000""#) == .string("é😀\0"))
    #expect(parse("\"é😀\"") == .string("é😀"))
}

@Test(arguments: [
    ("", "1: the value is missing; the line may be cut short"), ("{\"a\": 1", "8: expected \",\" or \"}\""),
    ("{\"a\" 1}", "6: expected \":\" after a field name"), ("{a: 1}", "2: expected a field name in quotes"),
    ("{\"a\": 1,}", "9: expected a field name in quotes"), ("[1, 2", "6: expected \",\" or \"]\""),
    ("[1,]", "4: expected a JSON value"), ("01", "2: unexpected text after the value"), ("1.", "3: expected a digit"),
    ("-", "2: expected a digit"), ("1e", "3: expected a digit"), ("+1", "1: expected a JSON value"),
    ("NaN", "1: expected a JSON value"), ("tru", "4: expected true"), ("\"a", "3: a string does not end"),
    ("\"a\\", "4: a string does not end"), ("\"\\x\"", "4: unknown escape in a string"),
    ("\"\\u12g4\"", "6: expected four hexadecimal digits after \\u"),
    ("\"\\ud800\"", "8: half of a surrogate pair in a string"),
    ("\"\\udc00\"", "8: half of a surrogate pair in a string"),
    ("\"\\ud800\\u0041\"", "14: half of a surrogate pair in a string"),
    ("\"a\tb\"", "3: a control character stands in a string; write it as \\u00XX"),
    ("{\"a\": 1, \"a\": 2}", "16: field \"a\" stands twice"), ("{} {}", "4: unexpected text after the value"),
])
func `what is not JSON is refused with its place`(text: String, expected: String) {
    #expect(reason(text) == expected)
}

@Test func `deep nesting is refused before the stack ends`() {
    let deep = String(repeating: "[", count: 100_000)
    #expect(reason(deep)?.contains("nested more than 128 deep") == true)
    let allowed = String(repeating: "[", count: 128) + String(repeating: "]", count: 128)
    #expect(parse(allowed) != nil)
}
