// Do all instruction sets agree on NaN, infinities, denormals and zeros of both signs, in the kernels' mode?
#if arch(x86_64)
import CKernels
import Testing

@testable import Engine

@Suite struct KernelSpecialValueTests {
    private static let levels = 0...Int(processor_vector_level())
    private static let contents: [KernelConformance.Contents] = [.anything, .tiny, .sparse, .ordinary]
    /// Kernels run with denormals flushed, as a pool's parts do.
    private let threads = ThreadPool(threadCount: 1)

    /// Numbers of one kind; every eleventh is one of NaN, ±infinity, ±0 and the smallest denormals in turn.
    private func values(_ count: Int, _ contents: KernelConformance.Contents, _ operand: UInt64) -> [Float] {
        let special: [Float] = [.nan, .infinity, -0.0, .leastNonzeroMagnitude, -.infinity, 0, -.leastNonzeroMagnitude]
        return (0..<count).map { index in
            index % 11 == 10 && contents != .ordinary
                ? special[index / 11 % special.count] : contents.value(UInt64(index) | operand << 40)
        }
    }

    /// Every NaN counts as the same one.
    private func bits(_ values: [Float]) -> [UInt32] { values.map { $0.isNaN ? 0x7FC0_0000 : $0.bitPattern } }

    private func same(_ variants: [() -> [[Float]]], _ name: String) {
        var results: [[[UInt32]]] = []
        for level in KernelSpecialValueTests.levels {
            threads.parallel(1) { _ in results.append(variants[level]().map(bits)) }
        }
        for (level, result) in results.enumerated().dropFirst() {
            for (number, (array, expected)) in zip(result, results[0]).enumerated() {
                let differing = array.indices.filter { array[$0] != expected[$0] }
                #expect(differing == [], "\(name), level \(level), result \(number)")
            }
        }
    }

    @Test(arguments: contents, [1, 16, 37, 83])
    func `norms, activations and rotations`(_ contents: KernelConformance.Contents, _ size: Int) {
        let x = values(3 * 2 * size, contents, 1)
        let w = values(size, .ordinary, 2)
        let dy = values(3 * size, contents, 3)
        let norms = [
            (rmsnorm_forward_portable, rmsnorm_backward_input_portable),
            (rmsnorm_forward_avx2, rmsnorm_backward_input_avx2),
            (rmsnorm_forward_avx512, rmsnorm_backward_input_avx512),
        ]
        let (count, row) = (Int64(3), Int64(size))
        same(norms.map { forward, backward in
            {
                var y = [Float](repeating: 0, count: 3 * size)
                var inverse: [Float] = [0, 0, 0]
                forward(&y, row, &inverse, x, 2 * row, w, count, 1, row, 1e-5)
                var dx = dy
                backward(&dx, row, inverse, dy, row, x, 2 * row, w, count, 1, row, 1)
                return [y, inverse, dx]
            }
        }, "rmsnorm")
        let activations = [
            (swiglu_forward_portable, swiglu_backward_portable), (swiglu_forward_avx2, swiglu_backward_avx2),
            (swiglu_forward_avx512, swiglu_backward_avx512),
        ]
        same(activations.map { forward, backward in
            {
                var y = [Float](repeating: 0, count: 3 * size)
                forward(&y, x, count, row)
                var (dx, activated) = (x, dy)
                backward(&dx, &activated, x, count, row)
                return [y, dx, activated]
            }
        }, "swiglu")
        same([rotary_apply_portable, rotary_apply_avx2, rotary_apply_avx512].map { turn in
            {
                var turned = x
                turn(&turned, 2 * row, [2, 0, 1], dy, dy.reversed(), count, 1, row, 1)
                return [turned]
            }
        }, "rotary")
    }

    @Test(arguments: contents)
    func `attention going forward, whatever a later token holds`(_ contents: KernelConformance.Contents) {
        let variants = [attention_forward_portable, attention_forward_avx2, attention_forward_avx512]
        for example in AttentionCase.all {
            let x = values(example.rows * example.stride, contents, 4)
            let count = example.rows * example.heads * example.dimension
            same(variants.map { forward in
                {
                    var y = [Float](repeating: 0, count: count)
                    var logSums = [Float](repeating: 0, count: example.rows * example.heads)
                    example.withGroup { group, workspace in
                        for keyHead in 0..<Int64(example.keyHeads) {
                            forward(&y, &logSums, x, example.shape, group, keyHead, workspace)
                        }
                    }
                    return [y, logSums]
                }
            }, "attention")
        }
    }
}
#endif
