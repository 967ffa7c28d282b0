// How much memory may decoding one message take?

import CWire
import Glibc

/// An allocator for protobuf-c that hands out at most `limitBytes`. What it hands out is freed with it, all together,
/// so the decoded structure must not be used after it.
/// Made, used and dropped inside one call of `WireCodec.decode`.
final class BoundedAllocator {
    let limitBytes: Int
    private(set) var heldBytes = 0
    /// Bytes asked for by the first request that was refused.
    private(set) var refusedRequest: Int?
    private var blocks: BlockChain

    /// - Parameter blockBytes: taken from the system at a time.
    init(limitBytes: Int, blockBytes: Int = 4096) {
        self.limitBytes = limitBytes
        blocks = BlockChain(blockBytes: min(blockBytes, limitBytes))
    }

    deinit { blocks.free() }

    /// Valid while `self` is.
    var table: ProtobufCAllocator {
        ProtobufCAllocator(
            alloc: { data, size in
                Unmanaged<BoundedAllocator>.fromOpaque(data!).takeUnretainedValue().allocate(size)
            },
            // Nothing is freed by itself.
            free: { _, _ in },
            allocator_data: Unmanaged.passUnretained(self).toOpaque())
    }

    private func allocate(_ size: Int) -> UnsafeMutableRawPointer? {
        guard size >= 0, size <= limitBytes - heldBytes, let pointer = blocks.reserve(size) else {
            if refusedRequest == nil { refusedRequest = size }
            return nil
        }
        heldBytes += size
        return pointer
    }
}

/// Memory in few large blocks, aligned as malloc's. Its owner frees it, once.
struct BlockChain {
    private static let alignment = 16
    private let blockBytes: Int
    private var blocks: [UnsafeMutableRawPointer] = []
    private var next: UnsafeMutableRawPointer?
    private var leftBytes = 0

    init(blockBytes: Int) { self.blockBytes = blockBytes }

    /// - Returns: uninitialised; nil when the system has no memory.
    mutating func reserve(_ size: Int) -> UnsafeMutableRawPointer? {
        let (sum, isTooLarge) = size.addingReportingOverflow(Self.alignment - 1)
        guard !isTooLarge else { return nil }
        let rounded = max(sum & ~(Self.alignment - 1), Self.alignment)
        if rounded <= leftBytes, let pointer = next {
            next = pointer + rounded
            leftBytes -= rounded
            return pointer
        }
        // What is larger than half a block gets one of its own, so that no more than half of one is wasted.
        let isLarge = rounded > blockBytes / 2
        guard let block = malloc(isLarge ? rounded : blockBytes) else { return nil }
        blocks.append(block)
        if !isLarge {
            next = block + rounded
            leftBytes = blockBytes - rounded
        }
        return block
    }

    func free() {
        for block in blocks { Glibc.free(block) }
    }
}
