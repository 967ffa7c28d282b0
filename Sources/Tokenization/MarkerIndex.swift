// Where in a text do control markers and added words stand?

/// Finds tokens that are matched as text, before any merge: the leftmost, and the longest of those.
struct MarkerIndex: Sendable {
    private struct Marker: Sendable {
        var bytes: [UInt8]
        var id: Int32
        var isSpecial: Bool
    }

    /// By first byte, longest first.
    private let candidates: [[Marker]]

    init(_ vocabulary: Vocabulary) {
        var candidates = [[Marker]](repeating: [], count: 256)
        for id in 0..<vocabulary.count where vocabulary.kinds[id] == .special || vocabulary.kinds[id] == .added {
            let bytes = Array(vocabulary.bytes(of: Int32(id)))
            guard let first = bytes.first else { continue }
            candidates[Int(first)].append(
                Marker(bytes: bytes, id: Int32(id), isSpecial: vocabulary.kinds[id] == .special))
        }
        for index in candidates.indices {
            candidates[index].sort { ($1.bytes.count, $0.id) < ($0.bytes.count, $1.id) }
        }
        self.candidates = candidates
    }

    /// - Parameters:
    ///   - specials: whether control markers count; added words always do.
    ///   - isProtected: one flag a byte, or empty: no control marker is seen in text with a protected byte.
    func match(
        _ text: UnsafeBufferPointer<UInt8>, at position: Int, specials: Bool, isProtected: [Bool]
    ) -> (id: Int32, length: Int)? {
        for marker in candidates[Int(text[position])] {
            let end = position + marker.bytes.count
            guard end <= text.count, specials || !marker.isSpecial else { continue }
            guard (0..<marker.bytes.count).allSatisfy({ text[position + $0] == marker.bytes[$0] }) else { continue }
            if marker.isSpecial, !isProtected.isEmpty, isProtected[position..<end].contains(true) { continue }
            return (marker.id, marker.bytes.count)
        }
        return nil
    }

    func mayStart(_ byte: UInt8) -> Bool { !candidates[Int(byte)].isEmpty }
}
