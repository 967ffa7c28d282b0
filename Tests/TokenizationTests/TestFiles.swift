// Where do tests find their files, and how are they opened?
import Foundation
import Testing
import Tokenization

enum TestFiles {
    static let packageRoot = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    static let vocabularies = packageRoot.appendingPathComponent("../shared/data/tokenizer").standardizedFileURL
    static let smolLM2 = packageRoot.appendingPathComponent("models/SmolLM2-135M-Instruct.Q4_1.gguf")

    static let hasVocabularies = present(vocabularies, "the .tiktoken vectors are not run")
    static let hasSmolLM2 = present(smolLM2, "the SmolLM2 vectors are not run")

    private static func present(_ url: URL, _ consequence: String) -> Bool {
        let exists = FileManager.default.fileExists(atPath: url.path)
        if !exists { print("\(url.path) is not there: \(consequence)") }
        return exists
    }

    static func fixture(_ name: String) throws -> URL {
        try #require(Bundle.module.url(forResource: "Fixtures", withExtension: nil)).appendingPathComponent(name)
    }

    static func unzipped(_ url: URL) throws -> Data {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["gzip", "-dc", url.path]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "gzip -dc \(url.path)")
        return data
    }

    /// One JSON value a line.
    static func lines<Row: Decodable>(_ data: Data, of type: Row.Type) throws -> [Row] {
        try data.split(separator: 0x0A).map { try JSONDecoder().decode(Row.self, from: Data($0)) }
    }
}

/// The tokenizer fields of a GGUF file: just enough of the format for these tests.
struct GGUFMetadata {
    enum Value {
        case number(Int)
        case string(String)
        case list([Value])
        case other

        var string: String? { if case .string(let text) = self { text } else { nil } }
        var number: Int? { if case .number(let value) = self { value } else { nil } }
        var strings: [String] { if case .list(let items) = self { items.compactMap(\.string) } else { [] } }
        var numbers: [Int] { if case .list(let items) = self { items.compactMap(\.number) } else { [] } }
    }

    private(set) var fields: [String: Value] = [:]
    private let data: Data
    private var offset = 0

    init(_ url: URL) throws {
        data = try Data(contentsOf: url, options: .alwaysMapped)
        try #require(data.prefix(4) == Data("GGUF".utf8))
        offset = 16
        let count = unsigned(8)
        for _ in 0..<count {
            let key = text()
            fields[key] = value(unsigned(4))
        }
    }

    private mutating func unsigned(_ width: Int) -> Int {
        defer { offset += width }
        return (0..<width).reduce(0) { $0 | Int(data[offset + $1]) << (8 * $1) }
    }

    private mutating func text() -> String {
        let length = unsigned(8)
        defer { offset += length }
        return String(decoding: data[offset..<offset + length], as: UTF8.self)
    }

    private mutating func value(_ type: Int) -> Value {
        switch type {
        case 0, 1, 7: return .number(unsigned(1))
        case 2, 3: return .number(unsigned(2))
        case 4, 5: return .number(unsigned(4))
        case 10, 11: return .number(unsigned(8))
        case 6, 12:
            offset += type == 6 ? 4 : 8
            return .other
        case 8: return .string(text())
        default:
            let element = unsigned(4)
            let count = unsigned(8)
            return .list((0..<count).map { _ in value(element) })
        }
    }

    func tokenizer() throws -> Tokenizer {
        func id(_ name: String) -> Int32? { fields["tokenizer.ggml.\(name)_token_id"]?.number.map { Int32($0) } }
        return try Tokenizer.gguf(
            model: fields["tokenizer.ggml.model"]?.string ?? "", pre: fields["tokenizer.ggml.pre"]?.string ?? "",
            tokens: fields["tokenizer.ggml.tokens"]?.strings ?? [],
            tokenTypes: fields["tokenizer.ggml.token_type"]?.numbers.map { Int32($0) } ?? [],
            merges: fields["tokenizer.ggml.merges"]?.strings ?? [], bos: id("bos"), eos: id("eos"),
            unknown: id("unknown"), padding: id("padding"),
            addBOS: fields["tokenizer.ggml.add_bos_token"]?.number.map { $0 != 0 },
            chatTemplate: fields["tokenizer.chat_template"]?.string)
    }
}
