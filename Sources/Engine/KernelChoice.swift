// Which kernel this process multiplies with, and why: of those that conform, the fastest here.
import CKernels
import Glibc

/// Newer instructions are not always faster: AVX512-BF16's dot product doubles the speed on some processors and halves
/// it on others, so the choice is measured, not inferred. It never changes a result.
package struct KernelChoice: Sendable {
    package struct Refusal: Sendable, Equatable {
        package let name: String
        package let reason: String
    }

    package let kernel: ExactKernel
    package let reason: String
    /// Kernels that cannot be used here, and why.
    package let refused: [Refusal]

    package var name: String { kernel.name }

    /// Environment variable that names the kernel to use.
    package static let variable = "ROOKERY_KERNEL"

    /// Decided once for the process, in a few milliseconds.
    package static var current: KernelChoice {
        get throws(KernelChoiceError) { try decided.get() }
    }

    private static let decided: Result<KernelChoice, KernelChoiceError> = {
        let forced = getenv(variable).map { String(cString: $0) }
        do throws(KernelChoiceError) {
            return .success(try choose(forced: forced))
        } catch {
            return .failure(error)
        }
    }()

    /// - Parameter forced: a kernel's name; nil or empty measures.
    package static func choose(forced: String?) throws(KernelChoiceError) -> KernelChoice {
        try choose(forced: forced, from: ExactKernel.all, conforms: KernelConformance.conforms)
    }

    static func choose(
        forced: String?, from kernels: [ExactKernel], conforms: (ExactKernel) -> Bool
    ) throws(KernelChoiceError) -> KernelChoice {
        var usable: [ExactKernel] = []
        var refused: [Refusal] = []
        for kernel in kernels {
            if !kernel.isSupported {
                refused.append(Refusal(name: kernel.name, reason: "this processor lacks its instructions"))
            } else if !conforms(kernel) {
                refused.append(Refusal(name: kernel.name, reason: "its results differ from the specified ones"))
            } else {
                usable.append(kernel)
            }
        }
        if let forced, !forced.isEmpty {
            if let kernel = usable.first(where: { $0.name == forced }) {
                return KernelChoice(kernel: kernel, reason: "\(variable) asks for it", refused: refused)
            }
            throw KernelChoiceError(
                requested: forced, reason: refused.first { $0.name == forced }?.reason, usable: usable.map(\.name))
        }
        return try fastest(of: usable, refused)
    }

    private static func fastest(
        of usable: [ExactKernel], _ refused: [Refusal]
    ) throws(KernelChoiceError) -> KernelChoice {
        guard let fallback = usable.last else {
            throw KernelChoiceError(requested: nil, reason: nil, usable: [])
        }
        // The scalar reference is hundreds of times slower than the others: measured only by being the last one.
        let candidates = usable.filter { $0.name != ExactKernel.scalarName }
        guard candidates.count > 1 else {
            return KernelChoice(kernel: candidates.first ?? fallback, reason: "the only one here", refused: refused)
        }
        let speeds = KernelRace(candidates).run()
        let best = speeds.indices.max { speeds[$0] < speeds[$1] }!
        let measured = candidates.indices.map { "\(candidates[$0].name) \(Int(speeds[$0].rounded()))" }
        return KernelChoice(
            kernel: candidates[best],
            reason: "fastest measured, GFLOP/s on one thread: " + measured.joined(separator: ", "), refused: refused)
    }
}

extension KernelChoice: CustomStringConvertible {
    /// One line for logs.
    package var description: String {
        let others = refused.map { "; \($0.name) not used: \($0.reason)" }.joined()
        return "kernel \(name): \(reason)\(others)"
    }
}

/// The kernel asked for cannot be used, or none can.
package struct KernelChoiceError: Error, Equatable, CustomStringConvertible {
    package let requested: String?
    package let reason: String?
    package let usable: [String]

    package var description: String {
        guard let requested else {
            return "no kernel of the exact matrix product gives the specified results on this processor: "
                + "use `precision: float32`"
        }
        let choices = usable.joined(separator: ", ")
        let why = reason ?? "there is no kernel of that name"
        return "\(KernelChoice.variable)=\(requested): \(why); expected one of \(choices), or nothing to measure"
    }
}

/// A small product of a layer's kind, everything in cache, timed a few times by turns.
private struct KernelRace {
    private static let rows = 48
    private static let columns = 128
    private static let reduction = 576
    private static let rounds = 7

    private let kernels: [ExactKernel]
    private let operands: [FloatBuffer]
    private let weights: FloatBuffer
    private let y = FloatBuffer(count: rows * columns)

    init(_ kernels: [ExactKernel]) {
        let (rows, columns, reduction) = (
            Int64(KernelRace.rows), Int64(KernelRace.columns), Int64(KernelRace.reduction)
        )
        let source = FloatBuffer(count: KernelRace.columns * KernelRace.reduction)
        source.all.update(repeating: 1)
        let packed = FloatBuffer(count: Int(matmul_bf16_weight_words(columns, reduction)))
        matmul_bf16_pack_weights(
            packed.words, source.base, reduction, columns, reduction, 0, matmul_bf16_panels(columns))
        operands = kernels.map { kernel in
            let c = kernel.implementation
            let operand = FloatBuffer(count: Int(matmul_bf16_row_words(c, rows, reduction)))
            matmul_bf16_pack_rows(
                c, operand.words, source.base, reduction, rows, reduction, 0, matmul_bf16_tiles(c, rows))
            return operand
        }
        self.kernels = kernels
        weights = packed
    }

    /// GFLOP/s of each, best of all rounds: a delay makes a round slower, nothing makes one faster.
    func run() -> [Double] {
        var best = [Double](repeating: .infinity, count: kernels.count)
        for _ in 0..<KernelRace.rounds {
            for index in kernels.indices {
                let start = threadSeconds()
                multiply(index)
                best[index] = min(best[index], threadSeconds() - start)
            }
        }
        let operations = 2 * Double(KernelRace.rows * KernelRace.columns * KernelRace.reduction)
        return best.map { operations / $0 / 1e9 }
    }

    private func multiply(_ index: Int) {
        let panel = Int64(MATMUL_BF16_PANEL)
        kernels[index].multiply(
            matmul_bf16_product(
                rows: operands[index].words, weights: weights.words,
                panel_stride: matmul_bf16_pairs(Int64(KernelRace.reduction)) * panel,
                row_count: Int64(KernelRace.rows), output_count: Int64(KernelRace.columns),
                k: Int64(KernelRace.reduction), y: y.base, y_stride: Int64(KernelRace.columns), first_panel: 0,
                last_panel: Int64(KernelRace.columns) / panel, mode: MATMUL_BF16_SET))
    }

    /// Processor time of this thread: time spent waiting for the processor does not count.
    private func threadSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
