// One value of a decoded protobuf-c structure as a Swift value, or what is wrong with it.

import CWire
import Rollouts

/// Field names are those of proto/rookery.proto; the containers add theirs on the way out (`WireError.inside`).
enum Checked {
    static func text(
        _ data: ProtobufCBinaryData, _ name: StaticString, limitBytes: Int = .max
    ) throws(WireError) -> String {
        guard data.len <= limitBytes else {
            throw WireError(.message, "\(name)", expected: "at most \(limitBytes) bytes", found: "\(data.len)")
        }
        let bytes = UnsafeBufferPointer(start: UnsafePointer(data.data), count: data.data == nil ? 0 : data.len)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw WireError(.message, "\(name)", expected: "UTF-8 text", found: "\(data.len) bytes that are not")
        }
        return text
    }

    static func texts(
        _ count: Int, _ values: UnsafeMutablePointer<ProtobufCBinaryData>?, _ name: StaticString
    ) throws(WireError) -> [String] {
        var result: [String] = []
        guard count > 0, let values else { return result }
        result.reserveCapacity(count)
        for index in 0..<count {
            do throws(WireError) {
                result.append(try text(values[index], ""))
            } catch {
                throw error.inside("\(name)[\(index)]")
            }
        }
        return result
    }

    static func digest(_ data: ProtobufCBinaryData, _ name: StaticString) throws(WireError) -> Digest {
        guard data.len == 32, let bytes = data.data,
            let digest = Digest(bytes: Array(UnsafeBufferPointer(start: bytes, count: 32)))
        else {
            throw WireError(.message, "\(name)", expected: "a digest of 32 bytes", found: "\(data.len)")
        }
        return digest
    }

    static func integer(
        _ value: UInt64, _ name: StaticString, in range: ClosedRange<Int>
    ) throws(WireError) -> Int {
        guard let number = Int(exactly: value), range.contains(number) else {
            throw WireError(
                .message, "\(name)", expected: "\(range.lowerBound) to \(range.upperBound)", found: "\(value)")
        }
        return number
    }

    static func finite(
        _ value: Double, _ name: StaticString,
        in range: ClosedRange<Double> = -.greatestFiniteMagnitude...(.greatestFiniteMagnitude)
    ) throws(WireError) -> Double {
        guard range.contains(value) else {
            throw WireError(
                .message, "\(name)", expected: "a number from \(range.lowerBound) to \(range.upperBound)",
                found: "\(value)")
        }
        return value
    }

    static func nonNegative(_ value: Double, _ name: StaticString) throws(WireError) -> Double {
        try finite(value, name, in: 0...(.greatestFiniteMagnitude))
    }

    static func floats(
        _ count: Int, _ values: UnsafeMutablePointer<Float>?, _ name: StaticString
    ) throws(WireError) -> [Float] {
        guard count > 0, let values else { return [] }
        let bad = wire_first_not_finite_float(values, count)
        guard bad == count else {
            throw WireError(.message, "\(name)[\(bad)]", expected: "a finite number", found: "\(values[bad])")
        }
        return Array(UnsafeBufferPointer(start: values, count: count))
    }

    static func doubles(
        _ count: Int, _ values: UnsafeMutablePointer<Double>?, _ name: StaticString
    ) throws(WireError) -> [Double] {
        guard count > 0, let values else { return [] }
        let bad = wire_first_not_finite_double(values, count)
        guard bad == count else {
            throw WireError(.message, "\(name)[\(bad)]", expected: "a finite number", found: "\(values[bad])")
        }
        return Array(UnsafeBufferPointer(start: values, count: count))
    }

    /// Token ids below 2^31.
    static func tokens(
        _ count: Int, _ values: UnsafeMutablePointer<UInt32>?, _ name: StaticString
    ) throws(WireError) -> [Int32] {
        guard count > 0, let values else { return [] }
        let bad = wire_first_above(values, count, WireLimits.tokenLimit)
        guard bad == count else {
            throw WireError(.message, "\(name)[\(bad)]", expected: "a token id below 2^31", found: "\(values[bad])")
        }
        return values.withMemoryRebound(to: Int32.self, capacity: count) {
            Array(UnsafeBufferPointer(start: $0, count: count))
        }
    }

    static func count(_ count: Int, _ name: StaticString, is expected: Int, of other: StaticString) throws(WireError) {
        guard count == expected else {
            throw WireError(.message, "\(name)", expected: "\(expected) elements, as \(other) has", found: "\(count)")
        }
    }

    /// A message field that must be there.
    static func present<T>(_ pointer: UnsafeMutablePointer<T>?, _ name: StaticString) throws(WireError) -> T {
        guard let pointer else {
            throw WireError(.message, "\(name)", expected: "the field", found: "none")
        }
        return pointer.pointee
    }

    /// A message field that must be there, read with its name in every error.
    static func nested<T, Value>(
        _ pointer: UnsafeMutablePointer<T>?, _ name: StaticString, _ read: (T) throws(WireError) -> Value
    ) throws(WireError) -> Value {
        let structure = try present(pointer, name)
        do throws(WireError) {
            return try read(structure)
        } catch {
            throw error.inside("\(name)")
        }
    }

    /// A repeated message field, read with name and index in every error.
    static func list<T, Value>(
        _ count: Int, _ pointers: UnsafeMutablePointer<UnsafeMutablePointer<T>?>?, _ name: StaticString,
        _ read: (T) throws(WireError) -> Value
    ) throws(WireError) -> [Value] {
        var result: [Value] = []
        guard count > 0, let pointers else { return result }
        result.reserveCapacity(count)
        for index in 0..<count {
            do throws(WireError) {
                result.append(try read(try present(pointers[index], "")))
            } catch {
                throw error.inside("\(name)[\(index)]")
            }
        }
        return result
    }
}
