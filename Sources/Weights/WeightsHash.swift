// When are two sets of weights the same?

import Dispatch
import Rollouts

/// Runs `body` for 0..<count, in any order and on any threads, and returns when all are done.
package typealias ParallelLoop = @Sendable (_ count: Int, _ body: @Sendable (Int) -> Void) -> Void

/// BLAKE2b-256 over, for every tensor in order: its name's UTF-8 bytes, a zero byte, its type's name ("F32"), a zero
/// byte, its dimensions as 64-bit little-endian integers, and the `TreeHash` of its bytes.
package enum WeightsHash {
    package static let concurrently: ParallelLoop = { count, body in
        DispatchQueue.concurrentPerform(iterations: count, execute: body)
    }

    /// - Parameter parameters: all tensors of the config back to back, in its order.
    package static func compute(
        config: ModelConfig, parameters: UnsafeBufferPointer<Float>, parallel: ParallelLoop = concurrently
    ) -> Digest {
        compute(
            tensors: config.tensors.stored(as: .float32), bytes: UnsafeRawBufferPointer(parameters),
            parallel: parallel)
    }

    /// - Parameter hashed: is told of bytes that have been read, on the thread that read them.
    /// - Precondition: `bytes` holds exactly the tensors, back to back.
    static func compute(
        tensors: [StoredTensor], bytes: UnsafeRawBufferPointer, parallel: ParallelLoop,
        hashed: @escaping @Sendable (UnsafeRawBufferPointer) -> Void = { _ in }
    ) -> Digest {
        let (starts, end) = tensors.starts
        precondition(end.byte == bytes.count, "\(bytes.count) bytes are not these tensors")
        let pieces = zip(tensors, starts).map { tensor, start in
            UnsafeRawBufferPointer(rebasing: bytes[start.byte..<start.byte + tensor.byteCount])
        }
        return combine(tensors: tensors, digests: TreeHash.hash(pieces, parallel: parallel, hashed: hashed))
    }

    /// The outer hash.
    static func combine(tensors: [StoredTensor], digests: [Digest]) -> Digest {
        precondition(digests.count == tensors.count, "\(digests.count) digests for \(tensors.count) tensors")
        let hash = Blake2b()
        for (tensor, digest) in zip(tensors, digests) {
            var prefix = Array(tensor.shape.name.utf8)
            prefix.append(0)
            prefix.append(contentsOf: tensor.format.elementType.rawValue.utf8)
            prefix.append(0)
            for dimension in tensor.shape.dimensions { prefix.append(littleEndian: UInt64(dimension)) }
            hash.update(prefix + digest.bytes)
        }
        return hash.finish()
    }
}
