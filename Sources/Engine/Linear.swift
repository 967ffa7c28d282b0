// One dense layer, forward and its two backward forms, in the model's arithmetic: the only code that calls sgemm.
import CKernels
import COpenBLAS

/// y = x·Wᵀ + b with W (outputs, inputs), x (rows, inputs), y (rows, outputs), all row-major and without gaps.
///
/// Each float32 product is cut into column (for the weight gradient: row) ranges of W by its shape alone, never by the
/// number of threads, so that any number of threads gives the same bits.
struct Linear {
    let weight: UnsafePointer<Float>
    let bias: UnsafePointer<Float>?
    let outputs: Int
    let inputs: Int
    /// Where products are made in exact arithmetic; nil for float32.
    let exact: ExactProducts?

    /// - Parameters: offsets in `parameters`.
    init(
        _ parameters: Parameters, weight: Int, bias: Int? = nil, outputs: Int, inputs: Int, exact: ExactProducts?
    ) {
        let base = UnsafePointer(parameters.base)
        self.weight = base + weight
        self.bias = bias.map { base + $0 }
        self.outputs = outputs
        self.inputs = inputs
        self.exact = exact
    }

    /// y ← x·Wᵀ + b, or y ← y + x·Wᵀ + b when `adding`.
    func forward(
        _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, rows: Int, adding: Bool = false,
        threads: ThreadPool
    ) {
        guard rows > 0 else { return }
        if let exact {
            exact.forward(self, x, into: y, rows: rows, adding: adding, threads: threads)
            addBias(to: y, rows: rows, threads: threads)
            return
        }
        let cut = Cut(outputs)
        threads.parallel(cut.count) { part in
            let range = cut[part]
            cblas_sgemm(
                CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows), Int32(range.count), Int32(inputs), 1, x,
                Int32(inputs), weight + range.lowerBound * inputs, Int32(inputs), adding ? 1 : 0,
                y + range.lowerBound, Int32(outputs))
            if let bias {
                rows_add_bias(
                    y + range.lowerBound, Int64(outputs), bias + range.lowerBound, Int64(rows), Int64(range.count))
            }
        }
    }

    /// dx ← dy·W.
    func backwardInput(
        _ dy: UnsafePointer<Float>, into dx: UnsafeMutablePointer<Float>, rows: Int, threads: ThreadPool
    ) {
        guard rows > 0 else { return }
        if let exact {
            exact.inputGradient(self, dy, into: dx, rows: rows, threads: threads)
            return
        }
        let cut = Cut(inputs)
        threads.parallel(cut.count) { part in
            let range = cut[part]
            cblas_sgemm(
                CblasRowMajor, CblasNoTrans, CblasNoTrans, Int32(rows), Int32(range.count), Int32(outputs), 1, dy,
                Int32(outputs), weight + range.lowerBound, Int32(inputs), 0, dx + range.lowerBound, Int32(inputs))
        }
    }

    /// dW ← dW + dyᵀ·x, and db ← db + Σ over rows of dy when there is a bias.
    func backwardWeight(
        _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>, into dWeight: UnsafeMutablePointer<Float>,
        bias dBias: UnsafeMutablePointer<Float>? = nil, rows: Int, threads: ThreadPool
    ) {
        guard rows > 0 else { return }
        if let exact {
            exact.weightGradient(self, dy, x, into: dWeight, rows: rows, threads: threads)
            if let dBias { sumRows(of: dy, into: dBias, rows: rows, threads: threads) }
            return
        }
        let cut = Cut(outputs)
        threads.parallel(cut.count) { part in
            let range = cut[part]
            cblas_sgemm(
                CblasRowMajor, CblasTrans, CblasNoTrans, Int32(range.count), Int32(inputs), Int32(rows), 1,
                dy + range.lowerBound, Int32(outputs), x, Int32(inputs), 1, dWeight + range.lowerBound * inputs,
                Int32(inputs))
            if let dBias {
                rows_sum_columns(
                    dBias, dy, Int64(rows), Int64(outputs), Int64(range.lowerBound), Int64(range.upperBound))
            }
        }
    }

    private func addBias(to y: UnsafeMutablePointer<Float>, rows: Int, threads: ThreadPool) {
        guard let bias else { return }
        threads.parallelRows(rows, width: outputs) { range in
            rows_add_bias(y + range.lowerBound * outputs, Int64(outputs), bias, Int64(range.count), Int64(outputs))
        }
    }

    private func sumRows(
        of dy: UnsafePointer<Float>, into sum: UnsafeMutablePointer<Float>, rows: Int, threads: ThreadPool
    ) {
        let cut = Cut(outputs)
        threads.parallel(cut.count) { part in
            rows_sum_columns(
                sum, dy, Int64(rows), Int64(outputs), Int64(cut[part].lowerBound), Int64(cut[part].upperBound))
        }
    }
}

/// Ranges of about 288 columns that start at multiples of 16, an even number of them where there are several:
/// narrower ones make OpenBLAS pack the other operand too often, and two threads want halves.
struct Cut {
    let count: Int
    private let columns: Int

    init(_ columns: Int) {
        self.columns = columns
        let parts = (columns + 144) / 288
        count = parts <= 1 ? 1 : (parts + 1) / 2 * 2
    }

    subscript(part: Int) -> Range<Int> {
        let blocks = (columns + 15) / 16
        return min(blocks * part / count * 16, columns)..<min(blocks * (part + 1) / count * 16, columns)
    }
}
