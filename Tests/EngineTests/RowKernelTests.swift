// Do the kernels on rows compute their formulas, and do their backward forms agree with finite differences?
//
// Tolerances: forward kernels against double precision, a few roundings of 6e-8 relative on numbers below 4: 2e-6.
// Slopes along random directions: the sum of the absolute terms times 1e-6.
import CKernels
import Foundation
import Testing

@Suite struct RowKernelTests {
    private static let rows = 3, parts = 2, size = 19, stride = 43, epsilon = 1e-5

    /// Σ c·y over the normalized places.
    private static func normLoss(_ x: [Double], _ w: [Double], _ c: [Float]) -> Double {
        var sum = 0.0
        for row in 0..<rows {
            for part in 0..<parts {
                let at = row * stride + part * size
                let mean = (0..<size).reduce(0) { $0 + x[at + $1] * x[at + $1] } / Double(size)
                for i in 0..<size { sum += Double(c[at + i]) * x[at + i] / (mean + epsilon).squareRoot() * w[i] }
            }
        }
        return sum
    }

    private static func isNormalized(_ index: Int) -> Bool { index % stride < parts * size }

    @Test func `RMSNorm and its gradients`() {
        typealias Suite = RowKernelTests
        var numbers = NumberSource(1)
        let count = Suite.rows * Suite.stride
        let (n, m, d, stride) = (Int64(Suite.rows), Int64(Suite.parts), Int64(Suite.size), Int64(Suite.stride))
        let x = numbers.floats(count)
        let w = numbers.floats(Suite.size)
        let c = numbers.floats(count)
        var y = [Float](repeating: 0, count: count)
        var inverse = [Float](repeating: 0, count: Suite.rows * Suite.parts)
        rmsnorm_forward(&y, stride, &inverse, x, stride, w, n, m, d, Float(Suite.epsilon))
        #expect(abs(dot(c, y) - Suite.normLoss(x.map(Double.init), w.map(Double.init), c)) <= 2e-6 * magnitude(c, y))
        #expect(y.indices.allSatisfy { Suite.isNormalized($0) || y[$0] == 0 })

        let before = numbers.floats(count)
        var dx = before
        rmsnorm_backward_input(&dx, stride, inverse, c, stride, x, stride, w, n, m, d, 1)
        var replaced = [Float](repeating: 0, count: count)
        rmsnorm_backward_input(&replaced, stride, inverse, c, stride, x, stride, w, n, m, d, 0)
        #expect(largestDifference(zip(before, replaced).map { $0 + $1 }, dx) <= 1e-6)
        var dw = [Float](repeating: 0, count: Suite.size)
        rmsnorm_backward_weight(&dw, inverse, c, stride, x, stride, n, m, d, 0, 7)
        rmsnorm_backward_weight(&dw, inverse, c, stride, x, stride, n, m, d, 7, d)
        for _ in 0..<8 {
            let v = numbers.floats(count)
            let u = numbers.floats(Suite.size)
            let byX = slope(x, along: v) { Suite.normLoss($0, w.map(Double.init), c) }
            let byW = slope(w, along: u) { Suite.normLoss(x.map(Double.init), $0, c) }
            #expect(abs(dot(replaced, v) - byX) <= 1e-6 * magnitude(replaced, v))
            #expect(abs(dot(dw, u) - byW) <= 1e-6 * magnitude(dw, u))
        }
    }

    @Test func `rotation turns pairs of the two halves, and backward is its transpose`() {
        // Head of 4: element 0 turns with 2 by p·1, element 1 with 3 by p·0.5.
        var table = [Float](repeating: 0, count: 2 * 4 * 2)
        table.withUnsafeMutableBufferPointer {
            rotary_table($0.baseAddress!, $0.baseAddress! + 8, [1, 0.5], 1, 2, 0, 4)
        }
        var x: [Float] = [1, 2, 3, 4, 9]
        table.withUnsafeBufferPointer { rotary_apply(&x, 5, [3], $0.baseAddress!, $0.baseAddress! + 8, 1, 1, 2, 1) }
        let (c1, s1, c2, s2): (Float, Float, Float, Float) = (-0.9899925, 0.14112, 0.0707372, 0.997495)
        let expected = [c1 - 3 * s1, 2 * c2 - 4 * s2, 3 * c1 + s1, 4 * c2 + 2 * s2, 9]
        #expect(largestDifference(x, expected) <= 2e-6)

        var numbers = NumberSource(2)
        let a = numbers.floats(2 * 11)
        let b = numbers.floats(2 * 11)
        var turned = a
        var back = b
        table.withUnsafeBufferPointer {
            rotary_apply(&turned, 11, [2, 3], $0.baseAddress!, $0.baseAddress! + 8, 2, 2, 2, 1)
            rotary_apply(&back, 11, [2, 3], $0.baseAddress!, $0.baseAddress! + 8, 2, 2, 2, -1)
        }
        #expect(abs(dot(turned, b) - dot(a, back)) <= 1e-6)
    }

    private static func swiglu(_ x: [Double], _ c: [Float], _ size: Int) -> Double {
        var sum = 0.0
        for row in 0..<(c.count / size) {
            for i in 0..<size {
                let gate = x[row * 2 * size + i]
                sum += Double(c[row * size + i]) * gate / (1 + exp(-gate)) * x[row * 2 * size + size + i]
            }
        }
        return sum
    }

    @Test func `SwiGLU and its gradients`() {
        var numbers = NumberSource(3)
        let (rows, size) = (3, 21)
        let x = numbers.floats(rows * 2 * size, scale: 4)
        let c = numbers.floats(rows * size)
        var y = [Float](repeating: 0, count: rows * size)
        swiglu_forward(&y, x, Int64(rows), Int64(size))
        #expect(abs(dot(c, y) - RowKernelTests.swiglu(x.map(Double.init), c, size)) <= 1e-6 * magnitude(c, y))
        var dx = [Float](repeating: 0, count: x.count)
        var replaced = c
        swiglu_backward(&dx, &replaced, x, Int64(rows), Int64(size))
        #expect(replaced == y)
        for _ in 0..<8 {
            let v = numbers.floats(x.count)
            let expected = slope(x, along: v) { RowKernelTests.swiglu($0, c, size) }
            #expect(abs(dot(dx, v) - expected) <= 1e-6 * magnitude(dx, v))
        }
    }

    @Test func `SwiGLU of extreme gates stays finite`() {
        let x: [Float] = [-1000, -90, 0, 90, 1000, 1, 1, 1, 1, 1]
        var y = [Float](repeating: 0, count: 5)
        swiglu_forward(&y, x, 1, 5)
        #expect(y == [0, 0, 0, 90, 1000])
    }

    @Test func `rows are biased, summed, gathered and scattered`() {
        var x: [Float] = [1, 2, 3, 4, 5, 6]
        rows_add_bias(&x, 3, [10, 20], 2, 2)
        #expect(x == [11, 22, 3, 14, 25, 6])
        var sums: [Float] = [1, 1, 1]
        rows_sum_columns(&sums, x, 2, 3, 1, 3)
        #expect(sums == [1, 48, 10])
        var gathered = [Float](repeating: 0, count: 6)
        rows_gather(&gathered, x, [1, 1], 2, 3)
        #expect(gathered == [14, 25, 6, 14, 25, 6])
        var table = [Float](repeating: 0, count: 6)
        rows_scatter_add(&table, gathered, [1, 1], 2, 3, 0, 2)
        #expect(table == [0, 0, 0, 28, 50, 0])
    }
}
