// Where numbers live: one aligned allocation of Float32 that can grow and is freed with its owner.
import Glibc

final class FloatBuffer {
    private(set) var base: UnsafeMutablePointer<Float>
    private(set) var count: Int

    /// Zeros. Where there are many, memory is taken as it is touched.
    /// - Parameter sparse: only small parts of it will ever be touched.
    init(count: Int, sparse: Bool = false) {
        base = FloatBuffer.allocate(count, sparse: sparse)
        self.count = count
    }

    deinit { FloatBuffer.free(base, count) }

    /// Room for at least `count` elements; the contents are undefined when it had to grow.
    func reserve(_ count: Int) -> UnsafeMutablePointer<Float> {
        if count > self.count {
            FloatBuffer.free(base, self.count)
            base = FloatBuffer.allocate(count, sparse: false)
            self.count = count
        }
        return base
    }

    var all: UnsafeMutableBufferPointer<Float> { UnsafeMutableBufferPointer(start: base, count: count) }

    private static let hugePage = 2 << 20
    private static func byteCount(_ count: Int) -> Int { max(count, 1) * MemoryLayout<Float>.stride }
    private static func isLarge(_ count: Int) -> Bool { byteCount(count) >= 2 * hugePage }
    /// Of a large allocation: whole huge pages.
    private static func mappedBytes(_ count: Int) -> Int { (byteCount(count) + hugePage - 1) / hugePage * hugePage }

    /// Cache-line aligned; large ones on huge pages, which spares most address translation in matrix products.
    private static func allocate(_ count: Int, sparse: Bool) -> UnsafeMutablePointer<Float> {
        guard isLarge(count) else {
            let bytes = byteCount(count)
            var raw: UnsafeMutableRawPointer?
            let result = posix_memalign(&raw, 64, bytes)
            guard result == 0, let raw else { preconditionFailure("FloatBuffer: no memory for \(bytes) bytes") }
            memset(raw, 0, bytes)
            return raw.bindMemory(to: Float.self, capacity: max(count, 1))
        }
        // Zeros from the system, aligned by mapping a page too many and giving the ends back.
        let bytes = mappedBytes(count)
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | (sparse ? MAP_NORESERVE : 0)
        guard let start = mmap(nil, bytes + hugePage, PROT_READ | PROT_WRITE, flags, -1, 0), start != MAP_FAILED else {
            preconditionFailure("FloatBuffer: no memory for \(bytes) bytes")
        }
        let before = (hugePage - Int(bitPattern: start) % hugePage) % hugePage
        let raw = start + before
        if before > 0 { munmap(start, before) }
        munmap(raw + bytes, hugePage - before)
        madvise(raw, bytes, sparse ? MADV_NOHUGEPAGE : MADV_HUGEPAGE)
        return raw.bindMemory(to: Float.self, capacity: count)
    }

    private static func free(_ base: UnsafeMutablePointer<Float>, _ count: Int) {
        if isLarge(count) { munmap(base, mappedBytes(count)) } else { Glibc.free(base) }
    }
}
