// The exact matrix product: every kernel gives the bits of the specification.
import CKernels
import Testing

@testable import Engine

@Suite struct ExactMatmulTests {
    let threads = ThreadPool(threadCount: 2)
    private static let contents: [KernelConformance.Contents] = [.anything, .ordinary, .tiny, .sparse]

    @Test(arguments: exactKernels.map(\.name))
    func `a kernel equals the naive reference for shapes and contents of every kind`(name: String) throws {
        let kernel = try #require(exactKernels.first { $0.name == name })
        var numbers = SeededNumbers(state: 20)
        for round in 0..<40 {
            let rows = Int.random(in: 1...(round % 2 == 0 ? 16 : 70), using: &numbers)
            let outputs = Int.random(in: 1...(round % 4 == 0 ? 140 : 70), using: &numbers)
            let inputs = Int.random(in: 1...70, using: &numbers)
            let contents = ExactMatmulTests.contents[round % 4]
            let x = numbers.floats(rows * inputs, contents)
            let w = numbers.floats(outputs * inputs, contents)
            let expected = ExactReference.product(x, w, reduction: inputs)
            let found = exactForward(kernel, x, w, inputs: inputs, threads: threads)
            #expect(
                ExactReference.bits(found) == ExactReference.bits(expected),
                "\(rows) rows, \(outputs) outputs, \(inputs) inputs, \(contents)")
        }
    }

    @Test(arguments: exactKernels.map(\.name))
    func `a sum longer than the cache holds goes on where it stopped`(name: String) throws {
        let kernel = try #require(exactKernels.first { $0.name == name })
        var numbers = SeededNumbers(state: 21)
        for (rows, outputs, inputs) in [(14, 3, 601), (1, 2, 9001), (13, 33, 4099)] {
            let x = numbers.floats(rows * inputs, .ordinary)
            let w = numbers.floats(outputs * inputs, .ordinary)
            let expected = ExactReference.product(x, w, reduction: inputs)
            let found = exactForward(kernel, x, w, inputs: inputs, threads: threads)
            #expect(ExactReference.bits(found) == ExactReference.bits(expected), "\(rows), \(outputs), \(inputs)")
        }
    }

    @Test(arguments: exactKernels.map(\.name))
    func `adding is one rounding after the sum, flushed as everything`(name: String) throws {
        let kernel = try #require(exactKernels.first { $0.name == name })
        var numbers = SeededNumbers(state: 22)
        for contents in [KernelConformance.Contents.ordinary, .tiny] {
            let (rows, outputs, inputs) = (15, 40, 37)
            let x = numbers.floats(rows * inputs, contents)
            let w = numbers.floats(outputs * inputs, contents)
            let y = numbers.floats(rows * outputs, contents)
            let sums = ExactReference.product(x, w, reduction: inputs)
            let expected = zip(y, sums).map { ExactReference.flushed(ExactReference.flushed($0) + $1) }
            let found = exactForward(kernel, x, w, inputs: inputs, adding: y, threads: threads)
            #expect(ExactReference.bits(found) == ExactReference.bits(expected), "\(contents)")
        }
    }

    /// 2^-126 − m·2^-150 for rising m. In 24 bits m ≤ 1/2 rounds to 2^-126, which is normal; above, to less.
    @Test(arguments: exactKernels.map(\.name))
    func `tininess is judged after rounding`(name: String) throws {
        let kernel = try #require(exactKernels.first { $0.name == name })
        for (m, expected) in [(0.25 as Float, 0x1p-126 as Float), (0.5, 0x1p-126), (0.625, 0), (1, 0), (1.5, 0)] {
            let found = exactForward(
                kernel, [0x1p-80, 0x1p-66], [-m * 0x1p-70, 0x1p-60], inputs: 2, threads: threads)
            #expect(found[0].bitPattern == expected.bitPattern, "m = \(m)")
        }
        // A tiny result keeps its sign.
        let negative = exactForward(kernel, [0x1p-70, 0], [-0x1p-70, 0], inputs: 2, threads: threads)
        #expect(negative[0].bitPattern == 0x8000_0000)
    }

    /// 1 − 1 + 2^-30: taken odd first the large ones cancel before the small one is added; even first it is lost.
    @Test(arguments: exactKernels.map(\.name))
    func `the odd element of a pair is first`(name: String) throws {
        let kernel = try #require(exactKernels.first { $0.name == name })
        let found = exactForward(
            kernel, [0, 1, 0x1p-30, -1], [1, 1, 1, 1], inputs: 4, threads: threads)
        #expect(found == [0x1p-30])
    }

    @Test(arguments: exactKernels.map(\.name))
    func `a row alone has the bits it has among any others, on any number of threads`(name: String) throws {
        let kernel = try #require(exactKernels.first { $0.name == name })
        var numbers = SeededNumbers(state: 23)
        let (outputs, inputs) = (99, 130)
        let w = numbers.floats(outputs * inputs, .ordinary)
        let x = numbers.floats(310 * inputs, .ordinary)
        let all = exactForward(kernel, x, w, inputs: inputs, threads: threads)
        for rows in [1, 2, 3, 5, 12, 13, 64, 97, 193, 310] {
            for count in [1, 2, 3] {
                let pool = ThreadPool(threadCount: count)
                let part = [Float](x[(310 - rows) * inputs..<310 * inputs])
                let found = exactForward(kernel, part, w, inputs: inputs, threads: pool)
                let expected = [Float](all[(310 - rows) * outputs..<310 * outputs])
                #expect(
                    ExactReference.bits(found) == ExactReference.bits(expected), "\(rows) rows, \(count) threads")
            }
        }
    }

    @Test func `a kernel leaves the thread's floating-point mode as it was`() {
        for kernel in exactKernels {
            _ = exactForward(kernel, [1, 2], [3, 4], inputs: 2, threads: ThreadPool(threadCount: 1))
            let denormal = Float.leastNormalMagnitude * Float(bitPattern: 0x3F00_0000)
            #expect(denormal.isSubnormal, "\(kernel.name)")
        }
    }
}
