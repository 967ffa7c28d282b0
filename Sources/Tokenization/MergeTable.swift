// Which two neighbouring tokens join, into what, and how early?

/// The order in which pairs are joined.
enum MergeOrder: Equatable, Sendable {
    struct Pair: Equatable, Sendable {
        var left: Int32
        var right: Int32
    }
    /// A list, earliest first: tokenizer.json and GGUF.
    case listed([Pair])
    /// Any pair whose bytes together are a token joins, lowest id first: .tiktoken files.
    case byIdentifier
}

/// Pair of ids → rank and joined id. Open addressing, immutable after it is built.
struct MergeTable: Sendable {
    /// Larger than every rank.
    static let absent = UInt64.max

    private var keys: [UInt64]
    private var values: [UInt64]
    private(set) var count = 0

    private init(pairCount: Int) {
        var capacity = 16
        while capacity < pairCount * 2 { capacity *= 2 }
        keys = Array(repeating: MergeTable.absent, count: capacity)
        values = Array(repeating: MergeTable.absent, count: capacity)
    }

    /// - Returns: rank in the upper 32 bits, joined id in the lower; `absent` where the pair never joins.
    func joined(_ left: Int32, _ right: Int32) -> UInt64 {
        let key = MergeTable.key(left, right)
        let mask = keys.count - 1
        var slot = MergeTable.hash(key) & mask
        while true {
            if keys[slot] == key { return values[slot] }
            if keys[slot] == MergeTable.absent { return MergeTable.absent }
            slot = (slot + 1) & mask
        }
    }

    /// - Returns: false where the pair is already there.
    private mutating func insert(_ pair: MergeOrder.Pair, rank: Int, result: Int32) -> Bool {
        if (count + 1) * 2 > keys.count { grow() }
        let key = MergeTable.key(pair.left, pair.right)
        let mask = keys.count - 1
        var slot = MergeTable.hash(key) & mask
        while keys[slot] != MergeTable.absent {
            if keys[slot] == key { return false }
            slot = (slot + 1) & mask
        }
        keys[slot] = key
        values[slot] = UInt64(rank) << 32 | UInt64(UInt32(bitPattern: result))
        count += 1
        return true
    }

    private mutating func grow() {
        let old = (keys, values)
        keys = Array(repeating: MergeTable.absent, count: old.0.count * 2)
        values = Array(repeating: MergeTable.absent, count: old.0.count * 2)
        let mask = keys.count - 1
        for (key, value) in zip(old.0, old.1) where key != MergeTable.absent {
            var slot = MergeTable.hash(key) & mask
            while keys[slot] != MergeTable.absent { slot = (slot + 1) & mask }
            keys[slot] = key
            values[slot] = value
        }
    }

    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    private static func hash(_ key: UInt64) -> Int {
        Int(truncatingIfNeeded: ((key ^ key >> 29) &* 0x9e37_79b9_7f4a_7c15) >> 20) & Int.max
    }
}

extension MergeTable {
    init(_ order: MergeOrder, _ vocabulary: Vocabulary, source: String) throws(TokenizationError) {
        switch order {
        case .listed(let pairs): try self.init(listed: pairs, vocabulary, source: source)
        case .byIdentifier: try self.init(byIdentifier: vocabulary, source: source)
        }
    }

    private init(
        listed pairs: [MergeOrder.Pair], _ vocabulary: Vocabulary, source: String
    ) throws(TokenizationError) {
        self.init(pairCount: pairs.count)
        for (rank, pair) in pairs.enumerated() {
            let joined = Array(vocabulary.bytes(of: pair.left) + vocabulary.bytes(of: pair.right))
            guard let result = vocabulary.id(of: joined) else {
                throw .malformed(
                    source: source, subject: "merge \(rank)",
                    problem: "`\(ByteAlphabet.text(joined).shortened())` is not in the vocabulary")
            }
            guard insert(pair, rank: rank, result: result) else {
                throw .malformed(
                    source: source, subject: "merge \(rank)",
                    problem: "the pair for `\(ByteAlphabet.text(joined).shortened())` occurs twice")
            }
        }
    }

    /// Longest token for which all its splits are tried; the published vocabularies stay below 130 bytes.
    private static let tokenBytesLimit = 1024

    /// Every split of every token into two tokens, with the token's own id as its rank.
    private init(byIdentifier vocabulary: Vocabulary, source: String) throws(TokenizationError) {
        self.init(pairCount: vocabulary.count * 3)
        for id in 0..<vocabulary.count where vocabulary.kinds[id] == .ordinary && vocabulary.length(of: id) > 1 {
            let length = vocabulary.length(of: id)
            guard length <= MergeTable.tokenBytesLimit else {
                throw .malformed(
                    source: source, subject: "token \(id)",
                    problem: "\(length) bytes long, limit \(MergeTable.tokenBytesLimit)")
            }
            let start = vocabulary.offsets[id]
            vocabulary.bytes.withUnsafeBufferPointer { bytes in
                for cut in 1..<length {
                    let left = UnsafeBufferPointer(rebasing: bytes[start..<start + cut])
                    let right = UnsafeBufferPointer(rebasing: bytes[start + cut..<start + length])
                    if let left = vocabulary.id(of: left), vocabulary.kind(of: left) == .ordinary,
                        let right = vocabulary.id(of: right), vocabulary.kind(of: right) == .ordinary
                    {
                        // Different splits of different tokens never share both halves, so this is always new.
                        _ = insert(MergeOrder.Pair(left: left, right: right), rank: id, result: Int32(id))
                    }
                }
            }
        }
    }

    /// All pairs, earliest first; pairs of equal rank in the order of their ids.
    func sortedPairs() -> [MergeOrder.Pair] {
        var all: [(rank: UInt64, key: UInt64)] = []
        all.reserveCapacity(count)
        for (key, value) in zip(keys, values) where key != MergeTable.absent { all.append((value >> 32, key)) }
        all.sort { ($0.rank, $0.key) < ($1.rank, $1.key) }
        return all.map { entry in
            MergeOrder.Pair(
                left: Int32(bitPattern: UInt32(entry.key >> 32)),
                right: Int32(bitPattern: UInt32(truncatingIfNeeded: entry.key)))
        }
    }
}
