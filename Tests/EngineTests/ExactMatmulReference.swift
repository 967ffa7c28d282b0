// The exact product written down naively, sharing no code with the kernels: what their results are compared with.
@testable import Engine

enum ExactReference {
    /// Rounded to bfloat16, to nearest even, by comparing the two neighbours; NaN stays NaN.
    static func rounded(_ x: Float) -> Float {
        guard x.isFinite else { return x }
        let below = Float(bitPattern: x.bitPattern & 0xFFFF_0000)  // towards zero
        let dropped = x.bitPattern & 0xFFFF
        let above = Float(bitPattern: (x.bitPattern & 0xFFFF_0000) &+ 0x1_0000)
        if dropped == 0x8000 { return below.bitPattern & 0x1_0000 == 0 ? below : above }
        return dropped < 0x8000 ? below : above
    }

    static func flushed(_ x: Float) -> Float { x.isSubnormal ? (x.sign == .minus ? -0.0 : 0.0) : x }

    /// a·b + c of bfloat16 a, b, by way of Double: the product is exact, the sum is rounded to odd, so that rounding it
    /// to 24 bits gives the correctly rounded result; tiny results, judged with that many bits, are flushed.
    static func fma(_ a: Float, _ b: Float, _ c: Float) -> Float {
        let product = Double(a) * Double(b)
        let addend = Double(c)
        let sum = product + addend
        guard sum.isFinite, sum != 0 else { return Float(sum) }
        let virtual = sum - product
        let error = (product - (sum - virtual)) + (addend - virtual)
        var odd = sum
        if error != 0, sum.bitPattern & 1 == 0 { odd = (error > 0) == (sum > 0) ? sum.magnitudeUp : sum.magnitudeDown }
        let scale = 0x1p100
        if abs(odd) < 0x1p-100, abs(Float(odd * scale)) < 0x1p-26 { return odd < 0 ? -0.0 : 0.0 }
        return Float(odd)
    }

    /// Σ over pairs of k, odd element first, from `start`.
    static func dot(_ x: [Float], _ w: [Float], from start: Float = 0) -> Float {
        var sum = start
        let x = x.map { flushed(rounded($0)) }
        let w = w.map { flushed(rounded($0)) }
        for even in stride(from: 0, to: x.count, by: 2) {
            sum = even + 1 < x.count ? fma(x[even + 1], w[even + 1], sum) : fma(0, 0, sum)
            sum = fma(x[even], w[even], sum)
        }
        return sum
    }

    /// y (rows, columns) of row-major x (rows, reduction) and w (columns, reduction).
    static func product(_ x: [Float], _ w: [Float], reduction: Int) -> [Float] {
        let (rows, columns) = (x.count / reduction, w.count / reduction)
        return (0..<rows * columns).map {
            dot(row(x, $0 / columns, reduction), row(w, $0 % columns, reduction))
        }
    }

    static func row(_ x: [Float], _ index: Int, _ count: Int) -> [Float] {
        [Float](x[index * count..<(index + 1) * count])
    }

    static func transpose(_ x: [Float], rows: Int) -> [Float] {
        let columns = x.count / rows
        return (0..<x.count).map { x[$0 % rows * columns + $0 / rows] }
    }

    /// Bits, every NaN the same.
    static func bits(_ x: [Float]) -> [UInt32] { x.map { $0.isNaN ? 0x7FC0_0000 : $0.bitPattern } }
}

extension Double {
    fileprivate var magnitudeUp: Double { Double(bitPattern: bitPattern + 1) }
    fileprivate var magnitudeDown: Double { Double(bitPattern: bitPattern - 1) }
}

/// Numbers from a seed, the same in every run.
struct SeededNumbers: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state ^ (state >> 29)) &* 0x94D0_49BB_1331_11EB
    }

    mutating func floats(_ count: Int, _ contents: KernelConformance.Contents) -> [Float] {
        let start = next()
        return (0..<count).map { contents.value(start &+ UInt64($0)) }
    }
}

/// Every kernel that this processor can run.
let exactKernels = ExactKernel.all.filter(\.isSupported)

/// The specified product through the whole Swift path.
func exactForward(
    _ kernel: ExactKernel, _ x: [Float], _ w: [Float], inputs: Int, adding y: [Float]? = nil, threads: ThreadPool
) -> [Float] {
    let (rows, outputs) = (x.count / inputs, w.count / inputs)
    let weights = PackedWeights(outputs: outputs, inputs: inputs, direction: .forward)
    weights.update(from: w, version: 1, threads: threads)
    var result = y ?? [Float](repeating: .nan, count: rows * outputs)
    let linear = ExactLinear(kernel: kernel, outputs: outputs, inputs: inputs)
    result.withUnsafeMutableBufferPointer {
        linear.forward(
            x, weights, into: $0.baseAddress!, rows: rows, adding: y != nil, workspace: ExactWorkspace(),
            threads: threads)
    }
    return result
}
