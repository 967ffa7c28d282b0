// One dense layer in exact arithmetic: forward, and its two backward forms.
import CKernels

/// y = x·Wᵀ with W (outputs, inputs), x (rows, inputs), y (rows, outputs), all float32, row-major and without gaps.
/// Both operands of every product are rounded to bfloat16 once; sums are those of matmul_bf16.h. So an element's bits
/// depend on its row of x and its row of W alone: not on other rows, threads or processor. Biases stay with the caller.
package struct ExactLinear {
    package let kernel: ExactKernel
    package let outputs: Int
    package let inputs: Int

    /// Rows of the batch whose contributions to the weight gradient form one sum.
    package static let gradientBlockRows = 512

    package init(kernel: ExactKernel, outputs: Int, inputs: Int) {
        self.kernel = kernel
        self.outputs = outputs
        self.inputs = inputs
    }

    /// y ← x·Wᵀ, or y ← y + x·Wᵀ when `adding`: one float32 addition after the sum, denormals flushed.
    /// - Parameter first: the first of W's rows that `weights` holds; only their columns of y are written.
    /// - Precondition: `weights` is packed, `.forward`, of this shape or of some of its rows.
    package func forward(
        _ x: UnsafePointer<Float>, _ weights: PackedWeights, from first: Int = 0, into y: UnsafeMutablePointer<Float>,
        rows: Int, adding: Bool = false, workspace: ExactWorkspace, threads: ThreadPool
    ) {
        check(weights, .forward, from: first)
        ExactProduct(
            kernel: kernel, a: .rows(x), rows: rows, b: weights.operand, y: y + first, adding: adding,
            yStride: outputs
        ).run(workspace, threads)
    }

    /// dx ← dy·W, summed over outputs in ascending pairs as everything else.
    /// - Parameter first: the first of W's rows that `weights` holds, an even number. From another than 0 the sums go
    ///   on from what dx holds of the rows before it.
    /// - Precondition: `weights` is packed, `.backward`, of this shape or of some of its rows.
    package func inputGradient(
        _ dy: UnsafePointer<Float>, _ weights: PackedWeights, from first: Int = 0,
        into dx: UnsafeMutablePointer<Float>, rows: Int, workspace: ExactWorkspace, threads: ThreadPool
    ) {
        precondition(first.isMultiple(of: 2), "ExactLinear: a sum that goes on from row \(first)")
        check(weights, .backward, from: first)
        ExactProduct(
            kernel: kernel, a: .rows(dy + first), rows: rows, b: weights.operand, y: dx, continuing: first > 0,
            aStride: outputs
        ).run(workspace, threads)
    }

    /// dW ← dW + dyᵀ·x. Rows 0…511 form one sum (in ascending pairs of rows), rows 512…1023 the next, the last block
    /// whatever is left; each is added to dW in turn by one float32 addition. The blocks depend on `rows` alone.
    package func weightGradient(
        _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>, into dWeight: UnsafeMutablePointer<Float>, rows: Int,
        workspace: ExactWorkspace, threads: ThreadPool
    ) {
        for start in stride(from: 0, to: rows, by: ExactLinear.gradientBlockRows) {
            let count = min(ExactLinear.gradientBlockRows, rows - start)
            let operand = pack(x + start * inputs, rows: count, workspace, threads)
            ExactProduct(
                kernel: kernel, a: .columns(dy + start * outputs), rows: outputs, b: operand, y: dWeight, adding: true
            ).run(workspace, threads)
        }
    }

    private func pack(
        _ x: UnsafePointer<Float>, rows: Int, _ workspace: ExactWorkspace, _ threads: ThreadPool
    ) -> PackedOperand {
        _ = workspace.operand.reserve(Int(matmul_bf16_weight_words(Int64(inputs), Int64(rows))))
        let words = workspace.operand.words
        let pairs = Int(matmul_bf16_pairs(Int64(rows)))
        let parts = min(threads.threadCount, pairs)
        threads.parallel(parts) { part in
            matmul_bf16_pack_transposed(
                words, x, Int64(inputs), Int64(inputs), Int64(rows), Int64(pairs * part / parts),
                Int64(pairs * (part + 1) / parts))
        }
        return PackedOperand(words: UnsafePointer(words), columns: inputs, reduction: rows)
    }

    private func check(_ weights: PackedWeights, _ direction: PackedWeights.Direction, from first: Int) {
        precondition(
            weights.direction == direction && first + weights.outputs <= outputs && weights.inputs == inputs
                && weights.version != nil,
            "ExactLinear (\(outputs), \(inputs)) \(direction): weights are (\(weights.outputs), \(weights.inputs)) "
                + "\(weights.direction), version \(weights.version.map(String.init) ?? "none")")
    }
}
