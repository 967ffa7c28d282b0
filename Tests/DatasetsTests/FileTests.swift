// Files: what is read from them, and one clear line for everything that is wrong with them.

import Foundation
import Rollouts
import Testing

@testable import Datasets

@Test func `a compressed file in GSM8K's form works unchanged`() throws {
    let dataset = try load(
        [file(fixture("word_problems.jsonl.gz")) {
            $0.promptField = "question"
            $0.answerAfter = "####"
        }], share: 0)
    #expect(dataset.training.map(\.answer) == ["21", "12,000", "3"])
    #expect(dataset.training[2].text == "Tom has 5 marbles and gives 2 away. How many are left?")
    #expect(dataset.training[2].messages == [ChatMessage(role: "user", content: dataset.training[2].text)])
    #expect(dataset.training.map(\.identifier) == (1...3).map { "word_problems.jsonl.gz:\($0)" })
}

@Test(.enabled(if: hasSharedFile("gsm8k/train.jsonl.gz"), "needs ../shared/data/gsm8k"))
func `all of GSM8K's training rows are read and their answers equal the published finals`() throws {
    let path = sharedFile("gsm8k/train.jsonl.gz")
    let dataset = try load(
        [file(path) {
            $0.promptField = "question"
            $0.answerAfter = "####"
        }], share: 0)
    #expect(dataset.training.count == 7473)
    let finals = try jsonLines(path: path).remainingRows().map { $0["final"]?.text }
    #expect(dataset.training.map { $0.answer.replacing(",", with: "") } == finals)
    let split = try load(
        [file(path) {
            $0.promptField = "question"
            $0.answerAfter = "####"
        }])
    // 7,473 · 0.2 = 1,495 with a standard deviation of 35.
    #expect(split.heldOut.count > 1350 && split.heldOut.count < 1640)
}

@Test func `rows are filtered, numbers stay as written, blank lines and a byte-order mark are allowed`() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(
        "\u{FEFF}{\"prompt\": 12, \"answer\": 1.50, \"kind\": true}\r\n\r\n"
            + "{\"prompt\": \"b\", \"answer\": \"x\", \"kind\": \"true\"}\n  \n{\"prompt\": \"c\", \"answer\": 3}")
    let all = try load([file(path)], share: 0).training
    #expect(all.map(\.text) == ["12", "b", "c"])
    #expect(all.map(\.answer) == ["1.50", "x", "3"])
    #expect(all.map(\.identifier) == ["rows.jsonl:1", "rows.jsonl:3", "rows.jsonl:5"])
    let filtered = try load(
        [file(path) {
            $0.filterField = "kind"
            $0.filterValue = "true"
        }], share: 0).training
    #expect(filtered.map(\.text) == ["12", "b"])
    let unanswered = try load([file(path) { $0.answerField = "" }], share: 0).training
    #expect(unanswered.map(\.answer) == ["", "", ""])
}

@Test func `the answer is what follows the last marker, trimmed`() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("{\"prompt\": \"a\", \"answer\": \"x => 1 => 2 \\n\"}")
    #expect(try load([file(path) { $0.answerAfter = "=>" }], share: 0).training[0].answer == "2")
    #expect(try load([file(path)], share: 0).training[0].answer == "x => 1 => 2 \n")
}

@Test func `conversations keep their turns and the template takes the last`() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(
        #"{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes?"}, "#
            + #"{"role": "user", "content": "2+2?"}], "answer": 4}"#)
    let row = try load(
        [file(path) {
            $0.promptField = "messages"
            $0.template = "Q: {prompt}"
        }], share: 0
    ).training[0]
    #expect(row.messages.map(\.content) == ["hi", "yes?", "Q: 2+2?"])
    #expect(row.messages.map(\.role) == ["user", "assistant", "user"])
    #expect(row.text == "user: hi\nassistant: yes?\nuser: 2+2?")
}

@Test func `sources that share a file name are told apart`() throws {
    let folder = try TemporaryFolder()
    let line = #"{"prompt": "a", "answer": 1, "kind": "x"}"# + "\n" + #"{"prompt": "b", "answer": 1, "kind": "y"}"#
    let first = try folder.write(line, to: "a.jsonl")
    try FileManager.default.createDirectory(atPath: "\(folder.path)/sub", withIntermediateDirectories: true)
    let second = try folder.write(line, to: "sub/a.jsonl")
    #expect(try load([file(first), file(second)], share: 0).training.map(\.source) == [first, first, second, second])
    func part(_ value: String) -> DataSource {
        file(first) {
            $0.filterField = "kind"
            $0.filterValue = value
        }
    }
    #expect(try load([part("x"), part("y")], share: 0).training.map(\.source) == ["a.jsonl[x]", "a.jsonl[y]"])
}

@Test func `long lines and many rows come through in pieces`() throws {
    let folder = try TemporaryFolder()
    let long = String(repeating: "é", count: 100_000)
    let path = try folder.write("{\"a\": \"\(long)\"}\n{\"a\": \"x\"}\n{\"a\": \"\(long)\"}")
    let rows = try jsonLines(path: path).remainingRows()
    #expect(rows.map { $0["a"]?.text } == [long, "x", long])
    let reader = try jsonLines(path: path)
    #expect(reader.lineNumber == 0)
    _ = try reader.next()
    #expect(try reader.next()?["a"] == .string("x"))
    #expect(reader.lineNumber == 2)
}

@Test func `a reader that is left in the middle of a compressed file ends quietly`() throws {
    for _ in 0..<3 {
        let reader = try jsonLines(path: fixture("word_problems.jsonl.gz"))
        #expect(try reader.next()?["question"]?.text?.hasPrefix("A hen") == true)
    }
}

private func failureOfFile(
    _ text: String, system: String? = nil, _ change: (inout DataSource) -> Void = { _ in }
) throws -> String? {
    let folder = try TemporaryFolder()
    let path = try folder.write(text)
    return failure([file(path, change)], system: system)?.replacing(folder.path + "/", with: "")
}

@Test func `every fault in a line names file, line and field`() throws {
    let good = "{\"prompt\": \"a\", \"answer\": \"1\"}\n"
    #expect(
        try failureOfFile(good + "{\"question\": \"a\", \"answer\": \"1\"}")
            == "rows.jsonl line 2: field `prompt`: found nothing, "
            + "expected one of the row's fields: `answer`, `question`")
    #expect(
        try failureOfFile(good + "{\"prompt\": \"a\"}")
            == "rows.jsonl line 2: field `answer`: found nothing, expected one of the row's fields: `prompt`")
    #expect(
        try failureOfFile("{\"prompt\": \"a\", \"answer\": null}")
            == "rows.jsonl line 1: field `answer`: found null, expected a string or a number")
    #expect(
        try failureOfFile("{\"prompt\": \"a\", \"answer\": [1]}")
            == "rows.jsonl line 1: field `answer`: found a list, expected a string or a number")
    #expect(
        try failureOfFile("{\"prompt\": true, \"answer\": 1}")
            == "rows.jsonl line 1: field `prompt`: found true, expected a string or a number")
    #expect(
        try failureOfFile("{\"prompt\": \" \", \"answer\": 1}")
            == "rows.jsonl line 1: field `prompt`: found an empty question, expected some text")
    #expect(
        try failureOfFile(good) { $0.answerAfter = "####" }
            == "rows.jsonl line 1: field `answer`: found no \"####\", expected the answer after \"####\"")
    #expect(
        try failureOfFile("{\"prompt\": \"a\", \"answer\": \"#### \"}") { $0.answerAfter = "####" }
            == "rows.jsonl line 1: field `answer`: found nothing after \"####\", expected the answer after \"####\"")
    #expect(try failureOfFile(good + "[1]") == "rows.jsonl line 2: expected a JSON object, found a list")
    #expect(
        try failureOfFile(good + "\n{\"prompt\": \"a\",")
            == "rows.jsonl line 3: not JSON at byte 16: expected a field name in quotes")
}

@Test func `every fault in a conversation names its turn`() throws {
    func failure(_ messages: String, system: String? = nil) throws -> String? {
        try failureOfFile("{\"prompt\": \(messages), \"answer\": 1}", system: system)
    }
    #expect(
        try failure("[]")
            == "rows.jsonl line 1: field `prompt`: found an empty list, expected turns that end with user")
    #expect(
        try failure("[{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]")
            == "rows.jsonl line 1: field `prompt`: found a conversation that ends with assistant, "
            + "expected turns that end with user")
    #expect(
        try failure("[\"hi\"]")
            == "rows.jsonl line 1: field `prompt[0]`: found a string, "
            + "expected an object with strings `role` and `content`")
    #expect(
        try failure("[{\"role\": \"tool\", \"content\": \"a\"}]")
            == "rows.jsonl line 1: field `prompt[0].role`: found \"tool\", expected system, user or assistant")
    let twoSystems = "[{\"role\": \"system\", \"content\": \"a\"}, {\"role\": \"user\", \"content\": \"b\"}]"
    #expect(try failure(twoSystems) == nil)
    #expect(
        try failure(twoSystems, system: "be brief")
            == "rows.jsonl line 1: field `prompt[0].role`: found a system turn, "
            + "expected none, because the recipe sets data.system; remove one of the two")
}

@Test func `files that hold no rows or cannot be read say so`() throws {
    let folder = try TemporaryFolder()
    func line(_ path: String) -> String? { failure([file(path)])?.replacing(folder.path + "/", with: "") }
    #expect(
        line("\(folder.path)/none.jsonl")
            == "none.jsonl: no such file; paths are relative to the working directory")
    #expect(failure([file(folder.path)]) == "\(folder.path): is a folder, expected a JSONL file")
    #expect(line(try folder.write("")) == "rows.jsonl: is empty, expected one JSON object a line")
    #expect(line(try folder.write("\n \n")) == "rows.jsonl: is empty, expected one JSON object a line")
    let bytes = Array("{\"prompt\": \"a\", \"answer\": 1}\n{\"prompt\": \"".utf8) + [0xFF] + Array("\"}".utf8)
    #expect(line(try folder.write(bytes, to: "rows.jsonl")) == "rows.jsonl line 2: is not UTF-8")
    #expect(
        try failureOfFile("{\"prompt\": \"a\", \"answer\": 1}") {
            $0.filterField = "task"
            $0.filterValue = "x"
        } == "rows.jsonl: no row has task = \"x\"")
    let whole = try Data(contentsOf: URL(fileURLWithPath: fixture("word_problems.jsonl.gz")))
    let cut = try folder.write(Array(whole.prefix(whole.count - 12)), to: "cut.jsonl.gz")
    #expect(
        failure([file(cut) { $0.promptField = "question" }])
            == "\(cut): gzip cannot decompress it; the file is damaged or cut short")
}

@Test func `a recipe's data that makes no sense says which option`() {
    #expect(failure([]) == "data.sources: found none, expected at least one task or file")
    #expect(failure([DataSource()]) == "data.sources[0]: found neither task nor path, expected one of the two")
    var both = task("add_1digit")
    both.path = "x"
    #expect(failure([both]) == "data.sources[0]: found both task and path, expected one of the two")
    let unknown = failure([task("add_9digit")])
    #expect(unknown?.hasPrefix("data.sources[0].task: found \"add_9digit\", expected one of sum_") == true)
    #expect(failure([task("add_1digit", weight: -1)])?.hasPrefix("data.sources[0].weight: found -1.0") == true)
    #expect(failure([task("add_1digit", weight: .nan)])?.hasPrefix("data.sources[0].weight: found nan") == true)
    #expect(
        failure([task("add_1digit", weight: 0)])
            == "data.sources: found no weight above 0, expected at least one source to train on")
    #expect(failure([task("add_1digit", count: 0)]) == "data.sources[0].count: found 0, expected 1 or more")
    var plain = task("add_1digit")
    plain.template = "hello"
    #expect(failure([plain]) == "data.sources[0].template: found \"hello\", expected a text that contains {prompt}")
    #expect(failure([file("x") { $0.filterField = "a" }])?.contains("filter_field and filter_value") == true)
    #expect(
        failure([file("x") { $0.answerAfter = "" }])
            == "data.sources[0].answer_after: found an empty text, expected a marker")
    for share in [-0.1, 1, .nan] {
        #expect(failure([task("add_1digit")], share: share)?.hasPrefix("data.held_out_share: found") == true)
    }
    #expect(
        failure([task("add_1digit", count: 1)], share: 0.9999999)
            == "data.held_out_share: found 0.9999999, which holds out every row of add_1digit, "
            + "expected a smaller share, or a source with more rows")
}
