// The 64 bytes in front of every payload: whose it is, which it is, and whether it arrived whole.

import CChecksum
import Cluster

/// A frame is a header of 64 bytes, little-endian, and the payload:
///
///      0  magic "ROOK"            4  major version (2)         6  minor version (2)
///      8  flags (4)              12  payload length (4)       16  run (8)
///     24  session epoch (8)      32  sequence (8)             40  acknowledged (8)
///     48  zero (12)              60  CRC32C (4) of bytes 0..<60 and the payload
package enum Envelope {
    package static let headerBytes = 64
    private static let magic: UInt32 = 0x4B4F_4F52
    private static let checksumOffset = 60
    /// The payload is a `MessageBundle`, not one message. Since version 1.1.
    package static let severalMessages: UInt32 = 1
    /// The lower flags change a frame's meaning: one that is not known here refuses it. The upper ones may be ignored.
    private static let criticalFlags: UInt32 = 0x0000_FFFF & ~severalMessages

    package struct Header: Equatable, Sendable {
        package var version: ProtocolVersion
        /// `severalMessages` or none.
        package var flags: UInt32
        /// `Envelope.runIdentifier` of the run's name; 0 in a hello, whose sender does not know the run.
        package var run: UInt64
        /// Chosen by the worker for each connection, never 0; the coordinator's frames carry it back.
        package var epoch: UInt64
        /// 1 for a side's first frame of an epoch, then counting.
        package var sequence: UInt64
        /// The highest sequence number received from the other side; 0 for none.
        package var acknowledged: UInt64

        package init(
            version: ProtocolVersion = .current, flags: UInt32 = 0, run: UInt64, epoch: UInt64, sequence: UInt64,
            acknowledged: UInt64
        ) {
            self.version = version
            self.flags = flags
            self.run = run
            self.epoch = epoch
            self.sequence = sequence
            self.acknowledged = acknowledged
        }
    }

    /// Eight bytes that stand for the run's name (FNV-1a, 64 bits); never 0.
    package static func runIdentifier(_ run: String) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in run.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        return hash == 0 ? 1 : hash
    }

    package static func seal(payload: [UInt8], header: Header) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: headerBytes + payload.count) { buffer, count in
            let frame = UnsafeMutableRawBufferPointer(buffer)
            payload.withUnsafeBytes { bytes in
                UnsafeMutableRawBufferPointer(rebasing: frame[headerBytes...]).copyMemory(from: bytes)
            }
            seal(frame, header)
            count = frame.count
        }
    }

    /// Writes the header in front of a payload that lies in its place.
    static func seal(_ frame: UnsafeMutableRawBufferPointer, _ header: Header) {
        let payloadBytes = frame.count - headerBytes
        precondition(
            payloadBytes <= Int(UInt32.max), "Envelope: a payload of \(payloadBytes) bytes has no length field")
        frame.store(magic.littleEndian, 0)
        frame.store(header.version.major.littleEndian, 4)
        frame.store(header.version.minor.littleEndian, 6)
        frame.store(header.flags.littleEndian, 8)
        frame.store(UInt32(payloadBytes).littleEndian, 12)
        frame.store(header.run.littleEndian, 16)
        frame.store(header.epoch.littleEndian, 24)
        frame.store(header.sequence.littleEndian, 32)
        frame.store(header.acknowledged.littleEndian, 40)
        frame.store(UInt64(0), 48)
        frame.store(UInt32(0), 56)
        frame.store(checksum(UnsafeRawBufferPointer(frame)).littleEndian, checksumOffset)
    }

    /// - Parameter payloadLimitBytes: `WireLimits.payloadBytesBeforeAdmission` for a peer that was not welcomed yet.
    /// - Returns: the header, and where in the frame the payload lies.
    package static func open(
        _ frame: [UInt8], payloadLimitBytes: Int = WireLimits.maximumPayloadBytes
    ) throws(WireError) -> (header: Header, payload: Range<Int>) {
        let result = frame.withUnsafeBytes { bytes -> Result<Header, WireError> in
            do throws(WireError) {
                return .success(try header(of: bytes, payloadLimitBytes: payloadLimitBytes))
            } catch {
                return .failure(error)
            }
        }
        return (try result.get(), headerBytes..<frame.count)
    }

    private static func header(
        of frame: UnsafeRawBufferPointer, payloadLimitBytes: Int
    ) throws(WireError) -> Header {
        guard frame.count >= headerBytes else {
            throw WireError(.envelope, "length", expected: "at least \(headerBytes) bytes", found: "\(frame.count)")
        }
        guard frame.count - headerBytes <= payloadLimitBytes else {
            throw WireError(
                .tooLarge, "payload", expected: "at most \(payloadLimitBytes) bytes",
                found: "\(frame.count - headerBytes)")
        }
        guard frame.load32(0) == magic else {
            throw WireError(.envelope, "magic", expected: "\"ROOK\"", found: "other bytes")
        }
        // Before the checksum: another major version may check otherwise.
        let version = ProtocolVersion(
            major: UInt16(truncatingIfNeeded: frame.load32(4)),
            minor: UInt16(truncatingIfNeeded: frame.load32(4) >> 16))
        guard version.major == ProtocolVersion.current.major else {
            throw WireError(
                .version(version), "version", expected: "\(ProtocolVersion.current.major).x",
                found: "\(version.major).\(version.minor)")
        }
        let length = Int(frame.load32(12))
        guard length == frame.count - headerBytes else {
            throw WireError(
                .envelope, "payload length", expected: "\(frame.count - headerBytes) as arrived", found: "\(length)")
        }
        let computed = checksum(frame)
        guard computed == frame.load32(checksumOffset) else {
            throw WireError(
                .envelope, "checksum", expected: String(computed, radix: 16),
                found: String(frame.load32(checksumOffset), radix: 16) + " (damaged on the way)")
        }
        let flags = frame.load32(8)
        guard flags & criticalFlags == 0 else {
            throw WireError(.envelope, "flags", expected: "none of bits 1 to 15", found: String(flags, radix: 16))
        }
        guard frame.load64(48) == 0, frame.load32(56) == 0 else {
            throw WireError(.envelope, "bytes 48 to 59", expected: "zero", found: "other bytes")
        }
        return Header(
            version: version, flags: flags, run: frame.load64(16), epoch: frame.load64(24),
            sequence: frame.load64(32), acknowledged: frame.load64(40))
    }

    /// Over everything but the checksum itself.
    private static func checksum(_ frame: UnsafeRawBufferPointer) -> UInt32 {
        let header = rookery_crc32c(0, frame.baseAddress, checksumOffset)
        return rookery_crc32c(header, frame.baseAddress! + headerBytes, frame.count - headerBytes)
    }
}

extension UnsafeMutableRawBufferPointer {
    fileprivate func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, _ offset: Int) {
        storeBytes(of: value, toByteOffset: offset, as: T.self)
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func load32(_ offset: Int) -> UInt32 {
        UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
    fileprivate func load64(_ offset: Int) -> UInt64 {
        UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}
