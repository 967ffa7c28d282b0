// What is the BLAKE2b-256 hash of these bytes?

import CSodium
import Rollouts

/// BLAKE2b with 32 bytes of output and no key, fed piece by piece. One thread at a time. Large data: `TreeHash`.
final class Blake2b {
    /// libsodium picks the CPU's fastest implementation here, once.
    private static let isReady = sodium_init() >= 0

    private let state: UnsafeMutableRawPointer
    private var pointer: OpaquePointer { OpaquePointer(state) }

    init() {
        precondition(Blake2b.isReady, "libsodium cannot start")
        state = .allocate(byteCount: crypto_generichash_statebytes(), alignment: 64)
        crypto_generichash_init(pointer, nil, 0, 32)
    }

    deinit { state.deallocate() }

    func update(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else { return }
        crypto_generichash_update(pointer, start.assumingMemoryBound(to: UInt8.self), UInt64(bytes.count))
    }

    func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

    /// Ends the hash; nothing may be added after.
    func finish() -> Digest {
        var output = [UInt8](repeating: 0, count: 32)
        crypto_generichash_final(pointer, &output, output.count)
        guard let digest = Digest(bytes: output) else { preconditionFailure("a BLAKE2b-256 hash has 32 bytes") }
        return digest
    }

    static func hash(_ bytes: UnsafeRawBufferPointer) -> Digest {
        let hash = Blake2b()
        hash.update(bytes)
        return hash.finish()
    }

    static func hash(_ bytes: [UInt8]) -> Digest { bytes.withUnsafeBytes { hash($0) } }
}
