// The backward forms of an exact layer, and packed weights.
import CKernels
import Testing

@testable import Engine

@Suite struct ExactMatmulGradientTests {
    @Test(arguments: exactKernels.map(\.name))
    func `the input gradient is the same product, summed over outputs`(name: String) throws {
        let kernel = try #require(exactKernels.first { $0.name == name })
        var numbers = SeededNumbers(state: 30)
        let threads = ThreadPool(threadCount: 3)
        for (rows, outputs, inputs) in [(1, 45, 70), (17, 33, 31), (5, 4500, 3), (15, 4400, 33)] {
            let w = numbers.floats(outputs * inputs, .ordinary)
            let dy = numbers.floats(rows * outputs, .ordinary)
            let weights = PackedWeights(outputs: outputs, inputs: inputs, direction: .backward)
            weights.update(from: w, version: 7, threads: threads)
            var dx = [Float](repeating: .nan, count: rows * inputs)
            ExactLinear(kernel: kernel, outputs: outputs, inputs: inputs).inputGradient(
                dy, weights, into: &dx, rows: rows, workspace: ExactWorkspace(), threads: threads)
            let expected = ExactReference.product(
                dy, ExactReference.transpose(w, rows: outputs), reduction: outputs)
            #expect(ExactReference.bits(dx) == ExactReference.bits(expected), "\(rows), \(outputs), \(inputs)")
        }
    }

    /// As a learner multiplies with a large matrix: one packed part of its rows after another.
    @Test(arguments: exactKernels.map(\.name))
    func `a matrix in parts gives the bits of the whole one, forward and backward`(name: String) throws {
        let kernel = try #require(exactKernels.first { $0.name == name })
        var numbers = SeededNumbers(state: 34)
        let threads = ThreadPool(threadCount: 3)
        for (rows, outputs, inputs, part) in [(3, 70, 33, 32), (17, 4500, 40, 4098), (1, 45, 70, 10), (30, 64, 6, 2)] {
            let w = numbers.floats(outputs * inputs, .ordinary)
            let (x, dy) = (numbers.floats(rows * inputs, .ordinary), numbers.floats(rows * outputs, .ordinary))
            let start = numbers.floats(rows * outputs, .ordinary)
            let linear = ExactLinear(kernel: kernel, outputs: outputs, inputs: inputs)
            let workspace = ExactWorkspace()
            func packed(_ first: Int, _ count: Int, _ direction: PackedWeights.Direction) -> PackedWeights {
                let weights = PackedWeights(outputs: count, inputs: inputs, direction: direction)
                weights.update(from: Array(w[first * inputs..<(first + count) * inputs]), version: 1, threads: threads)
                return weights
            }
            func results(_ part: Int) -> [[UInt32]] {
                var y = [Float](repeating: .nan, count: rows * outputs)
                var added = start
                var dx = [Float](repeating: .nan, count: rows * inputs)
                for first in stride(from: 0, to: outputs, by: part) {
                    let count = min(part, outputs - first)
                    let forward = packed(first, count, .forward)
                    linear.forward(
                        x, forward, from: first, into: &y, rows: rows, workspace: workspace, threads: threads)
                    linear.forward(
                        x, forward, from: first, into: &added, rows: rows, adding: true, workspace: workspace,
                        threads: threads)
                    linear.inputGradient(
                        dy, packed(first, count, .backward), from: first, into: &dx, rows: rows, workspace: workspace,
                        threads: threads)
                }
                return [y, added, dx].map { $0.map(\.bitPattern) }
            }
            #expect(results(part) == results(outputs), "\(rows), \(outputs), \(inputs) in parts of \(part)")
        }
    }

    @Test(arguments: exactKernels.map(\.name))
    func `the weight gradient adds the sum of each 512 rows in turn, on any number of threads`(name: String) throws {
        let kernel = try #require(exactKernels.first { $0.name == name })
        var numbers = SeededNumbers(state: 31)
        for (rows, outputs, inputs) in [(1, 9, 40), (511, 13, 3), (1027, 21, 5), (7, 230, 35)] {
            let x = numbers.floats(rows * inputs, .ordinary)
            let dy = numbers.floats(rows * outputs, .ordinary)
            let start = numbers.floats(outputs * inputs, .ordinary)
            var expected = start
            for first in stride(from: 0, to: rows, by: 512) {
                let last = min(first + 512, rows)
                let xs = ExactReference.transpose([Float](x[first * inputs..<last * inputs]), rows: last - first)
                let dys = ExactReference.transpose([Float](dy[first * outputs..<last * outputs]), rows: last - first)
                let sums = ExactReference.product(dys, xs, reduction: last - first)
                expected = zip(expected, sums).map { ExactReference.flushed($0 + $1) }
            }
            for count in [1, 2, 3] {
                var dWeight = start
                ExactLinear(kernel: kernel, outputs: outputs, inputs: inputs).weightGradient(
                    dy, x, into: &dWeight, rows: rows, workspace: ExactWorkspace(),
                    threads: ThreadPool(threadCount: count))
                #expect(
                    ExactReference.bits(dWeight) == ExactReference.bits(expected),
                    "\(rows), \(outputs), \(inputs), \(count) threads")
            }
        }
    }

    @Test func `packed weights hold every weight rounded, both ways round, and nothing else`() {
        var numbers = SeededNumbers(state: 32)
        let threads = ThreadPool(threadCount: 2)
        for (outputs, inputs) in [(1, 1), (33, 70), (64, 31), (50, 2)] {
            let w = numbers.floats(outputs * inputs, .anything)
            var bits = [UInt16](repeating: 0, count: w.count)
            matmul_bf16_round(&bits, w, Int64(w.count))
            for (float, rounded) in zip(w, bits) {
                let expected = ExactReference.rounded(float)
                #expect(expected.isNaN ? Float(bitPattern: UInt32(rounded) << 16).isNaN
                    : expected.bitPattern == UInt32(rounded) << 16)
            }
            for direction in [PackedWeights.Direction.forward, .backward] {
                let packed = PackedWeights(outputs: outputs, inputs: inputs, direction: direction)
                packed.update(from: w, version: 1, threads: threads)
                let fromBits = PackedWeights(outputs: outputs, inputs: inputs, direction: direction)
                fromBits.update(fromBFloat16: bits, version: 1, threads: threads)
                #expect(unpack(packed) == bits.map(UInt32.init))
                #expect(unpack(fromBits) == bits.map(UInt32.init))
            }
        }
    }

    @Test func `weights are packed again only for another version`() {
        let threads = ThreadPool(threadCount: 1)
        let packed = PackedWeights(outputs: 1, inputs: 2, direction: .forward)
        #expect(packed.version == nil && packed.memoryBytes == 128)
        packed.update(from: [1, 2], version: 4, threads: threads)
        packed.update(from: [3, 4], version: 4, threads: threads)
        #expect(unpack(packed) == [0x3F80, 0x4000])
        packed.update(from: [3, 4], version: 5, threads: threads)
        #expect(unpack(packed) == [0x4040, 0x4080])
        #expect(packed.version == 5)
    }

    /// The weights in the order of W, and a check that padding is zero.
    private func unpack(_ packed: PackedWeights) -> [UInt32] {
        let operand = packed.operand
        let pairs = (operand.reduction + 1) / 2
        var w = [UInt32](repeating: 0, count: packed.outputs * packed.inputs)
        for column in 0..<(operand.columns + 31) / 32 * 32 {
            for k in 0..<2 * pairs {
                let word = operand.words[column / 32 * pairs * 32 + k / 2 * 32 + column % 32]
                let value = k % 2 == 0 ? word & 0xFFFF : word >> 16
                if column >= operand.columns || k >= operand.reduction {
                    #expect(value == 0)
                } else {
                    w[packed.direction == .forward ? column * packed.inputs + k : k * packed.inputs + column] = value
                }
            }
        }
        return w
    }
}
