// Scratch memory for the parts of a parallel computation: no two running parts share a slot.
import Synchronization

/// As many slots as threads, so a free one always exists for a running part.
final class ScratchSlots: @unchecked Sendable {  // guard: a slot is used only by the part that set its bit
    private let base: UnsafeMutablePointer<Float>
    private let size: Int
    private let count: Int
    private let taken = Atomic<UInt64>(0)

    /// - Parameter count: at most 64.
    init(_ base: UnsafeMutablePointer<Float>, _ size: Int, _ count: Int) {
        precondition(count <= 64, "ScratchSlots: \(count) threads, the limit is 64")
        self.base = base
        self.size = size
        self.count = count
    }

    func with(_ body: (UnsafeMutablePointer<Float>) -> Void) {
        var bits = taken.load(ordering: .relaxed)
        while true {
            let slot = (~bits).trailingZeroBitCount
            precondition(slot < count, "ScratchSlots: more running parts than slots")
            let (exchanged, original) = taken.compareExchange(
                expected: bits, desired: bits | 1 << UInt64(slot), ordering: .acquiringAndReleasing)
            guard exchanged else {
                bits = original
                continue
            }
            body(base + slot * size)
            taken.bitwiseAnd(~(1 << UInt64(slot)), ordering: .acquiringAndReleasing)
            return
        }
    }
}
