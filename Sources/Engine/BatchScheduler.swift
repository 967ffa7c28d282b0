// Which completion decodes in which slot. Knows no tensor, no token and no backend.

/// Slots of the running batch and the completions waiting for one.
///
/// Completions start in the order of submission; a slot is free from the moment its completion ends. A group may
/// straddle the limit: its later completions start when slots fall free.
struct BatchScheduler {
    struct Place: Equatable {
        var slot: Int
        var identifier: UInt64
        var completionIndex: Int
    }

    let slotCount: Int
    /// Running places in slot order.
    private(set) var running: [Place] = []
    private var freeSlots: [Int]
    private var waiting: [Waiting] = []
    private(set) var waitingCount = 0

    private struct Waiting {
        var identifier: UInt64
        /// Not yet started, the next one last.
        var completionIndices: [Int]
    }

    init(slotCount: Int) {
        precondition(slotCount >= 1, "BatchScheduler: \(slotCount) slots")
        self.slotCount = slotCount
        freeSlots = Array((0..<slotCount).reversed())
    }

    mutating func submit(_ identifier: UInt64, completionIndices: [Int]) {
        waiting.append(Waiting(identifier: identifier, completionIndices: completionIndices.reversed()))
        waitingCount += completionIndices.count
    }

    /// Gives free slots to waiting completions, first come first served; returns the places in that order.
    mutating func fillSlots() -> [Place] {
        var filled: [Place] = []
        var exhausted = 0
        while exhausted < waiting.count, let slot = freeSlots.last {
            guard let index = waiting[exhausted].completionIndices.popLast() else {
                exhausted += 1
                continue
            }
            freeSlots.removeLast()
            waitingCount -= 1
            filled.append(Place(slot: slot, identifier: waiting[exhausted].identifier, completionIndex: index))
        }
        waiting.removeFirst(exhausted)
        running += filled
        running.sort { $0.slot < $1.slot }
        return filled
    }

    /// The completion in this slot has ended.
    mutating func retire(slot: Int) {
        let place = running.firstIndex { $0.slot == slot }
        precondition(place != nil, "BatchScheduler: slot \(slot) is not running")
        running.remove(at: place!)
        freeSlots.append(slot)
    }

    /// Drops a request, waiting or running; returns the slots that fell free.
    mutating func remove(_ identifier: UInt64) -> [Int] {
        waitingCount -= waiting.reduce(0) { $0 + ($1.identifier == identifier ? $1.completionIndices.count : 0) }
        waiting.removeAll { $0.identifier == identifier }
        let slots = running.filter { $0.identifier == identifier }.map(\.slot)
        running.removeAll { $0.identifier == identifier }
        freeSlots += slots
        return slots
    }
}
