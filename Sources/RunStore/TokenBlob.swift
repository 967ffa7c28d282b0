// How token arrays become bytes: little-endian, with a checksum, because SQLite does not notice a flipped bit.

import Foundation

enum TokenBlob {
    static func bytes<Value: FixedWidthInteger>(_ values: [Value]) -> Data {
        // One copy where the machine has the file's byte order, which all supported ones have.
        if 1.littleEndian == 1 { return values.withUnsafeBytes { Data($0) } }
        return values.map(\.littleEndian).withUnsafeBytes { Data($0) }
    }

    static func bytes(_ values: [Float]) -> Data {
        if 1.littleEndian == 1 { return values.withUnsafeBytes { Data($0) } }
        return bytes(values.map(\.bitPattern))
    }

    /// - Returns: nil when the byte count does not fit.
    static func integers<Value: FixedWidthInteger>(_ bytes: [UInt8], as type: Value.Type) -> [Value]? {
        let size = MemoryLayout<Value>.size
        guard bytes.count.isMultiple(of: size) else { return nil }
        return bytes.withUnsafeBytes { raw in
            (0..<raw.count / size).map {
                Value(littleEndian: raw.loadUnaligned(fromByteOffset: $0 * size, as: Value.self))
            }
        }
    }

    static func floats(_ bytes: [UInt8]) -> [Float]? {
        integers(bytes, as: UInt32.self)?.map { Float(bitPattern: $0) }
    }

    /// Policy versions change at most a few times inside a completion: runs of (version, count), 16 bytes each.
    static func runs(_ versions: [UInt64]) -> Data {
        var runs: [UInt64] = []
        for version in versions {
            if runs.count >= 2, runs[runs.count - 2] == version {
                runs[runs.count - 1] += 1
            } else {
                runs += [version, 1]
            }
        }
        return bytes(runs)
    }

    /// - Parameter limit: how many versions there must be at most; a damaged count must not make a huge array.
    static func versions(_ bytes: [UInt8], limit: Int) -> [UInt64]? {
        guard let runs = integers(bytes, as: UInt64.self), runs.count.isMultiple(of: 2) else { return nil }
        var versions: [UInt64] = []
        for index in stride(from: 0, to: runs.count, by: 2) {
            guard let count = Int(exactly: runs[index + 1]), count <= limit - versions.count else { return nil }
            versions.append(contentsOf: repeatElement(runs[index], count: count))
        }
        return versions
    }

    /// FNV-1a, 64 bits, over the concatenation.
    static func checksum(_ parts: [Data]) -> Int64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for part in parts {
            part.withUnsafeBytes { raw in
                for byte in raw { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
            }
        }
        return Int64(bitPattern: hash)
    }
}
