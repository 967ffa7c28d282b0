// How one exact matrix product is cut into pieces for threads and caches. No cut changes a bit of the result.
import CKernels
import Synchronization

/// The first operand, float32, rounded to bfloat16 as it is packed.
enum ExactRows {
    /// (rows, reduction), row-major without gaps.
    case rows(UnsafePointer<Float>)
    /// (reduction, rows) with a stride of `rows`: the operand is what lies there, transposed.
    case columns(UnsafePointer<Float>)
}

/// Scratch of exact products: packed operands that change with every call. Grows to the largest product and stays.
/// One owner, as a thread pool.
package final class ExactWorkspace {
    fileprivate let shared = FloatBuffer(count: 0)
    fileprivate var own: [FloatBuffer] = []
    /// A second operand that changes with every call (ExactLinear's weight gradient).
    let operand = FloatBuffer(count: 0)

    package init() {}

    package var memoryBytes: Int {
        (own.reduce(shared.count + operand.count) { $0 + $1.count }) * MemoryLayout<Float>.stride
    }
}

/// y (rows, columns) = a·b in the order of matmul_bf16.h.
struct ExactProduct {
    let kernel: ExactKernel
    let a: ExactRows
    let rows: Int
    let b: PackedOperand
    let y: UnsafeMutablePointer<Float>
    /// y + sum instead of the sum: one float32 addition after it.
    var adding = false
    /// The sum goes on from what y holds of its former terms.
    var continuing = false
    /// Elements from one row of `.rows` to the next, and of y; nil: `b.reduction`, `b.columns`.
    var aStride: Int?
    var yStride: Int?

    /// Terms of the sum for which a block of rows is packed at a time, so that it stays in the second-level cache.
    private static let reductionLimit = 4096
    /// Threads that need the same rows pack them each for itself, into its own cache, unless packing would weigh
    /// against its share of the product: from so many elements and below so many columns a thread they do it together.
    private static let sharingElements = 65_536
    private static let sharingColumns = 64
    /// Multiply-adds of a piece of work: large against the cost of claiming it, small enough to even out delays.
    private static let pieceLimit = 1_000_000

    func run(_ workspace: ExactWorkspace, _ threads: ThreadPool) {
        guard rows > 0, b.columns > 0 else { return }
        let plan = Plan(product: self, threads: threads.threadCount)
        // An addition must follow the whole sum, so such a sum is not cut.
        let range = adding ? b.reduction : min(b.reduction, ExactProduct.reductionLimit)
        let ranges = stride(from: 0, to: b.reduction, by: range).map { $0..<min($0 + range, b.reduction) }
        if plan.panelGroups > 1, rows * b.reduction >= ExactProduct.sharingElements,
            b.columns < ExactProduct.sharingColumns * threads.threadCount
        {
            for range in ranges { runShared(range, plan, workspace, threads) }
        } else {
            runOwn(ranges, plan, workspace, threads)
        }
    }

    /// Packs all rows together, then multiplies.
    private func runShared(
        _ range: Range<Int>, _ plan: Plan, _ workspace: ExactWorkspace, _ threads: ThreadPool
    ) {
        let packed = reserve(workspace.shared, rows: rows, reduction: range.count)
        let blocks = plan.rowBlocks
        let tiles = (0..<blocks).map { tileCount(plan.rowRange($0).count) }
        let parts = max(1, min(threads.threadCount, tiles.reduce(0, +)))
        threads.parallel(parts) { part in
            for block in 0..<blocks {
                let tileRange = (tiles[block] * part / parts)..<(tiles[block] * (part + 1) / parts)
                pack(plan.rowRange(block), range, tileRange, into: at(packed, plan.rowRange(block), range))
            }
        }
        threads.parallel(blocks * plan.panelGroups) { piece in
            let block = plan.rowRange(piece % blocks)
            multiply(block, range, plan.panelRange(piece / blocks), UnsafePointer(at(packed, block, range)))
        }
    }

    /// Each thread packs the rows of the piece it takes, unless it has just multiplied them. Pieces of one thread lie
    /// together, so that the weights it asks for ahead are its own; who is done with them takes the others'.
    private func runOwn(
        _ ranges: [Range<Int>], _ plan: Plan, _ workspace: ExactWorkspace, _ threads: ThreadPool
    ) {
        let pieces = plan.rowBlocks * plan.panelGroups
        let slots = min(threads.threadCount, pieces)
        while workspace.own.count < slots { workspace.own.append(FloatBuffer(count: 0)) }
        let packed = (0..<slots).map {
            reserve(workspace.own[$0], rows: plan.rowRange(0).count, reduction: ranges[0].count)
        }
        let shares = PieceShares(pieces: pieces, slots: slots)
        threads.parallel(slots) { slot in
            var held: (block: Int, range: Int)?
            while let piece = shares.take(slot) {
                let (number, panels) = (piece / plan.panelGroups, plan.panelRange(piece % plan.panelGroups))
                let block = plan.rowRange(number)
                for range in ranges {
                    if held?.block != number || held?.range != range.lowerBound {
                        pack(block, range, 0..<tileCount(block.count), into: packed[slot])
                        held = (number, range.lowerBound)
                    }
                    multiply(block, range, panels, UnsafePointer(packed[slot]))
                }
            }
        }
    }

    private func pack(
        _ block: Range<Int>, _ range: Range<Int>, _ tiles: Range<Int>, into packed: UnsafeMutablePointer<UInt32>
    ) {
        let (first, last) = (Int64(tiles.lowerBound), Int64(tiles.upperBound))
        switch a {
        case .rows(let x):
            let stride = aStride ?? b.reduction
            matmul_bf16_pack_rows(
                kernel.implementation, packed, x + block.lowerBound * stride + range.lowerBound, Int64(stride),
                Int64(block.count), Int64(range.count), first, last)
        case .columns(let x):
            matmul_bf16_pack_columns(
                kernel.implementation, packed, x + range.lowerBound * rows + block.lowerBound, Int64(rows),
                Int64(block.count), Int64(range.count), first, last)
        }
    }

    private func multiply(
        _ block: Range<Int>, _ range: Range<Int>, _ panels: Range<Int>, _ packed: UnsafePointer<UInt32>
    ) {
        let panel = Int(MATMUL_BF16_PANEL)
        let isStart = range.lowerBound == 0 && !continuing
        let mode = adding ? MATMUL_BF16_ADD : isStart ? MATMUL_BF16_SET : MATMUL_BF16_CONTINUE
        let stride = yStride ?? b.columns
        kernel.multiply(
            matmul_bf16_product(
                rows: packed, weights: b.words + range.lowerBound / 2 * panel,
                panel_stride: matmul_bf16_pairs(Int64(b.reduction)) * Int64(panel), row_count: Int64(block.count),
                output_count: Int64(b.columns), k: Int64(range.count), y: y + block.lowerBound * stride,
                y_stride: Int64(stride), first_panel: Int64(panels.lowerBound),
                last_panel: Int64(panels.upperBound), mode: mode))
    }

    private func tileCount(_ rows: Int) -> Int { Int(matmul_bf16_tiles(kernel.implementation, Int64(rows))) }

    private func words(_ rows: Int, _ reduction: Int) -> Int {
        Int(matmul_bf16_row_words(kernel.implementation, Int64(rows), Int64(reduction)))
    }

    private func reserve(_ buffer: FloatBuffer, rows: Int, reduction: Int) -> UnsafeMutablePointer<UInt32> {
        _ = buffer.reserve(words(rows, reduction))
        return buffer.words
    }

    private func at(
        _ packed: UnsafeMutablePointer<UInt32>, _ block: Range<Int>, _ range: Range<Int>
    ) -> UnsafeMutablePointer<UInt32> {
        packed + words(block.lowerBound, range.count)
    }
}

/// Which piece a thread takes next: of its own share in order, then of the following slots' shares.
private final class PieceShares: Sendable {
    private let pieces: Int
    private let slots: Int
    /// Next piece of each share; past its end when all are taken.
    private let next: [Counter]

    private final class Counter: Sendable {
        let value: Atomic<Int>
        init(_ value: Int) { self.value = Atomic(value) }
    }

    init(pieces: Int, slots: Int) {
        self.pieces = pieces
        self.slots = slots
        next = (0..<slots).map { Counter(pieces * $0 / slots) }
    }

    func take(_ slot: Int) -> Int? {
        for turn in 0..<slots {
            let share = (slot + turn) % slots
            let end = pieces * (share + 1) / slots
            guard next[share].value.load(ordering: .relaxed) < end else { continue }
            let piece = next[share].value.add(1, ordering: .relaxed).oldValue
            if piece < end { return piece }
        }
        return nil
    }
}

extension ExactProduct {
    /// Row blocks × groups of panels. With many rows each thread takes blocks of rows and all panels, so that a block
    /// is packed once; with few, all rows and a group of panels, so that weights are read once.
    struct Plan {
        let rowBlocks: Int
        let panelGroups: Int
        private let rows: Int
        private let panels: Int

        /// Bytes of a packed block: half of a second-level cache of 2 MiB.
        private static let blockBytes = 1 << 20
        private static let rowMinimum = 96

        init(product: ExactProduct, threads: Int) {
            rows = product.rows
            panels = Int(matmul_bf16_panels(Int64(product.b.columns)))
            let reduction = min(product.b.reduction, ExactProduct.reductionLimit)
            let fitting = Plan.blockBytes / MemoryLayout<Float>.stride / max(reduction, 1)
            let tile = Int(product.kernel.implementation.pointee.tile_rows)
            let limit = min(max(fitting, Plan.rowMinimum), Int(MATMUL_BF16_ROW_LIMIT)) / tile * tile
            let blocks = (rows + limit - 1) / limit
            rowBlocks = rows >= Plan.rowMinimum * threads ? (blocks + threads - 1) / threads * threads : blocks
            guard rowBlocks < threads else {
                panelGroups = 1
                return
            }
            let work = rows * product.b.columns * product.b.reduction
            let wanted = max(work / ExactProduct.pieceLimit, threads) / rowBlocks / threads * threads
            panelGroups = min(max(wanted, (threads + rowBlocks - 1) / rowBlocks), panels)
        }

        /// The largest block is the first.
        func rowRange(_ block: Int) -> Range<Int> { part(rows, block, of: rowBlocks) }
        func panelRange(_ group: Int) -> Range<Int> { part(panels, group, of: panelGroups) }

        private func part(_ count: Int, _ index: Int, of parts: Int) -> Range<Int> {
            let (share, larger) = (count / parts, count % parts)
            let start = index * share + min(index, larger)
            return start..<(start + share + (index < larger ? 1 : 0))
        }
    }
}
