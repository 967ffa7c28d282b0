// Which bytes does each id stand for, and which id do these bytes have?

struct Vocabulary: Sendable {
    enum Kind: UInt8, Sendable {
        /// A piece of text, made by merges.
        case ordinary = 0
        /// A control marker: recognised in text only when asked for, and left out of decoded text.
        case special = 1
        /// A word added beside the merges: always recognised in text, and part of decoded text.
        case added = 2
        /// A place in the table that no text leads to.
        case unused = 3
    }

    struct Entry: Equatable, Sendable {
        var bytes: [UInt8]
        var kind: Kind
        static let hole = Entry(bytes: [], kind: .unused)
    }

    /// All tokens' bytes one after the other; token `i` is `bytes[offsets[i]..<offsets[i + 1]]`.
    let bytes: [UInt8]
    let offsets: [Int]
    let kinds: [Kind]
    /// Open addressing over the ids; -1 is empty. Ordinary tokens first, then markers whose bytes are still free.
    private let slots: [Int32]

    var count: Int { kinds.count }

    init(_ entries: [Entry], source: String) throws(TokenizationError) {
        guard entries.count <= 1 << 24 else {
            throw .malformed(
                source: source, subject: "vocabulary", problem: "\(entries.count) tokens, limit \(1 << 24)")
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(entries.count * 8)
        var offsets: [Int] = [0]
        offsets.reserveCapacity(entries.count + 1)
        for entry in entries {
            bytes += entry.bytes
            offsets.append(bytes.count)
        }
        self.bytes = bytes
        self.offsets = offsets
        self.kinds = entries.map(\.kind)
        slots = try Vocabulary.index(entries, source: source)
    }

    private static func index(_ entries: [Entry], source: String) throws(TokenizationError) -> [Int32] {
        var capacity = 16
        while capacity < entries.count * 2 { capacity *= 2 }
        var slots = [Int32](repeating: -1, count: capacity)
        for kind in [Kind.ordinary, .special, .added] {
            for (id, entry) in entries.enumerated() where entry.kind == kind && !entry.bytes.isEmpty {
                var slot = entry.bytes.withUnsafeBufferPointer(hash) & (capacity - 1)
                while slots[slot] >= 0, entries[Int(slots[slot])].bytes != entry.bytes {
                    slot = (slot + 1) & (capacity - 1)
                }
                if slots[slot] < 0 {
                    slots[slot] = Int32(id)
                } else if kind == .ordinary {
                    let name = ByteAlphabet.text(entry.bytes).shortened()
                    throw .malformed(
                        source: source, subject: "token \(id) `\(name)`",
                        problem: "token \(slots[slot]) has the same bytes")
                }
            }
        }
        return slots
    }

    /// - Returns: empty for an id outside the vocabulary.
    func bytes(of id: Int32) -> ArraySlice<UInt8> {
        guard id >= 0, Int(id) < count else { return [] }
        return bytes[offsets[Int(id)]..<offsets[Int(id) + 1]]
    }

    func kind(of id: Int32) -> Kind {
        id >= 0 && Int(id) < count ? kinds[Int(id)] : .unused
    }

    func length(of id: Int) -> Int { offsets[id + 1] - offsets[id] }

    func id(of key: UnsafeBufferPointer<UInt8>) -> Int32? {
        guard !key.isEmpty else { return nil }
        let mask = slots.count - 1
        var slot = Vocabulary.hash(key) & mask
        while slots[slot] >= 0 {
            let candidate = Int(slots[slot])
            if length(of: candidate) == key.count, matches(key, at: offsets[candidate]) { return Int32(candidate) }
            slot = (slot + 1) & mask
        }
        return nil
    }

    func id(of key: [UInt8]) -> Int32? {
        key.withUnsafeBufferPointer { id(of: $0) }
    }

    private func matches(_ key: UnsafeBufferPointer<UInt8>, at offset: Int) -> Bool {
        for index in 0..<key.count where bytes[offset + index] != key[index] { return false }
        return true
    }

    /// FNV-1a with a final mix; never leaves the process.
    static func hash(_ key: UnsafeBufferPointer<UInt8>) -> Int {
        var state: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in key { state = (state ^ UInt64(byte)) &* 0x100_0000_01b3 }
        state ^= state >> 32
        return Int(truncatingIfNeeded: (state &* 0x9e37_79b9_7f4a_7c15) >> 24) & Int.max
    }
}
