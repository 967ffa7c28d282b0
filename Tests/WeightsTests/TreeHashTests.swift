// Is the hash that names data the one defined, however the data is handed in?

import Testing

@testable import Weights

@Suite struct TreeHashTests {
    private let folder = ScratchFolder()

    private static func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ ($0 >> 8)) }
    }

    /// Computed by Python from the definition: no byte, part of a leaf, one leaf, one and a byte, more leaves
    /// than lanes, more than are gathered.
    private static let golden: [(count: Int, hash: String)] = [
        (0, "81e47a19e6b29b0a65b9591762ce5143ed30d0261e5d24a3201752506b20f15c"),
        (3, "b65446895f1bcedc06fe1c908a9844ea7559afa666e4ecf3716324732ae494bf"),
        (65_536, "5aa3805aa44400a954a0e50702e309dd55360e353eee09ed0e3ab5f9abe411b0"),
        (65_537, "3e3365da9db5648bcd070bb3d926937587c26435f6693f32236c693cf853a6fc"),
        (589_829, "f761d57cd071f74e8c883db84e5b0d339af7a6a02a28a18dbdd50509d08f22ca"),
        (4_587_521, "9256ce9ba34c86e377386d941500a1f55a8f66c28eda83b9d6d2b2874ee1639f"),
    ]

    @Test func `bytes at hand, in a file and fed in any pieces have the hash defined`() throws {
        for (count, hash) in TreeHashTests.golden {
            let bytes = TreeHashTests.bytes(count)
            #expect("\(TreeHash.hash(bytes))" == hash)
            let file = try TreeHash.hash(file: folder.write("bytes", bytes))
            #expect("\(file.digest)" == hash && file.byteCount == count)
            for piece in [1000, 65_536, 4_000_000, 4_300_000] where piece > 1000 || count < 600_000 {
                let stream = TreeHash()
                for start in stride(from: 0, to: count, by: piece) {
                    stream.update(Array(bytes[start..<min(start + piece, count)]))
                }
                #expect("\(stream.finish())" == hash, "\(count) bytes in pieces of \(piece)")
            }
        }
    }

    @Test func `several pieces are hashed each by itself, and every byte is reported once`() {
        let all = TreeHashTests.bytes(3_000_000)
        let counts = [0, 1, 70_000, 1_100_000, 65_536, 1_764_393]
        all.withUnsafeBytes { all in
            var start = 0
            let pieces = counts.map { count in
                defer { start += count }
                return UnsafeRawBufferPointer(rebasing: all[start..<start + count])
            }
            // Guard: the loop below runs on this thread alone.
            nonisolated(unsafe) var reported = 0
            let found = TreeHash.hash(pieces, parallel: { count, body in (0..<count).reversed().forEach(body) }) {
                reported += $0.count
            }
            #expect(found == pieces.map { TreeHash.hash(Array($0)) })
            #expect(reported == counts.reduce(0, +))
        }
    }
}
