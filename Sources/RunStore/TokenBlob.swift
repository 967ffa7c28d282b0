// How arrays of tokens' values become bytes: little-endian.

import Foundation
import Rollouts

enum TokenBlob {
    static func bytes(_ values: [Int32]) -> Data {
        // One copy where the machine has the file's byte order, which all supported ones have.
        if 1.littleEndian == 1 { return values.withUnsafeBytes { Data($0) } }
        return values.map(\.littleEndian).withUnsafeBytes { Data($0) }
    }

    /// - Returns: nil when the byte count does not fit.
    static func integers<Value: FixedWidthInteger>(_ bytes: [UInt8], as type: Value.Type) -> [Value]? {
        let size = MemoryLayout<Value>.size
        guard bytes.count.isMultiple(of: size) else { return nil }
        return bytes.withUnsafeBytes { integers($0[...], as: type) }
    }

    /// - Parameter bytes: of whole numbers.
    static func integers<Value: FixedWidthInteger>(
        _ bytes: Slice<UnsafeRawBufferPointer>, as type: Value.Type
    ) -> [Value] {
        let raw = UnsafeRawBufferPointer(rebasing: bytes)
        let size = MemoryLayout<Value>.size
        return (0..<raw.count / size).map {
            Value(littleEndian: raw.loadUnaligned(fromByteOffset: $0 * size, as: type))
        }
    }

    static func floats(_ bytes: [UInt8]) -> [Float]? {
        integers(bytes, as: UInt32.self)?.map { Float(bitPattern: $0) }
    }

    /// Policy versions change at most a few times inside a completion: version, count, version, count, ….
    static func runs(_ versions: [PolicyVersion]) -> [UInt64] {
        var runs: [UInt64] = []
        for version in versions {
            if let last = runs.indices.last, runs[last - 1] == version.rawValue {
                runs[last] += 1
            } else {
                runs.append(version.rawValue)
                runs.append(1)
            }
        }
        return runs
    }

    /// - Parameter limit: how many versions there must be at most; a damaged count must not make a huge array.
    static func versions(_ runs: [UInt64], limit: Int) -> [PolicyVersion]? {
        guard runs.count.isMultiple(of: 2) else { return nil }
        var versions: [PolicyVersion] = []
        for index in stride(from: 0, to: runs.count, by: 2) {
            guard let count = Int(exactly: runs[index + 1]), count <= limit - versions.count else { return nil }
            versions.append(contentsOf: repeatElement(PolicyVersion(runs[index]), count: count))
        }
        return versions
    }

    /// FNV-1a, 64 bits, over 8 bytes at a time and then over the bytes that are left. A step multiplies by an odd
    /// number after an exclusive or, so two inputs that differ in one word never have the same sum.
    static func checksum(_ bytes: Slice<UnsafeRawBufferPointer>) -> UInt64 {
        let raw = UnsafeRawBufferPointer(rebasing: bytes)
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        var position = 0
        while raw.count - position >= 8 {
            let word = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: position, as: UInt64.self))
            hash = (hash ^ word) &* 0x100_0000_01b3
            // A high bit of a word would never reach a low bit of the sum.
            hash ^= hash >> 32
            position += 8
        }
        while position < raw.count {
            hash = (hash ^ UInt64(raw[position])) &* 0x100_0000_01b3
            position += 1
        }
        return hash
    }
}
