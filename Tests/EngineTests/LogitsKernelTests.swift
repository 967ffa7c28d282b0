// Are log-probs, entropies and their gradients those of a softmax?
import CKernels
import Foundation
import Testing

/// `sampling_targets` over these arrays.
func withAll(
    _ offsets: [Int32], _ targets: [Int32], _ outputs: [Int32], _ logProbs: inout [Float],
    _ entropies: inout [Float], _ logSums: inout [Float], _ body: (UnsafePointer<sampling_targets>) -> Void
) {
    offsets.withUnsafeBufferPointer { offsets in
        targets.withUnsafeBufferPointer { targets in
            outputs.withUnsafeBufferPointer { outputs in
                logProbs.withUnsafeMutableBufferPointer { logProbs in
                    entropies.withUnsafeMutableBufferPointer { entropies in
                        logSums.withUnsafeMutableBufferPointer { logSums in
                            var wanted = sampling_targets(
                                offsets: offsets.baseAddress, tokens: targets.baseAddress,
                                outputs: outputs.baseAddress, log_probs: logProbs.baseAddress,
                                entropies: entropies.baseAddress, log_sums: logSums.baseAddress)
                            body(&wanted)
                        }
                    }
                }
            }
        }
    }
}

@Suite struct LogitsKernelTests {
    private static let vocabulary = 37, temperature: Float = 0.7
    // Row 0 predicts two tokens, row 1 one; the scores stand in another order.
    private static let offsets: [Int32] = [0, 2, 3], targets: [Int32] = [5, 36, 0], outputs: [Int32] = [2, 0, 1]

    /// (log-probs, entropies) of the three scores in double precision.
    private static func reference(_ logits: [Double]) -> ([Double], [Double]) {
        var logProbs = [0.0, 0, 0]
        var entropies = [0.0, 0, 0]
        for row in 0..<2 {
            let z = logits[(row * vocabulary)..<((row + 1) * vocabulary)].map { $0 / Double(temperature) }
            let logSum = log(z.reduce(0) { $0 + exp($1) })
            let entropy = -z.reduce(0) { $0 + exp($1 - logSum) * ($1 - logSum) }
            for entry in Int(offsets[row])..<Int(offsets[row + 1]) {
                logProbs[Int(outputs[entry])] = z[Int(targets[entry])] - logSum
                entropies[Int(outputs[entry])] = entropy
            }
        }
        return (logProbs, entropies)
    }

    private static func scores(_ logits: [Float]) -> (logProbs: [Float], entropies: [Float], logSums: [Float]) {
        var logProbs: [Float] = [0, 0, 0]
        var entropies: [Float] = [0, 0, 0]
        var logSums: [Float] = [0, 0]
        let scratch = UnsafeMutableRawPointer.allocate(
            byteCount: Int(sampling_scratch_bytes(Int64(vocabulary))), alignment: 64)
        defer { scratch.deallocate() }
        withAll(offsets, targets, outputs, &logProbs, &entropies, &logSums) { wanted in
            sampling_score_rows(
                sampling_best_instruction_set(), logits, Int64(vocabulary), Double(temperature), wanted, 2, scratch)
        }
        return (logProbs, entropies, logSums)
    }

    /// Numbers below 20, a few roundings each: 5e-6.
    @Test func `log-probs and entropies`() {
        var numbers = NumberSource(4)
        let logits = numbers.floats(2 * LogitsKernelTests.vocabulary, scale: 6)
        let (logProbs, entropies) = LogitsKernelTests.reference(logits.map(Double.init))
        let scores = LogitsKernelTests.scores(logits)
        #expect(largestDifference(scores.logProbs, logProbs.map { Float($0) }) <= 5e-6)
        #expect(largestDifference(scores.entropies, entropies.map { Float($0) }) <= 5e-6)
    }

    @Test(arguments: [false, true]) func `gradient by logits`(_ withEntropy: Bool) {
        var numbers = NumberSource(5)
        let logits = numbers.floats(2 * LogitsKernelTests.vocabulary, scale: 4)
        let dLogProbs = numbers.floats(3)
        let dEntropies = numbers.floats(3)
        let scores = LogitsKernelTests.scores(logits)
        var gradient = logits
        logits_gradient(
            &gradient, scores.logSums, dLogProbs, withEntropy ? dEntropies : nil, scores.entropies,
            LogitsKernelTests.offsets, LogitsKernelTests.targets, LogitsKernelTests.outputs,
            1 / LogitsKernelTests.temperature, 2, Int64(LogitsKernelTests.vocabulary))
        for _ in 0..<8 {
            let v = numbers.floats(logits.count)
            let expected = slope(logits, along: v) { x in
                let (logProbs, entropies) = LogitsKernelTests.reference(x)
                var loss = 0.0
                for i in 0..<3 {
                    loss += Double(dLogProbs[i]) * logProbs[i]
                    if withEntropy { loss += Double(dEntropies[i]) * entropies[i] }
                }
                return loss
            }
            #expect(abs(dot(gradient, v) - expected) <= 2e-6 * max(1, magnitude(gradient, v)))
        }
    }

    @Test func `a certain distribution has entropy 0 and finite scores`() {
        var logits = [Float](repeating: -500, count: 2 * LogitsKernelTests.vocabulary)
        logits[5] = 500
        logits[LogitsKernelTests.vocabulary] = 500
        let scores = LogitsKernelTests.scores(logits)
        #expect(scores.entropies == [0, 0, 0])
        #expect(scores.logProbs[2] == 0 && scores.logProbs[1] == 0)
        #expect(abs(scores.logProbs[0] + 1000 / LogitsKernelTests.temperature) < 1e-2)
    }

    @Test func `a logit that is not a number is not hidden`() {
        var logits = [Float](repeating: 0, count: 2 * LogitsKernelTests.vocabulary)
        logits[3] = .nan
        let scores = LogitsKernelTests.scores(logits)
        #expect(scores.logProbs[2].isNaN && scores.logProbs[0].isNaN)
        #expect(abs(scores.logProbs[1] + Float(log(37.0))) < 1e-6)
    }
}
