// How the resolved recipe travels: one JSON document, the same bytes for the same options.

import Foundation
import Rollouts
import Synchronization

enum OptionsDocument {
    /// The last one that was written or read: a run has one, and thousands may join it at a time.
    private static let last = Mutex<(options: RunOptions, bytes: [UInt8])?>(nil)

    static func encode(_ options: RunOptions) -> [UInt8] {
        if let known = last.withLock({ $0 }), known.options == options { return known.bytes }
        let bytes = write(options)
        last.withLock { $0 = (options, bytes) }
        return bytes
    }

    private static func write(_ options: RunOptions) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Which numbers a recipe may hold is for Recipes to say; here they only travel.
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        do {
            return [UInt8](try encoder.encode(options))
        } catch {
            preconditionFailure("OptionsDocument: RunOptions cannot be written as JSON: \(error)")
        }
    }

    static func decode(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> RunOptions {
        guard bytes.count <= WireLimits.optionsBytes else {
            throw WireError(
                .message, "options_json", expected: "at most \(WireLimits.optionsBytes) bytes",
                found: "\(bytes.count)")
        }
        let known = last.withLock { $0 }
        if let known, known.bytes.count == bytes.count,
            known.bytes.withUnsafeBytes({ memcmp($0.baseAddress!, bytes.baseAddress!, bytes.count) }) == 0
        {
            return known.options
        }
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        do {
            return try decoder.decode(RunOptions.self, from: Data(bytes))
        } catch let error as DecodingError {
            throw WireError(
                .message, "options_json", expected: "the options of this release", found: words(for: error))
        } catch {
            throw WireError(.message, "options_json", expected: "a JSON document", found: "\(error)")
        }
    }

    private static func words(for error: DecodingError) -> String {
        func path(_ context: DecodingError.Context, _ last: (any CodingKey)? = nil) -> String {
            (context.codingPath + (last.map { [$0] } ?? [])).map(\.stringValue).joined(separator: ".")
        }
        return switch error {
        case .keyNotFound(let key, let context): "none for `\(path(context, key))`"
        case .typeMismatch(let type, let context): "something else than \(type) for `\(path(context))`"
        case .valueNotFound(_, let context): "null for `\(path(context))`"
        case .dataCorrupted(let context): "`\(path(context))`: \(context.debugDescription)"
        @unknown default: "\(error)"
        }
    }
}
