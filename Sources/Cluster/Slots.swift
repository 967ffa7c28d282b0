// Things that keep their number while they are there.

/// Each has a slot until it is removed; then another may have it. Everything O(1) but `occupied`.
struct Slots<Element: Sendable>: Sendable {
    private var elements: [Element?] = []
    private var free: [Int] = []

    var count: Int { elements.count - free.count }
    var isEmpty: Bool { count == 0 }
    /// Ascending. O(n).
    var occupied: [Int] { elements.indices.filter { elements[$0] != nil } }

    subscript(slot: Int) -> Element {
        _read { yield elements[slot]! }
        _modify { yield &elements[slot]! }
    }

    mutating func insert(_ element: Element) -> Int {
        if let slot = free.popLast() {
            elements[slot] = element
            return slot
        }
        elements.append(element)
        return elements.count - 1
    }

    mutating func remove(_ slot: Int) -> Element {
        guard let element = elements[slot].take() else { preconditionFailure("slot \(slot) is empty") }
        free.append(slot)
        return element
    }
}

extension Slots: Equatable where Element: Equatable {}
