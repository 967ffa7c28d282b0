// What a measuring process says: names and numbers, as the last line of its output.

import Foundation

/// Lists of numbers by name; a single number is a list of one.
public struct Readings: Equatable, Sendable {
    public private(set) var values: [String: [Double]]

    public init(_ values: [String: [Double]] = [:]) { self.values = values }

    public subscript(name: String) -> [Double] {
        get { values[name] ?? [] }
        set { values[name] = newValue }
    }

    /// Adds another process's numbers to these.
    public mutating func append(_ other: Readings) {
        values.merge(other.values) { $0 + $1 }
    }

    public func spread(_ name: String) -> Spread? { Spread(self[name]) }

    /// Of the last line that is not empty.
    public init(output: String) throws(ReadingsError) {
        guard let line = output.split(whereSeparator: \.isNewline).last(where: { !$0.allSatisfy(\.isWhitespace) })
        else { throw ReadingsError(line: "") }
        guard let object = try? JSONDecoder().decode([String: Reading].self, from: Data(line.utf8)) else {
            throw ReadingsError(line: String(line.prefix(200)))  // whatever is wrong with it, the line says more
        }
        values = object.mapValues(\.numbers)
    }

    public var line: String {
        let fields = values.keys.sorted().map { name in
            "\"\(name)\":[\(values[name]!.map { "\($0)" }.joined(separator: ","))]"
        }
        return "{\(fields.joined(separator: ","))}"
    }

    private struct Reading: Decodable {
        var numbers: [Double]
        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let number = try? container.decode(Double.self) {  // otherwise it is a list
                numbers = [number]
            } else {
                numbers = try container.decode([Double].self)
            }
        }
    }
}

public struct ReadingsError: Error, Equatable, CustomStringConvertible {
    public let line: String
    public init(line: String) { self.line = line }
    public var description: String {
        "expected a JSON object of numbers in the last line of the output, found `\(line)`"
    }
}
