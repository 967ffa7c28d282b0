// Do all instruction sets give the same bits? Only those this processor has are compared.
#if arch(x86_64)
import CKernels
import Testing

@Suite struct KernelVariantTests {
    private static let levels = 0...Int(processor_vector_level())

    /// Results of the three variants that this processor can run, widest last.
    private func same(_ variants: [() -> [[Float]]], _ name: String) {
        let results = KernelVariantTests.levels.map { variants[$0]() }
        for (level, result) in results.enumerated().dropFirst() {
            let bits = result.map { $0.map(\.bitPattern) }
            #expect(bits == results[0].map { $0.map(\.bitPattern) }, "\(name), level \(level)")
        }
    }

    @Test func `norms give the same bits`() {
        var numbers = NumberSource(7)
        let x = numbers.floats(3 * 83)
        let w = numbers.floats(83)
        let dy = numbers.floats(3 * 83)
        let variants = [
            (rmsnorm_forward_portable, rmsnorm_backward_input_portable),
            (rmsnorm_forward_avx2, rmsnorm_backward_input_avx2),
            (rmsnorm_forward_avx512, rmsnorm_backward_input_avx512),
        ]
        same(variants.map { forward, backward in
            {
                var y = x
                var inverse: [Float] = [0, 0, 0]
                forward(&y, 83, &inverse, x, 83, w, 3, 1, 83, 1e-5)
                var dx = x
                backward(&dx, 83, inverse, dy, 83, x, 83, w, 3, 1, 83, 1)
                return [y, inverse, dx]
            }
        }, "rmsnorm")
    }

    @Test func `activations give the same bits`() {
        var numbers = NumberSource(8)
        let x = numbers.floats(2 * 2 * 37, scale: 30)
        let dy = numbers.floats(2 * 37)
        same([swiglu_backward_portable, swiglu_backward_avx2, swiglu_backward_avx512].map { kernel in
            {
                var dx = x
                var y = dy
                kernel(&dx, &y, x, 2, 37)
                return [dx, y]
            }
        }, "swiglu")
    }

    @Test func `logits give the same bits`() {
        var numbers = NumberSource(9)
        let logits = numbers.floats(2 * 101, scale: 8)
        let weights = numbers.floats(2)
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: Int(sampling_scratch_bytes(101)), alignment: 64)
        defer { scratch.deallocate() }
        let variants = [
            (SAMPLING_BASELINE, logits_gradient_portable), (SAMPLING_AVX2, logits_gradient_avx2),
            (SAMPLING_AVX512, logits_gradient_avx512),
        ]
        same(variants.map { set, gradient in
            {
                var logProbs: [Float] = [0, 0]
                var entropies: [Float] = [0, 0]
                var logSums: [Float] = [0, 0]
                withAll([0, 1, 2], [7, 100], [0, 1], &logProbs, &entropies, &logSums) {
                    sampling_score_rows(set, logits, 101, 0.8, $0, 2, scratch)
                }
                var d = logits
                gradient(&d, logSums, weights, weights, entropies, [0, 1, 2], [7, 100], [0, 1], 1.25, 2, 101)
                return [logProbs, entropies, logSums, d]
            }
        }, "logits")
    }

    @Test func `activations going forward and rotations give the same bits`() {
        var numbers = NumberSource(15)
        let x = numbers.floats(2 * 2 * 37, scale: 30)
        let (cosine, sine) = (numbers.floats(3 * 9), numbers.floats(3 * 9))
        let variants = [
            (swiglu_forward_portable, rotary_apply_portable), (swiglu_forward_avx2, rotary_apply_avx2),
            (swiglu_forward_avx512, rotary_apply_avx512),
        ]
        same(variants.map { activate, turn in
            {
                var y = [Float](repeating: 0, count: 2 * 37)
                activate(&y, x, 2, 37)
                var turned = x
                turn(&turned, 74, [2, 1], cosine, sine, 2, 4, 9, 1)
                return [y, turned]
            }
        }, "swiglu and rotary")
    }

    /// One prefix of 21 tokens, sequences of 1 and 14: more than a page, and less.
    @Test func `decoding attention gives the same bits`() {
        let shape = attention_shape(heads: 4, key_heads: 2, dimension: 10)
        let stride = 8 * 10
        var numbers = NumberSource(16)
        let size = Int(attention_page_size(shape))
        let pages = (0..<5).map { _ in numbers.floats(2 * size) }
        let queries = numbers.floats(2 * stride, scale: 2)
        let buffers = pages.map { page in
            let buffer = UnsafeMutablePointer<Float>.allocate(capacity: page.count)
            buffer.initialize(from: page, count: page.count)
            return buffer
        }
        defer { buffers.forEach { $0.deallocate() } }
        let prefix: [UnsafePointer<Float>?] = [UnsafePointer(buffers[0]), UnsafePointer(buffers[1])]
        let own: [UnsafePointer<Float>?] = buffers[2...].map { UnsafePointer($0) }
        same([attention_decode_portable, attention_decode_avx2, attention_decode_avx512].map { kernel in
            {
                var attended = [Float](repeating: 0, count: 2 * 40)
                prefix.withUnsafeBufferPointer { prefix in
                    own.withUnsafeBufferPointer { own in
                        let (offsets, counts, rows): ([Int32], [Int32], [Int32]) = ([0, 1], [1, 14], [1, 0])
                        offsets.withUnsafeBufferPointer { offsets in
                            counts.withUnsafeBufferPointer { counts in
                                rows.withUnsafeBufferPointer { rows in
                                    var group = attention_decode_group(
                                        prefix_pages: prefix.baseAddress, prefix_count: 21, sequence_count: 2,
                                        own_pages: own.baseAddress, own_offsets: offsets.baseAddress,
                                        own_counts: counts.baseAddress, rows: rows.baseAddress)
                                    var workspace = [Float](
                                        repeating: .nan, count: Int(attention_decode_workspace(shape, &group)))
                                    for head in 0..<Int64(2) {
                                        kernel(
                                            &attended, queries, shape, &group, head * Int64(size), head, &workspace)
                                    }
                                }
                            }
                        }
                    }
                }
                return [attended]
            }
        }, "decoding attention")
    }

    @Test(arguments: AttentionCase.all) func `attention gives the same bits`(_ example: AttentionCase) {
        var numbers = NumberSource(10)
        let x = numbers.floats(example.rows * example.stride, scale: 2)
        let dy = numbers.floats(example.rows * example.heads * example.dimension)
        let variants = [
            (attention_forward_portable, attention_backward_portable),
            (attention_forward_avx2, attention_backward_avx2), (attention_forward_avx512, attention_backward_avx512),
        ]
        same(variants.map { forward, backward in
            {
                var y = [Float](repeating: 0, count: dy.count)
                var logSums = [Float](repeating: 0, count: example.rows * example.heads)
                var dx = [Float](repeating: 0, count: x.count)
                example.withGroup { group, workspace in
                    for keyHead in 0..<Int64(example.keyHeads) {
                        forward(&y, &logSums, x, example.shape, group, keyHead, workspace)
                        backward(&dx, dy, y, logSums, x, example.shape, group, keyHead, workspace)
                    }
                }
                return [y, logSums, dx]
            }
        }, "attention")
    }

    @Test func `the optimizer gives the same bits`() {
        var numbers = NumberSource(11)
        let start = numbers.floats(77)
        let gradient = numbers.floats(77)
        let moments = numbers.floats(77).map { abs($0) }
        same([adamw_update_portable, adamw_update_avx2, adamw_update_avx512].map { kernel in
            {
                var (p, g, m, v) = (start, gradient, gradient, moments)
                var step = adamw_step(
                    gradient_scale: 0.3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, keep: 0.999, step_size: 0.01,
                    second_scale: 2)
                kernel(&p, &g, &m, &v, 77, &step)
                return [p, g, m, v]
            }
        }, "adamw")
    }

    /// Six rows: a block of four and two single ones; 37 columns: two vectors and a part.
    @Test func `merging adapters gives the same bits`() {
        var numbers = NumberSource(18)
        let (start, a, b) = (numbers.floats(6 * 37), numbers.floats(3 * 37), numbers.floats(6 * 3))
        same([adapter_merge_portable, adapter_merge_avx2, adapter_merge_avx512].map { kernel in
            {
                var w = start
                kernel(&w, a, b, 0.7, 6, 37, 3)
                return [w]
            }
        }, "adapters")
    }

    /// Three updates, so that codes are read as well as written; 150 elements are two blocks and a part.
    @Test func `the optimizer of compressed moments gives the same bits`() {
        var numbers = NumberSource(17)
        let start = numbers.floats(150)
        let gradients = (0..<3).map { _ in numbers.floats(150).map { $0 * $0 * $0 * $0 * $0 } }
        let variants = [
            (adamw_update_bf16_portable, adamw_update_8bit_portable), (adamw_update_bf16_avx2, adamw_update_8bit_avx2),
            (adamw_update_bf16_avx512, adamw_update_8bit_avx512),
        ]
        same(variants.map { bf16, bytes in
            {
                var (p, q) = (start, start)
                var (m, v) = ([UInt16](repeating: 0, count: 150), [UInt16](repeating: 0, count: 150))
                var (a, b) = ([UInt8](repeating: 0, count: 150), [UInt8](repeating: 0, count: 150))
                var (x, y) = ([UInt8](repeating: 0, count: 3), [UInt8](repeating: 0, count: 3))
                for (index, gradient) in gradients.enumerated() {
                    var (g, h) = (gradient, gradient)
                    var step = adamw_step(
                        gradient_scale: 0.3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, keep: 0.999, step_size: 0.01,
                        second_scale: 2)
                    bf16(&p, &g, &m, &v, 150, &step, UInt32(index))
                    bytes(&q, &h, &a, &b, &x, &y, 150, &step, UInt32(index))
                }
                return [p, q, m.map(Float.init), v.map(Float.init), (a + b + x + y).map(Float.init)]
            }
        }, "compressed adamw")
    }
}
#endif
