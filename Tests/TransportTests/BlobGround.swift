// Storage in memory and a server that damages answers, for the blob tests.

import CChecksum
import Rollouts
import Synchronization

@testable import Transport

/// Stands for BLAKE2b here: eight checksums from eight starting values.
func digest(of bytes: [UInt8]) -> Digest {
    var result: [UInt8] = []
    for start in 1...8 as ClosedRange<UInt32> {
        withUnsafeBytes(of: rookery_crc32c(start, bytes, bytes.count)) { result.append(contentsOf: $0) }
    }
    return Digest(bytes: result)!
}

/// Different for every seed, and in every 4 KiB (when there are eight bytes to tell it by).
func blobBytes(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    let block = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 4096)
    while bytes.count < count {
        let stamp = UInt64(bytes.count) << 20 ^ seed
        withUnsafeBytes(of: stamp) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: block[8...])
    }
    bytes.removeLast(bytes.count - count)
    return bytes
}

final class MemoryStorage: BlobStorage {
    struct State {
        var stored: [Digest: [UInt8]] = [:]
        var partial: [Digest: [UInt8]] = [:]
        var reads: [Int] = []
        var writes: [Int] = []
        /// Writes until storage fails; nil never.
        var failsAfterWrites: Int?
        /// Flips a byte of the first write.
        var damagesNextWrite = false
    }
    let state = Mutex(State())

    func add(_ bytes: [UInt8]) -> BlobReference {
        let blob = BlobReference(digest: digest(of: bytes), byteCount: bytes.count)
        state.withLock { $0.stored[blob.digest] = bytes }
        return blob
    }

    func size(of digest: Digest) -> Int? { state.withLock { $0.stored[digest]?.count } }

    func read(_ digest: Digest, offset: Int, count: Int) throws(TransportError) -> [UInt8] {
        state.withLock {
            $0.reads.append(offset)
            return Array($0.stored[digest]![offset..<(offset + count)])
        }
    }

    func beginWrite(_ blob: BlobReference) throws(TransportError) -> Int {
        state.withLock {
            $0.partial[blob.digest, default: []] += []
            return $0.partial[blob.digest]!.count
        }
    }

    func write(_ blob: BlobReference, offset: Int, bytes: [UInt8]) throws(TransportError) {
        let failed = state.withLock { state -> Bool in
            precondition(state.partial[blob.digest]?.count == offset, "not where the last write ended")
            if state.failsAfterWrites == 0 {
                state.failsAfterWrites = nil
                return true
            }
            state.failsAfterWrites? -= 1
            state.writes.append(offset)
            var bytes = bytes
            if state.damagesNextWrite {
                bytes[0] ^= 1
                state.damagesNextWrite = false
            }
            state.partial[blob.digest]! += bytes
            return false
        }
        if failed { throw TransportError(.storage, "write", "blob", reason: "disk full") }
    }

    func finish(_ blob: BlobReference) throws(TransportError) {
        let sound = state.withLock { state -> Bool in
            let bytes = state.partial.removeValue(forKey: blob.digest) ?? []
            guard bytes.count == blob.byteCount, digest(of: bytes) == blob.digest else { return false }
            state.stored[blob.digest] = bytes
            return true
        }
        if !sound { throw TransportError(.corrupt, "verify", "blob", reason: "wrong digest") }
    }
}

/// A blob server on its own thread whose answers pass through `change` (nil drops one), numbered from 0.
final class ScriptedServer: Sendable {
    private final class Shared: Sendable {
        let address = Mutex<Address?>(nil)
        let stop = Mutex(false)
        let wake: WakePipe
        let ready: WakePipe
        init() throws(TransportError) {
            wake = try WakePipe()
            ready = try WakePipe()
        }
    }

    let address: Address
    private let shared: Shared
    private let thread: NamedThread

    init(
        _ context: Context, _ storage: MemoryStorage,
        change: @escaping @Sendable (_ index: Int, _ reply: [UInt8]) -> [UInt8]?
    ) throws {
        let shared = try Shared()
        thread = try NamedThread("scripted-blobs") {
            defer { shared.ready.wake() }
            // Not bound: the initialiser below stops the test.
            guard let server = try? ControlServer(context, listen: [anyPort]) else { return }
            shared.address.withLock { $0 = server.addresses[0] }
            shared.ready.wake()
            var responder = BlobResponder(storage: storage, blobLimitBytes: 1 << 30)
            var index = 0
            while !shared.stop.withLock({ $0 }) {
                _ = server.wait(timeout: nil, wake: shared.wake)
                while case .frame(let frame, let peer, _)? = server.receive() {
                    guard let reply = responder.answer(frame, from: peer).reply else { continue }
                    if let changed = change(index, reply) { _ = server.send(changed, to: peer) }
                    index += 1
                }
            }
        }
        self.shared = shared
        while !shared.ready.wait(timeout: nil) {}
        guard let address = shared.address.withLock({ $0 }) else { preconditionFailure("ScriptedServer: not bound") }
        self.address = address
    }

    deinit {
        shared.stop.withLock { $0 = true }
        shared.wake.wake()
        thread.join()
    }
}
