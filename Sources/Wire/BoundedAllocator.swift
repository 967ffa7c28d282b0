// How much memory may decoding one message take?

import CWire
import Glibc

/// An allocator for protobuf-c that refuses to hold more than `limitBytes` at a time.
/// Made, used and dropped inside one call of `WireCodec.decode`.
final class BoundedAllocator {
    let limitBytes: Int
    private(set) var heldBytes = 0
    private(set) var peakBytes = 0
    /// Bytes asked for by the first request that was refused.
    private(set) var refusedRequest: Int?

    /// Each block remembers its size in front of itself; 16 keeps the alignment of malloc.
    private static let headerBytes = 16

    init(limitBytes: Int) { self.limitBytes = limitBytes }

    /// Valid while `self` is.
    var table: ProtobufCAllocator {
        ProtobufCAllocator(
            alloc: { data, size in
                Unmanaged<BoundedAllocator>.fromOpaque(data!).takeUnretainedValue().allocate(size)
            },
            free: { data, pointer in
                Unmanaged<BoundedAllocator>.fromOpaque(data!).takeUnretainedValue().free(pointer)
            },
            allocator_data: Unmanaged.passUnretained(self).toOpaque())
    }

    private func allocate(_ size: Int) -> UnsafeMutableRawPointer? {
        let room = limitBytes - heldBytes
        guard size >= 0, size <= room, let block = malloc(size + BoundedAllocator.headerBytes) else {
            if refusedRequest == nil { refusedRequest = size }
            return nil
        }
        block.storeBytes(of: size, as: Int.self)
        heldBytes += size
        peakBytes = max(peakBytes, heldBytes)
        return block + BoundedAllocator.headerBytes
    }

    private func free(_ pointer: UnsafeMutableRawPointer?) {
        guard let pointer else { return }
        let block = pointer - BoundedAllocator.headerBytes
        heldBytes -= block.load(as: Int.self)
        Glibc.free(block)
    }
}
