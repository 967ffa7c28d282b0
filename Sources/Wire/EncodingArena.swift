// Where the C structures of one outgoing message live until it is packed.

import CWire
import Glibc

/// Everything placed here is freed together, with its `WireCodec.PackableMessage`.
final class EncodingArena {
    private var blocks = BlockChain(blockBytes: 16 << 10)

    deinit { blocks.free() }

    /// A structure as `foo__init` leaves it, then filled.
    func make<T>(
        _ initialize: (UnsafeMutablePointer<T>?) -> Void, _ fill: (inout T) -> Void = { _ in }
    ) -> UnsafeMutablePointer<T> {
        let pointer = reserve(T.self, 1)
        initialize(pointer)
        fill(&pointer.pointee)
        return pointer
    }

    /// nil for an empty array.
    func copy<T: BitwiseCopyable>(_ values: [T]) -> UnsafeMutablePointer<T>? {
        guard !values.isEmpty else { return nil }
        let pointer = reserve(T.self, values.count)
        pointer.initialize(from: values, count: values.count)
        return pointer
    }

    /// Token ids are never negative; the receiver refuses one that is.
    func tokens(_ values: [Int32]) -> UnsafeMutablePointer<UInt32>? {
        guard let pointer = copy(values) else { return nil }
        return UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: UInt32.self)
    }

    /// An array of pointers, as protobuf-c wants repeated messages.
    func pointers<Element, T>(
        _ values: [Element], _ make: (Element) -> UnsafeMutablePointer<T>
    ) -> UnsafeMutablePointer<UnsafeMutablePointer<T>?>? {
        guard !values.isEmpty else { return nil }
        let array = reserve(UnsafeMutablePointer<T>?.self, values.count)
        for (index, value) in values.enumerated() { (array + index).initialize(to: make(value)) }
        return array
    }

    func bytes(_ values: [UInt8]) -> ProtobufCBinaryData {
        ProtobufCBinaryData(len: values.count, data: copy(values))
    }

    func text(_ text: String) -> ProtobufCBinaryData {
        var text = text
        return text.withUTF8 { utf8 in
            guard let base = utf8.baseAddress, !utf8.isEmpty else { return ProtobufCBinaryData(len: 0, data: nil) }
            let pointer = reserve(UInt8.self, utf8.count)
            pointer.initialize(from: base, count: utf8.count)
            return ProtobufCBinaryData(len: utf8.count, data: pointer)
        }
    }

    func texts(_ values: [String]) -> UnsafeMutablePointer<ProtobufCBinaryData>? {
        copy(values.map { text($0) })
    }

    /// Uninitialised.
    private func reserve<T>(_ type: T.Type, _ count: Int) -> UnsafeMutablePointer<T> {
        guard let block = blocks.reserve(count * MemoryLayout<T>.stride) else {
            preconditionFailure("EncodingArena: no memory for \(count) × \(T.self)")
        }
        return block.bindMemory(to: T.self, capacity: count)
    }
}

/// Counts and places are never negative; one that is becomes a number that the receiver refuses.
func unsigned(_ value: Int) -> UInt64 { UInt64(bitPattern: Int64(value)) }
