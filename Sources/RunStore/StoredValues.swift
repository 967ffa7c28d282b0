// How values that SQLite has no type for are stored: 64-bit counts, text with NULs, token arrays, digests, manifests.

import Foundation
import GRDB
import Rollouts

/// A row that does not hold what its schema promises. `RunStore` adds the path.
struct DamagedRow: Error {
    let detail: String
}

enum StoredValue {
    /// SQLite ends text at a NUL character, and a model may write one: such text is stored as its UTF-8 bytes.
    static func text(_ text: String) -> any DatabaseValueConvertible {
        text.utf8.contains(0) ? Data(text.utf8) : text
    }

    /// SQLite integers are signed: the bits are kept.
    static func unsigned(_ value: UInt64) -> Int64 { Int64(bitPattern: value) }

    /// SQLite turns NaN into NULL, so we do, and back.
    static func number(_ value: Double) -> Double? { value.isNaN ? nil : value }
}

extension Row {
    func text(_ column: String) throws -> String {
        switch (self[column] as DatabaseValue).storage {
        case .string(let text): return text
        case .blob(let data):
            guard let text = String(validating: data, as: UTF8.self) else {
                throw DamagedRow(detail: "\(column) is not UTF-8")
            }
            return text
        default: throw DamagedRow(detail: "\(column) is not text")
        }
    }

    func roles() throws -> [WorkerRole] {
        try text("roles").split(separator: ",").map { word in
            guard let role = WorkerRole(rawValue: String(word)) else {
                throw DamagedRow(detail: "unknown worker role \(word)")
            }
            return role
        }
    }

    func integer(_ column: String) throws -> Int {
        guard let value = Int.fromDatabaseValue(self[column]) else {
            throw DamagedRow(detail: "\(column) is not an integer")
        }
        return value
    }

    func unsigned(_ column: String) throws -> UInt64 {
        guard case .int64(let value) = (self[column] as DatabaseValue).storage else {
            throw DamagedRow(detail: "\(column) is not an integer")
        }
        return UInt64(bitPattern: value)
    }

    func number(_ column: String) throws -> Double {
        let value: DatabaseValue = self[column]
        if value.isNull { return .nan }
        guard let number = Double.fromDatabaseValue(value) else {
            throw DamagedRow(detail: "\(column) is not a number")
        }
        return number
    }

    func bytes(_ column: String) throws -> [UInt8] {
        switch (self[column] as DatabaseValue).storage {
        case .blob(let data): return [UInt8](data)
        case .null: throw DamagedRow(detail: "\(column) is missing")
        default: throw DamagedRow(detail: "\(column) is not bytes")
        }
    }

    func digest(_ column: String) throws -> Digest {
        guard let digest = Digest(hex: try text(column)) else {
            throw DamagedRow(detail: "\(column) is not a digest")
        }
        return digest
    }

    /// A value of an enumeration that is stored as its raw value.
    func word<Value: RawRepresentable<UInt8>>(_ column: String, as type: Value.Type) throws -> Value {
        guard let raw = UInt8(exactly: try integer(column)), let value = Value(rawValue: raw) else {
            throw DamagedRow(detail: "\(column) has an unknown value")
        }
        return value
    }

    func groupKey(prefix: String = "") throws -> GroupKey {
        GroupKey(
            purpose: try word(prefix + "purpose", as: Purpose.self), step: try integer(prefix + "step"),
            ordinal: try integer(prefix + "ordinal"))
    }

    func manifest() throws -> PolicyManifest {
        let hasOptimizer = !(self["optimizer_digest"] as DatabaseValue).isNull
        return PolicyManifest(
            version: PolicyVersion(try unsigned("manifest_version")), weightsHash: try digest("manifest_weights_hash"),
            weights: BlobReference(digest: try digest("weights_digest"), byteCount: try integer("weights_bytes")),
            optimizer: hasOptimizer
                ? BlobReference(digest: try digest("optimizer_digest"), byteCount: try integer("optimizer_bytes"))
                : nil
        )
    }
}

extension GroupKey {
    var arguments: [(any DatabaseValueConvertible)?] { [Int(purpose.rawValue), step, ordinal] }

    /// The name as one number, in which a step's groups lie side by side: 2 bits of purpose, 30 of step, 24 of ordinal,
    /// which is what the random key has room for.
    var rowIdentifier: Int64 {
        precondition(
            (0..<1 << 30).contains(step) && (0..<1 << 24).contains(ordinal), "GroupKey: \(self) is beyond its room")
        return Int64(purpose.rawValue) << 54 | Int64(step) << 24 | Int64(ordinal)
    }

    /// "training group 3 of step 5", for messages.
    var words: String {
        switch purpose {
        case .training: "training group \(ordinal) of step \(step)"
        case .evaluation: "evaluation group \(ordinal) after step \(step)"
        case .conversation: "conversation group \(ordinal) of step \(step)"
        }
    }
}

extension PolicyManifest {
    /// In the order of the manifest columns.
    var arguments: [(any DatabaseValueConvertible)?] {
        [
            StoredValue.unsigned(version.rawValue), weightsHash.description, weights.digest.description,
            weights.byteCount, optimizer?.digest.description, optimizer?.byteCount,
        ]
    }
}
