// How a JSONL file is read: one object a line, one line at a time.

import Foundation

/// The rows of a JSONL file, gzip or not, in order. Blank lines are skipped; a byte-order mark is allowed.
package func jsonLines(path: String) throws(DatasetError) -> JSONLineReader {
    try JSONLineReader(path: path)
}

/// Reads one row at a time, so that a file need not fit into memory. Not shared between threads.
package final class JSONLineReader {
    /// Longest line; a compressed file cannot make us take more memory than this.
    package static let lineBytesLimit = 64 << 20

    package let path: String
    /// The line that `next` returned last, from 1.
    package private(set) var lineNumber = 0
    private let stream: ByteStream?
    private var buffer: [UInt8] = []
    /// Start of the first line not yet returned.
    private var position = 0
    private var isAtEnd = false

    init(path: String) throws(DatasetError) {
        self.path = path
        stream = try ByteStream(path: path)
    }

    /// Reads text that is in memory already.
    /// - Parameter path: what errors call it.
    package init(bytes: [UInt8], path: String) {
        self.path = path
        stream = nil
        buffer = bytes
    }

    /// The next row; nil at the end.
    package func next() throws(DatasetError) -> [String: JSONValue]? {
        while var line = try nextLine() {
            lineNumber += 1
            if lineNumber == 1 && line.starts(with: [0xEF, 0xBB, 0xBF]) { line = line.dropFirst(3) }
            if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
            guard String(validating: line, as: UTF8.self) != nil else { throw error("is not UTF-8") }
            switch JSONParser.parse(line) {
            case .success(.object(let fields)): return fields
            case .success(let value): throw error("expected a JSON object, found \(value.kindName)")
            case .failure(let failure): throw error("not JSON at byte \(failure.column): \(failure.reason)")
            }
        }
        return nil
    }

    /// All rows that are left.
    package func remainingRows() throws(DatasetError) -> [[String: JSONValue]] {
        var rows: [[String: JSONValue]] = []
        while let row = try next() { rows.append(row) }
        return rows
    }

    /// The text of a field of the row returned last: a string, or a number as written.
    package func text(of field: String, in row: [String: JSONValue]) throws(DatasetError) -> String {
        guard let value = row[field] else { throw missing(field, in: row) }
        guard let text = value.text else { throw bad(field, found: value.kindName, expected: "a string or a number") }
        return text
    }

    func missing(_ field: String, in row: [String: JSONValue]) -> DatasetError {
        let present = row.keys.sorted().map { "`\($0)`" }.joined(separator: ", ")
        return bad(field, found: "nothing", expected: "one of the row's fields: \(present.isEmpty ? "none" : present)")
    }

    func bad(_ field: String, found: String, expected: String) -> DatasetError {
        .badField(path: path, line: lineNumber, field: field, found: found, expected: expected)
    }

    private func error(_ reason: String) -> DatasetError { .badLine(path: path, line: lineNumber, reason: reason) }

    /// Bytes up to the next line feed or the end; nil at the end.
    private func nextLine() throws(DatasetError) -> ArraySlice<UInt8>? {
        var searched = position
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { position = end + 1 }
                return buffer[position..<end]
            }
            if isAtEnd {
                defer { position = buffer.count }
                return position < buffer.count ? buffer[position...] : nil
            }
            buffer.removeSubrange(..<position)
            position = 0
            searched = buffer.count
            if buffer.count > Self.lineBytesLimit {
                let reason = "is longer than \(Self.lineBytesLimit) bytes; is it JSONL?"
                throw .badLine(path: path, line: lineNumber + 1, reason: reason)
            }
            guard let chunk = try stream?.read(), !chunk.isEmpty else {
                isAtEnd = true
                continue
            }
            buffer.append(contentsOf: chunk)
        }
    }
}
