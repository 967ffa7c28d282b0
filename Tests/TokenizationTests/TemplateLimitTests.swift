// Does a hostile or mistaken template end in a message, in bounded time and memory?
import Foundation
import Testing

@testable import Tokenization

/// With less work allowed than in earnest, so that the tests that use it all up are quick.
func render(_ template: String, _ variables: [(String, TemplateValue)] = []) throws -> String {
    let date = CalendarDate(year: 2024, month: 7, day: 26)
    return try ChatTemplate(template).render(variables, date: date, limits: .init(work: 1 << 17)).string
}

private func problem(_ template: String, _ variables: [(String, TemplateValue)] = []) -> String? {
    do {
        _ = try render(template, variables)
        return nil
    } catch { return "\(error)" }
}

/// A value that holds itself twice, sixty levels deep.
private let grows = "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = "

@Test func `a template's own complaint reaches the caller with its line`() {
    #expect(
        problem("a\n{{ raise_exception('roles must alternate') }}") == "chat template, line 2: roles must alternate")
}

@Test(arguments: [
    ("{% include 'x' %}", "line 1: the tag `include` is not supported here"),
    ("\n{{ a | frobnicate }}", "line 2: the filter `frobnicate` is not supported"),
    ("{{ 1 is prime }}", "line 1: the test `prime` is not supported"),
    ("{{ 'a'.encode() }}", "line 1: the method `encode` of a string is not supported here"),
    ("{{ [].append(1) }}", "line 1: the method `append` of a list is not supported"),
    ("{{ nothing.deeper }}", "line 1: `nothing` is not defined"),
    ("{{ nothing() }}", "line 1: `nothing` is not defined"),
    ("{{ 1 + 'a' }}", "line 1: `+` between a number and a string, or its result is out of range"),
    ("{{ 1 // 0 }}", "line 1: `//` between a number and a number, or its result is out of range"),
    ("{{ 9223372036854775807 + 1 }}", "line 1: `+` between a number and a number, or its result is out of range"),
    ("{{ 9223372036854775808 }}", "line 1: the number `9223372036854775808` is too large"),
    ("\n\n{% if x %}", "line 3: no `endif` to the end"),
    ("{{ 'open }}", "line 1: a string without its end"),
    ("{{ a ", "line 1: a tag without its end"),
    ("{{ a b }}", "line 1: expected `}}`, found `b`"),
    ("{# open", "line 1: a comment without its end `#}`"),
    ("{{ (1 }}", "line 1: unexpected `}`"),
    ("{% for a, b in [1] %}{% endfor %}", "line 1: a number cannot be gone through"),
    ("{% for x in 5 %}{% endfor %}", "line 1: a number cannot be gone through"),
    ("{{ strftime_now('%Q') }}", "line 1: the date format `%Q` is not supported"),
    ("{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "line 1: `m` takes 1 arguments, found 2"),
    ("{% endif %}", "line 1: the tag `endif` is not supported here"),
    ("{% break %}", "line 1: `break` or `continue` outside a loop"),
    ("{{ range(9223372036854775807) }}", "line 1: `range` from 0 to 9223372036854775807 by 1"),
    ("{{ 'x'[::0] }}", "line 1: a slice with step 0"),
    ("{% set a.b = 1 %}", "line 1: `a` is `a`, which is not defined, not a namespace"),
])
func `what a template may not do is named with its line`(template: String, expected: String) {
    #expect(problem(template) == "chat template, " + expected)
}

@Test(arguments: [
    "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
    "{{ range(1000000000) | list }}",
    "{{ 'x' * 1000000000 }}",
    "{% set ns = namespace(s='xx') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(64) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
    grows + "[ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
    grows + "[ns.l, ns.l] %}{% endfor %}{{ ns.l == ns.l }}",
    grows + "{'a': ns.l, 'b': ns.l} %}{% endfor %}{{ ns.l | tojson }}",
    "{% set ns = namespace(s='aa') %}{% for i in range(64) %}{% set ns.s = ns.s | replace('a', 'aa') %}{% endfor %}",
    "{{ '%s' * 3 | join('x' * 99999999) }}",
])
func `a template that would take forever is stopped`(template: String) {
    #expect(problem(template)?.contains("does more work than") == true, "\(template)")
}

@Test(arguments: [
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% set ns = namespace(l=[]) %}{% for i in range(100) %}{% set ns.l = [ns.l] %}{% endfor %}",
    "{{ " + String(repeating: "(", count: 5000) + "1" + String(repeating: ")", count: 5000) + " }}",
    "{{ 1" + String(repeating: " + 1", count: 5000) + " }}",
    "{{ " + String(repeating: "not ", count: 5000) + "1 }}",
    "{{ " + String(repeating: "-", count: 5000) + "1 }}",
    "{{ x" + String(repeating: ".x", count: 5000) + " }}",
    "{{ x" + String(repeating: " | trim", count: 5000) + " }}",
    String(repeating: "{% if x %}", count: 5000),
    "{{ " + String(repeating: "[", count: 5000) + String(repeating: "]", count: 5000) + " }}",
    "{{ 1" + String(repeating: " if 1 else 1", count: 5000) + " }}",
])
func `a template nested without end is refused`(template: String) {
    #expect(problem(template)?.contains("nested more than") == true, "\(problem(template) ?? "")")
}

@Test func `damaged templates give errors or text, and never trap`() throws {
    // Deterministic damage: characters of one template family moved, doubled, dropped or exchanged.
    var state: UInt64 = 7
    func random(_ limit: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % limit
    }
    let pieces = [
        "{%", "%}", "{{", "}}", "-", "|", "(", ")", "[", "]", "'", "\"", "\\", ":", ",", ".", "not ", "in ", "0", "\n",
    ]
    let message = TemplateValue.dictionary(
        TemplateDictionary([("role", .string("user")), ("content", .string("hi</think>x"))]))
    var rendered = 0
    for family in try templateFamilies() {
        for _ in 0..<150 {
            var scalars = Array(family.template.unicodeScalars)
            for _ in 0...random(4) {
                let place = random(scalars.count)
                switch random(3) {
                case 0: scalars.remove(at: place)
                case 1: scalars.insert(contentsOf: pieces[random(pieces.count)].unicodeScalars, at: place)
                default: scalars.removeSubrange(place..<min(place + random(40), scalars.count))
                }
            }
            var text = String.UnicodeScalarView()
            text.append(contentsOf: scalars)
            let result = problem(
                String(text), [("messages", .list(TemplateList([message]))), ("add_generation_prompt", .bool(true))])
            if result == nil { rendered += 1 }
        }
    }
    #expect(rendered > 0 && rendered < 600)
}
