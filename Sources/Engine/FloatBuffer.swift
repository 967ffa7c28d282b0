// Where numbers live: one aligned allocation of Float32 that can grow and is freed with its owner.
import Glibc

final class FloatBuffer {
    private(set) var base: UnsafeMutablePointer<Float>
    private(set) var count: Int

    /// Zeros.
    init(count: Int) {
        base = FloatBuffer.allocate(count)
        self.count = count
        memset(base, 0, count * MemoryLayout<Float>.stride)
    }

    deinit { free(base) }

    /// Room for at least `count` elements; the contents are undefined when it had to grow.
    func reserve(_ count: Int) -> UnsafeMutablePointer<Float> {
        if count > self.count {
            free(base)
            base = FloatBuffer.allocate(count)
            self.count = count
        }
        return base
    }

    var all: UnsafeMutableBufferPointer<Float> { UnsafeMutableBufferPointer(start: base, count: count) }

    /// Cache-line aligned; large ones on huge pages, which spares most address translation in matrix products.
    private static func allocate(_ count: Int) -> UnsafeMutablePointer<Float> {
        let bytes = max(count, 1) * MemoryLayout<Float>.stride
        let hugePage = 2 << 20
        let large = bytes >= 2 * hugePage
        var raw: UnsafeMutableRawPointer?
        let result = posix_memalign(&raw, large ? hugePage : 64, bytes)
        guard result == 0, let raw else { preconditionFailure("FloatBuffer: no memory for \(bytes) bytes") }
        if large { madvise(raw, bytes, MADV_HUGEPAGE) }
        return raw.bindMemory(to: Float.self, capacity: max(count, 1))
    }
}
