// Which sequences read which pages in one decode step: made once, used by every layer.
import CKernels

/// Flat arrays for the kernel. Sequences of one prefix are cut into pieces, so that threads can share a large group.
struct DecodePlan {
    struct Slice {
        var prefix: PagedTokens
        var sequences: [(row: Int, tokens: PagedTokens)]
    }

    private struct Piece {
        var prefixPages: Range<Int>
        var prefixCount: Int
        var sequences: Range<Int>
    }

    /// Sequences that read a prefix together.
    private static let pieceSequences = 16

    private var pages: [UnsafePointer<Float>?] = []
    private var ownOffsets: [Int32] = []
    private var ownCounts: [Int32] = []
    private var rows: [Int32] = []
    private var pieces: [Piece] = []
    private(set) var workspaceSize = 0

    init(_ slices: [Slice], shape: attention_shape) {
        for slice in slices {
            let prefixStart = pages.count
            pages += slice.prefix.pages.map { UnsafePointer($0) }
            let prefixPages = prefixStart..<pages.count
            for first in stride(from: 0, to: slice.sequences.count, by: DecodePlan.pieceSequences) {
                let members = slice.sequences[first..<min(first + DecodePlan.pieceSequences, slice.sequences.count)]
                let start = rows.count
                for (row, tokens) in members {
                    ownOffsets.append(Int32(pages.count))
                    ownCounts.append(Int32(tokens.count))
                    rows.append(Int32(row))
                    pages += tokens.pages.map { UnsafePointer($0) }
                }
                pieces.append(Piece(
                    prefixPages: prefixPages, prefixCount: slice.prefix.count, sequences: start..<rows.count))
            }
        }
        workspaceSize = withGroups { groups in
            groups.map { group in Int(attention_decode_workspace(shape, [group])) }.max() ?? 0
        }
    }

    func withGroups<Result>(_ body: (UnsafeBufferPointer<attention_decode_group>) -> Result) -> Result {
        pages.withUnsafeBufferPointer { pages in
            ownOffsets.withUnsafeBufferPointer { offsets in
                ownCounts.withUnsafeBufferPointer { counts in
                    rows.withUnsafeBufferPointer { rows in
                        let groups = pieces.map { piece in
                            attention_decode_group(
                                prefix_pages: pages.baseAddress! + piece.prefixPages.lowerBound,
                                prefix_count: Int64(piece.prefixCount),
                                sequence_count: Int64(piece.sequences.count), own_pages: pages.baseAddress,
                                own_offsets: offsets.baseAddress! + piece.sequences.lowerBound,
                                own_counts: counts.baseAddress! + piece.sequences.lowerBound,
                                rows: rows.baseAddress! + piece.sequences.lowerBound)
                        }
                        return groups.withUnsafeBufferPointer { body($0) }
                    }
                }
            }
        }
    }
}
