// Do moments of 16 and 8 bits do what those of 32 do, without bias, without freezing and the same on any thread count?
import CKernels
import Engine
import Foundation
import Rollouts
import Testing
import Weights

/// A state over a flat list of weights, and what is stored in it as numbers.
private final class Moments {
    let state: OptimizerState
    var weights: [Float]
    private let threads: ThreadPool
    private var updates = 0

    init(_ kind: OptimizerOptions.State, _ weights: [Float], threads: Int = 1) {
        state = OptimizerState(kind, count: weights.count)
        self.weights = weights
        self.threads = ThreadPool(threadCount: threads)
    }

    func update(_ gradients: [Float], rate: Double, beta1: Double = 0.9, beta2: Double = 0.999) {
        updates += 1
        var gradients = gradients
        let step = adamw_step(
            gradient_scale: 1, beta1: Float(beta1), beta2: Float(beta2), epsilon: 1e-8, keep: 1,
            step_size: Float(rate / (1 - pow(beta1, Double(updates)))),
            second_scale: Float(1 / (1 - pow(beta2, Double(updates))).squareRoot()))
        weights.withUnsafeMutableBufferPointer { weights in
            gradients.withUnsafeMutableBufferPointer { gradients in
                state.update(
                    weights.baseAddress!, gradients.baseAddress!, step: step, updateCount: updates, threads: threads)
            }
        }
    }

    var bytes: [[UInt8]] { state.tensors(of: [TensorShape("w", [weights.count])]).map { Array($0.bytes) } }

    /// First and second moments, decoded as optimizer_compressed.h says.
    var decoded: (first: [Double], second: [Double]) {
        let bytes = bytes
        switch state.kind {
        case .float32:
            let values = bytes.map { $0.withUnsafeBytes { Array($0.bindMemory(to: Float.self)).map(Double.init) } }
            return (values[0], values[1])
        case .bfloat16:
            let values = bytes.map { bytes in
                bytes.withUnsafeBytes { raw in
                    raw.bindMemory(to: UInt16.self).map { Double(Float(bitPattern: UInt32($0) << 16)) }
                }
            }
            return (values[0], values[1])
        case .eightBit:
            let first = bytes[0].enumerated().map { index, code in
                let exponent = Double(bytes[1][index / 64])
                guard exponent > 0 else { return 0.0 }
                let (e, f) = (Double(code >> 3 & 15), Double(code & 7))
                let size = e == 0 ? f * exp2(exponent - 144) : (1 + f / 8) * exp2(exponent - 142 + e)
                return code >= 128 ? -size : size
            }
            let second = bytes[2].enumerated().map { index, code in
                let exponent = Double(bytes[3][index / 64])
                return exponent == 0 ? 0 : (1 + Double(code & 7) / 8) * exp2(exponent - 158 + Double(code >> 3))
            }
            return (first, second)
        }
    }
}

private let compressed = [OptimizerOptions.State.bfloat16, .eightBit]

@Suite struct OptimizerStateTests {
    @Test func `a weight costs 8, 4 or about 2 bytes of state`() {
        let bytes = OptimizerOptions.State.allCases.map { OptimizerState($0, count: 6400).memoryBytes }
        #expect(bytes == [51_200, 25_600, 13_000])
    }

    /// One update from zero: m = 0.1·g and v = 0.001·g², so the codes of known numbers. A code step is 2^-7 of a
    /// number in 16 bits and 2^-3 in 8.
    @Test(arguments: [(OptimizerOptions.State.bfloat16, 0x1p-7), (.eightBit, 0x1p-3)])
    func `what is stored is within one step of its code`(_ kind: OptimizerOptions.State, _ step: Double) {
        var numbers = NumberSource(41)
        // Three decades and a half: nothing of the first moment is below 2^-14 of its block's largest.
        let gradients = numbers.floats(1000).map { copysign(Float(pow(10, 3.5 * Double(abs($0)))), $0) }
        let moments = Moments(kind, [Float](repeating: 0, count: 1000))
        moments.update(gradients, rate: 0)
        let (first, second) = moments.decoded
        for (index, g) in gradients.enumerated() {
            let (m, v) = (0.1 * Double(g), 0.001 * Double(g) * Double(g))
            #expect(abs(first[index] - m) <= abs(m) * (step + 1e-6), "\(first[index]) for \(m)")
            #expect(abs(second[index] - v) <= v * (step + 1e-6), "\(second[index]) for \(v)")
        }
    }

    /// The mean of 20,000 roundings of one number, each uniform between two codes at most a step apart: its deviation is
    /// below step / (2·√20,000), so 0.4 % of a step; five times that is exceeded once in two million runs.
    @Test(arguments: [(OptimizerOptions.State.bfloat16, 0x1p-7), (.eightBit, 0x1p-3)])
    func `the mean of what is stored is the exact number`(_ kind: OptimizerOptions.State, _ step: Double) {
        for g: Float in [1.03, -3.337, 0.019] {
            // The first of each block of 64 sets the block's exponent, so that small numbers are tried too.
            let moments = Moments(kind, [Float](repeating: 0, count: 20_000))
            moments.update((0..<20_000).map { $0 % 64 == 0 ? 100 : g }, rate: 0)
            let (first, second) = moments.decoded
            func mean(_ values: [Double]) -> Double {
                let kept = values.enumerated().filter { $0.offset % 64 != 0 }.map(\.element)
                return kept.reduce(0, +) / Double(kept.count)
            }
            let (m, v) = (0.1 * Double(g), 0.001 * Double(g) * Double(g))
            #expect(abs(mean(first) - m) <= 0.02 * step * abs(m) + 1e-7 * abs(m))
            #expect(abs(mean(second) - v) <= 0.02 * step * v + 1e-7 * v)
        }
    }

    /// Nearest rounding would keep both moments where they are: each update changes them by 0.1 and 0.2 %.
    @Test(arguments: compressed)
    func `moments fade although an update changes them by less than a step of their code`(
        _ kind: OptimizerOptions.State
    ) {
        let count = 6400
        let moments = Moments(kind, [Float](repeating: 0, count: count))
        moments.update([Float](repeating: 1, count: count), rate: 0, beta1: 0.998)
        for _ in 0..<1000 { moments.update([Float](repeating: 0, count: count), rate: 0, beta1: 0.998) }
        let (first, second) = moments.decoded
        let means = (first.reduce(0, +) / Double(count), second.reduce(0, +) / Double(count))
        #expect(abs(means.0 / (0.002 * pow(0.998, 1000)) - 1) < 0.03)
        #expect(abs(means.1 / (0.001 * pow(0.999, 1000)) - 1) < 0.03)
    }

    @Test func `a second moment beside a far larger one is never stored as zero`() {
        let moments = Moments(.eightBit, [Float](repeating: 0, count: 64))
        moments.update((0..<64).map { $0 == 0 ? 1e6 : 1e-6 }, rate: 1e-3)
        moments.update([Float](repeating: 0, count: 64), rate: 1e-3)
        #expect(moments.decoded.second.allSatisfy { $0 > 0 })
        #expect(moments.weights.allSatisfy { abs($0) <= 2.1e-3 }, "a step is bounded by the rate")
    }

    /// A thousand quadratics with curvatures over four decades, mixed in every block, and gradients as noisy as they
    /// are steep. AdamW under a falling rate comes to within noise of the optimum; the mean distance left may not be
    /// more than 5 % above that of float32 moments.
    @Test(arguments: compressed)
    func `learning ends as near the optimum as with float32`(_ kind: OptimizerOptions.State) {
        let count = 1000
        var numbers = NumberSource(42)
        let optimum = numbers.floats(count)
        let curvature = numbers.floats(count).map { Float(pow(10, 2 * Double($0))) }
        func distance(_ kind: OptimizerOptions.State) -> Double {
            let moments = Moments(kind, [Float](repeating: 0, count: count))
            var noise = NumberSource(43)
            for step in 0..<600 {
                let gradients = (0..<count).map {
                    curvature[$0] * (moments.weights[$0] - optimum[$0] + 0.5 * noise.float())
                }
                moments.update(gradients, rate: 0.02 * (1 - Double(step) / 600))
            }
            return zip(moments.weights, optimum).reduce(0) { $0 + Double(abs($1.0 - $1.1)) } / Double(count)
        }
        let exact = distance(.float32)
        #expect(exact < 0.05)
        #expect(distance(kind) < 1.05 * exact)
    }

    @Test(arguments: OptimizerOptions.State.allCases)
    func `the number of threads changes no bit`(_ kind: OptimizerOptions.State) {
        let count = 150_001
        var numbers = NumberSource(44)
        let gradients = numbers.floats(count)
        let results = [1, 3].map { threads in
            let moments = Moments(kind, [Float](repeating: 0.5, count: count), threads: threads)
            for scale: Float in [1, 0.3] { moments.update(gradients.map { $0 * scale }, rate: 0.01) }
            return moments
        }
        #expect(results[0].weights == results[1].weights && results[0].bytes == results[1].bytes)
    }
}
