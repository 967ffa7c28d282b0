// Does a kernel compute what matmul_bf16.h specifies? Fixed products whose results have one known hash.
import CKernels

enum KernelConformance {
    /// Of every kernel on every processor. A test derives it from a reference that shares no code with the kernels.
    static let expectedHash: UInt64 = 0xD449_220B_BD55_8268

    static func conforms(_ kernel: ExactKernel) -> Bool { hash(kernel) == expectedHash }

    /// One product: its shape, what its operands hold and how its result is used.
    struct Problem {
        var rows, columns, reduction: Int
        var contents: Contents
        var mode = MATMUL_BF16_SET
        /// Give both operands the other way round.
        var transposed = false

        var x: [Float] { (0..<rows * reduction).map { contents.value(UInt64($0)) } }
        var w: [Float] { (0..<columns * reduction).map { contents.value(UInt64($0) | 1 << 32) } }
        var y: [Float] { (0..<rows * columns).map { contents.value(UInt64($0) | 2 << 32) } }
    }

    /// What operands hold, a function of the index alone.
    enum Contents: UInt64 {
        /// Any bit pattern: denormals, infinities and NaN among them.
        case anything
        /// Magnitudes near 1, as in a model.
        case ordinary
        /// Products and sums around the smallest normal number, where flushing shows.
        case tiny
        /// Exact zeros of both signs and denormals among ordinary numbers.
        case sparse
        /// Pairs that sum to 2^-126 less about half a unit in its last place: whether that is tiny, rounding decides.
        case edge

        func value(_ index: UInt64) -> Float {
            let random = mixed(index &+ rawValue &* 0x9E37_79B9_7F4A_7C15)
            let (bits, choice) = (UInt32(truncatingIfNeeded: random), UInt32(random >> 48))
            let fraction = bits & 0x807F_FFFF
            switch self {
            case .anything: return Float(bitPattern: bits)
            case .ordinary: return Float(bitPattern: fraction | (120 + choice % 10) << 23)
            case .tiny: return Float(bitPattern: fraction | (58 + choice % 10) << 23)
            case .sparse:
                switch choice % 4 {
                case 0: return Float(bitPattern: bits & 0x8000_0000)
                case 1: return Float(bitPattern: fraction)
                default: return Float(bitPattern: fraction | (122 + choice % 6) << 23)
                }
            case .edge:
                let isWeight = index >> 32 != 0
                if index % 2 == 1 { return isWeight ? 0x1p-60 : 0x1p-66 }
                return isWeight ? -Float(bitPattern: bits & 0x007F_0000 | (55 + choice % 3) << 23) : 0x1p-80
            }
        }
    }

    /// Every path through a kernel: single rows, one tile, several, partial panels, long sums, odd lengths, all modes.
    static let problems: [Problem] = [
        Problem(rows: 1, columns: 300, reduction: 71, contents: .tiny),
        Problem(rows: 2, columns: 130, reduction: 33, contents: .ordinary, transposed: true),
        Problem(rows: 3, columns: 97, reduction: 34, contents: .sparse),
        Problem(rows: 7, columns: 64, reduction: 2, contents: .anything),
        Problem(rows: 11, columns: 45, reduction: 5, contents: .tiny, mode: MATMUL_BF16_CONTINUE),
        Problem(rows: 12, columns: 33, reduction: 70, contents: .ordinary, mode: MATMUL_BF16_ADD),
        Problem(rows: 29, columns: 70, reduction: 301, contents: .ordinary),
        Problem(rows: 31, columns: 40, reduction: 129, contents: .tiny, mode: MATMUL_BF16_ADD, transposed: true),
        Problem(rows: 40, columns: 35, reduction: 19, contents: .sparse, mode: MATMUL_BF16_CONTINUE, transposed: true),
        Problem(rows: 25, columns: 50, reduction: 3, contents: .anything, transposed: true),
        Problem(rows: 1, columns: 256, reduction: 2, contents: .edge),
    ]

    /// FNV-1a over the bits of all results, every NaN counted as the same one.
    static func hash(_ kernel: ExactKernel) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for problem in problems {
            for value in result(of: problem, kernel) { fold(value, into: &hash) }
        }
        return hash
    }

    static func fold(_ value: Float, into hash: inout UInt64) {
        hash = (hash ^ UInt64(value.isNaN ? 0x7FC0_0000 : value.bitPattern)) &* 0x100_0000_01B3
    }

    static func result(of problem: Problem, _ kernel: ExactKernel) -> [Float] {
        let (rows, columns, reduction) = (Int64(problem.rows), Int64(problem.columns), Int64(problem.reduction))
        let c = kernel.implementation
        let a = FloatBuffer(count: Int(matmul_bf16_row_words(c, rows, reduction)))
        let b = FloatBuffer(count: Int(matmul_bf16_weight_words(columns, reduction)))
        let (tiles, panels) = (matmul_bf16_tiles(c, rows), matmul_bf16_panels(columns))
        let pairs = matmul_bf16_pairs(reduction)
        if problem.transposed {
            let x = transpose(problem.x, rows: problem.rows)
            let w = transpose(problem.w, rows: problem.columns)
            matmul_bf16_pack_columns(c, a.words, x, rows, rows, reduction, 0, tiles)
            matmul_bf16_pack_transposed(b.words, w, columns, columns, reduction, 0, pairs)
        } else {
            matmul_bf16_pack_rows(c, a.words, problem.x, reduction, rows, reduction, 0, tiles)
            matmul_bf16_pack_weights(b.words, problem.w, reduction, columns, reduction, 0, panels)
        }
        var y = problem.y
        y.withUnsafeMutableBufferPointer { y in
            kernel.multiply(
                matmul_bf16_product(
                    rows: a.words, weights: b.words, panel_stride: pairs * Int64(MATMUL_BF16_PANEL),
                    row_count: rows, output_count: columns, k: reduction, y: y.baseAddress, y_stride: columns,
                    first_panel: 0, last_panel: panels, mode: problem.mode))
        }
        return y
    }

    private static func transpose(_ values: [Float], rows: Int) -> [Float] {
        let columns = values.count / rows
        return (0..<values.count).map { values[$0 % rows * columns + $0 / rows] }
    }

    /// The finalizer of SplitMix64.
    private static func mixed(_ value: UInt64) -> UInt64 {
        var z = value &+ 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
