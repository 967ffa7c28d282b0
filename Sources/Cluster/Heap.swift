// The least of many things first.

/// A binary heap. Putting in, and taking the least out: O(log n).
struct Heap<Element: Comparable & Sendable>: Equatable, Sendable {
    private var elements: [Element] = []

    var count: Int { elements.count }

    mutating func insert(_ element: Element) {
        elements.append(element)
        var place = elements.count - 1
        while place > 0 {
            let parent = (place - 1) / 2
            guard element < elements[parent] else { break }
            elements[place] = elements[parent]
            place = parent
        }
        elements[place] = element
    }

    mutating func popFirst() -> Element? {
        guard let first = elements.first, let last = elements.popLast() else { return nil }
        let count = elements.count
        guard count > 0 else { return first }
        var place = 0
        while true {
            var child = 2 * place + 1
            guard child < count else { break }
            if child + 1 < count, elements[child + 1] < elements[child] { child += 1 }
            guard elements[child] < last else { break }
            elements[place] = elements[child]
            place = child
        }
        elements[place] = last
        return first
    }

    /// O(n log n).
    mutating func removeAll(where isLeftOut: (Element) -> Bool) {
        let kept = elements.filter { !isLeftOut($0) }
        elements = []
        for element in kept { insert(element) }
    }
}
