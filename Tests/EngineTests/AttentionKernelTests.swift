// Does attention over a shared prompt equal the formula, and its backward pass finite differences of the formula?
import CKernels
import Foundation
import Testing

/// A group with segments around the page size of 16, one of them empty, and rows of the prompt not at the start.
struct AttentionCase: CustomStringConvertible {
    var heads: Int, keyHeads: Int, dimension: Int, promptStart: Int, promptCount: Int
    var starts: [Int32], counts: [Int32]

    static let all = [
        AttentionCase(
            heads: 4, keyHeads: 2, dimension: 8, promptStart: 1, promptCount: 5, starts: [6, 9, 9], counts: [3, 0, 18]),
        AttentionCase(
            heads: 3, keyHeads: 1, dimension: 20, promptStart: 0, promptCount: 17, starts: [17, 33],
            counts: [16, 2]),
        AttentionCase(
            heads: 2, keyHeads: 2, dimension: 64, promptStart: 0, promptCount: 80, starts: [], counts: []),
    ]

    var description: String { "\(heads)/\(keyHeads) heads of \(dimension), prompt \(promptCount) + \(counts)" }
    var rows: Int { promptStart + promptCount + counts.reduce(0) { $0 + Int($1) } }
    var stride: Int { (heads + 2 * keyHeads) * dimension }
    var shape: attention_shape {
        attention_shape(heads: Int64(heads), key_heads: Int64(keyHeads), dimension: Int64(dimension))
    }

    /// Rows that row `row` may attend to.
    func visible(_ row: Int) -> [Int] {
        let prompt = promptStart..<(promptStart + promptCount)
        if prompt.contains(row) { return Array(promptStart...row) }
        let segment = zip(starts, counts).first { Int($0) <= row && row < Int($0) + Int($1) }!
        return Array(prompt) + Array(Int(segment.0)...row)
    }

    func withGroup<Result>(_ body: (UnsafePointer<attention_group>, UnsafeMutablePointer<Float>) -> Result) -> Result {
        starts.withUnsafeBufferPointer { starts in
            counts.withUnsafeBufferPointer { counts in
                var group = attention_group(
                    prompt_start: Int64(promptStart), prompt_count: Int64(promptCount),
                    completion_count: Int64(counts.count), starts: starts.baseAddress, counts: counts.baseAddress)
                // Stale numbers in scratch memory must not matter.
                var workspace = [Float](repeating: .nan, count: Int(attention_workspace(shape, &group)))
                return body(&group, &workspace)
            }
        }
    }

    /// Σ c·attended in double precision.
    func loss(_ x: [Double], _ c: [Float]) -> Double {
        var sum = 0.0
        x.withUnsafeBufferPointer { x in
            for row in promptStart..<rows {
                let keys = visible(row)
                for head in 0..<heads {
                    let q = row * stride + head * dimension
                    let k = (heads + head * keyHeads / heads) * dimension
                    let v = k + keyHeads * dimension
                    var scores = keys.map { key in
                        var s = 0.0
                        for i in 0..<dimension { s += x[q + i] * x[key * stride + k + i] }
                        return exp(s / Double(dimension).squareRoot())
                    }
                    let total = scores.reduce(0, +)
                    for index in scores.indices { scores[index] /= total }
                    for (p, key) in zip(scores, keys) {
                        for i in 0..<dimension {
                            sum += p * Double(c[row * heads * dimension + head * dimension + i])
                                * x[key * stride + v + i]
                        }
                    }
                }
            }
        }
        return sum
    }
}

@Suite struct AttentionKernelTests {
    /// Rounding of a few dozen terms: 1e-6 of the sum of the absolute terms, twice that through the backward pass.
    @Test(arguments: AttentionCase.all)
    func `forward and backward`(_ example: AttentionCase) {
        var numbers = NumberSource(6)
        let x = numbers.floats(example.rows * example.stride, scale: 1.5)
        let outputs = example.rows * example.heads * example.dimension
        var c = numbers.floats(outputs)
        for i in 0..<(example.promptStart * example.heads * example.dimension) { c[i] = 0 }
        var attended = [Float](repeating: 0, count: outputs)
        var logSums = [Float](repeating: 0, count: example.rows * example.heads)
        var dx = [Float](repeating: 0, count: x.count)
        example.withGroup { group, workspace in
            for keyHead in 0..<Int64(example.keyHeads) {
                attention_forward(&attended, &logSums, x, example.shape, group, keyHead, workspace)
            }
        }
        example.withGroup { group, workspace in
            for keyHead in 0..<Int64(example.keyHeads) {
                attention_backward(&dx, c, attended, logSums, x, example.shape, group, keyHead, workspace)
            }
        }
        #expect(abs(dot(c, attended) - example.loss(x.map(Double.init), c)) <= 1e-6 * magnitude(c, attended))
        for _ in 0..<4 {
            let v = numbers.floats(x.count)
            let expected = slope(x, along: v) { example.loss($0, c) }
            #expect(abs(dot(dx, v) - expected) <= 2e-6 * magnitude(dx, v))
        }
        #expect(dx.prefix(example.promptStart * example.stride).allSatisfy { $0 == 0 })
    }
}
