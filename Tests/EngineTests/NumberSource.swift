// Repeatable numbers for tests.
import Foundation
import Rollouts

struct NumberSource {
    var seed: UInt64
    private var next: UInt64 = 0
    init(_ seed: UInt64) { self.seed = seed }

    /// Uniform in [−1, 1).
    mutating func float() -> Float {
        next += 1
        return Float(KeyedRandom.uniform(seed: seed, use: .jitter, next)) * 2 - 1
    }

    mutating func floats(_ count: Int, scale: Float = 1) -> [Float] { (0..<count).map { _ in float() * scale } }

    mutating func tokens(_ count: Int, below bound: Int) -> [Int32] {
        (0..<count).map { _ in
            next += 1
            return Int32(KeyedRandom.integer(below: UInt64(bound), seed: seed, use: .jitter, next))
        }
    }
}

/// Central difference of `function` at `x` along `direction`, in double precision: its error is below 1e-8 for the
/// smooth functions here.
func slope(_ x: [Float], along direction: [Float], _ function: ([Double]) -> Double) -> Double {
    let step = 1e-4
    let forward = zip(x, direction).map { Double($0) + step * Double($1) }
    let backward = zip(x, direction).map { Double($0) - step * Double($1) }
    return (function(forward) - function(backward)) / (2 * step)
}

func dot(_ a: some Sequence<Float>, _ b: some Sequence<Float>) -> Double {
    zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
}

/// Σ |a·b|: what rounding errors of `dot` are relative to.
func magnitude(_ a: some Sequence<Float>, _ b: some Sequence<Float>) -> Double {
    zip(a, b).reduce(0) { $0 + abs(Double($1.0) * Double($1.1)) }
}

/// ln p(token) and entropy of softmax(z) in double precision.
func logProbAndEntropy(_ z: [Double], _ token: Int32) -> (Double, Double) {
    let largest = z.max()!
    let logSum = largest + log(z.reduce(0) { $0 + exp($1 - largest) })
    return (z[Int(token)] - logSum, -z.reduce(0) { $0 + exp($1 - logSum) * ($1 - logSum) })
}
