// Do these bytes have the structure of a message? Asked before protobuf-c sees them.

import CWire

/// Walks the bytes by the schema's descriptors and takes no memory. Refuses what protobuf allows and no honest peer
/// sends: a field given twice (protobuf-c would merge the two), an array that is not packed (forty bytes of
/// bookkeeping an element), lengths past the end, group wire types.
enum StructureScan {
    enum WireType: UInt8 {
        case varint = 0
        case fixed64 = 1
        case delimited = 2
        case fixed32 = 5
    }

    /// - Returns: the first field number of the outermost message that this schema does not know.
    static func check(
        _ bytes: UnsafeRawBufferPointer, as descriptor: UnsafePointer<ProtobufCMessageDescriptor>
    ) throws(WireError) -> UInt32? {
        var reader = Reader(bytes: bytes)
        // One bit a field of this message.
        var seen: UInt64 = 0
        var oneOfSeen = false
        var unknown: UInt32?
        precondition(descriptor.pointee.n_fields <= 64, "StructureScan: a message with more than 64 fields")

        while !reader.isAtEnd {
            let (number, type) = try reader.tag()
            guard let field = protobuf_c_message_descriptor_get_field(descriptor, number) else {
                unknown = unknown ?? number
                try reader.skip(type, number: number)
                continue
            }
            // For errors alone: making a string takes longer than the rest.
            var name: String { String(cString: field.pointee.name) }
            let isRepeated = field.pointee.label == PROTOBUF_C_LABEL_REPEATED
            let isPacked = field.pointee.flags & UInt32(PROTOBUF_C_FIELD_FLAG_PACKED.rawValue) != 0
            let isOneOf = field.pointee.flags & UInt32(PROTOBUF_C_FIELD_FLAG_ONEOF.rawValue) != 0
            let bit: UInt64 = 1 << UInt64(field - descriptor.pointee.fields)
            // A packed array is one field of bytes, so it too appears once.
            if !isRepeated || isPacked {
                guard seen & bit == 0 else {
                    throw WireError(.message, name, expected: "the field once", found: "it twice")
                }
            }
            if isOneOf {
                guard !oneOfSeen else {
                    throw WireError(.message, name, expected: "one body", found: "a second one")
                }
                oneOfSeen = true
            }
            seen |= bit
            let expected = isPacked ? WireType.delimited : wireType(field.pointee.type)
            guard type == expected else {
                throw WireError(.message, name, expected: "wire type \(expected)", found: "\(type)")
            }
            if field.pointee.type == PROTOBUF_C_TYPE_MESSAGE {
                let inner = try reader.delimited(name)
                let nested = field.pointee.descriptor!.assumingMemoryBound(to: ProtobufCMessageDescriptor.self)
                do throws(WireError) {
                    _ = try check(inner, as: nested)
                } catch {
                    throw error.inside(name)
                }
            } else {
                try reader.skip(type, number: number)
            }
        }
        return unknown
    }

    private static func wireType(_ type: ProtobufCType) -> WireType {
        switch type {
        case PROTOBUF_C_TYPE_FLOAT, PROTOBUF_C_TYPE_FIXED32, PROTOBUF_C_TYPE_SFIXED32: .fixed32
        case PROTOBUF_C_TYPE_DOUBLE, PROTOBUF_C_TYPE_FIXED64, PROTOBUF_C_TYPE_SFIXED64: .fixed64
        case PROTOBUF_C_TYPE_STRING, PROTOBUF_C_TYPE_BYTES, PROTOBUF_C_TYPE_MESSAGE: .delimited
        default: .varint
        }
    }

    private struct Reader {
        let bytes: UnsafeRawBufferPointer
        var position = 0

        init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

        var isAtEnd: Bool { position == bytes.count }

        mutating func varint() throws(WireError) -> UInt64 {
            var value: UInt64 = 0
            for index in 0..<10 {
                guard position < bytes.count else {
                    throw WireError(.message, "", expected: "a number at byte \(position)", found: "the end")
                }
                let byte = bytes[position]
                position += 1
                // The tenth byte has room for one bit.
                guard index < 9 || byte <= 1 else { break }
                value |= UInt64(byte & 0x7F) << UInt64(7 * index)
                if byte < 0x80 { return value }
            }
            throw WireError(.message, "", expected: "a number of 64 bits at byte \(position)", found: "a longer one")
        }

        mutating func tag() throws(WireError) -> (UInt32, WireType) {
            let start = position
            let tag = try varint()
            guard let number = UInt32(exactly: tag >> 3), (1..<(1 << 29)).contains(number) else {
                throw WireError(
                    .message, "", expected: "a field number below 2^29 at byte \(start)", found: "\(tag >> 3)")
            }
            guard let type = WireType(rawValue: UInt8(tag & 7)) else {
                throw WireError(
                    .message, "", expected: "wire type 0, 1, 2 or 5 of field \(number)", found: "\(tag & 7)")
            }
            return (number, type)
        }

        mutating func delimited(_ name: @autoclosure () -> String) throws(WireError) -> UnsafeRawBufferPointer {
            let length = try varint()
            let left = bytes.count - position
            guard length <= UInt64(left) else {
                throw WireError(.message, name(), expected: "\(length) bytes", found: "\(left) until the end")
            }
            let inner = UnsafeRawBufferPointer(rebasing: bytes[position..<(position + Int(length))])
            position += Int(length)
            return inner
        }

        mutating func skip(_ type: WireType, number: UInt32) throws(WireError) {
            let width: Int
            switch type {
            case .varint:
                _ = try varint()
                return
            case .delimited:
                _ = try delimited("field \(number)")
                return
            case .fixed64: width = 8
            case .fixed32: width = 4
            }
            guard bytes.count - position >= width else {
                throw WireError(
                    .message, "field \(number)", expected: "\(width) bytes", found: "\(bytes.count - position)")
            }
            position += width
        }
    }
}
