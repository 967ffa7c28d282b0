// One row of logits: the sampled token and its numbers against the naive version, on every instruction set.
import CKernels
import Engine
import Foundation
import Rollouts
import Testing

private let instructionSets = Sampler.InstructionSet.allCases.filter {
    $0.rawValue <= Sampler.InstructionSet.best.rawValue
}

private func options(
    _ temperature: Double = 1, topK: Int = 0, topP: Double = 1, minP: Double = 0
) -> SamplingOptions {
    var options = SamplingOptions()
    options.temperature = temperature
    options.topK = topK
    options.topP = topP
    options.minP = minP
    return options
}

extension Sampler {
    fileprivate func draw(_ logits: [Float], _ options: SamplingOptions, _ uniform: Double) -> SampledToken? {
        let outcome = logits.withUnsafeBufferPointer { sample($0, options: options, uniform: uniform) }
        guard case .drawn(let token) = outcome else { return nil }
        return token
    }
}

/// Every kept token whose share is wide enough is drawn at the middle of its share, with the right numbers.
private func check(_ logits: [Float], _ options: SamplingOptions, stride step: Int = 1) -> Bool {
    let reference = SamplingReference(logits, options)
    if reference.isBorderline { return false }
    let sampler = Sampler(vocabularySize: logits.count)
    var before = 0.0, seen = 0
    let entropy = reference.entropy
    for (token, share) in reference.sampled.enumerated() {
        defer { before += share }
        guard share > 1e-5 else { continue }
        seen += 1
        guard seen % step == 0 || step == 1 else { continue }
        guard let drawn = sampler.draw(logits, options, before + share / 2) else {
            Issue.record("nothing drawn under \(options)")
            return true
        }
        let sampledLogProb = options.temperature == 0 ? 0 : log(share)
        let isRight = drawn.token == Int32(token) && abs(Double(drawn.sampledLogProb) - sampledLogProb) < 1e-5
            && abs(Double(drawn.policyLogProb) - log(reference.policy[token])) < 1e-5
            && abs(Double(drawn.entropy) - entropy) < 1e-5
        if !isRight { Issue.record("\(drawn) in place of \(token), \(sampledLogProb), \(entropy) under \(options)") }
    }
    return true
}

@Test func `draws over random rows agree with the naive version under every truncation`() {
    let rules = [
        options(), options(0.7), options(2.5), options(0), options(topK: 1), options(topK: 7), options(1.2, topK: 40),
        options(topP: 0.9), options(0.6, topP: 0.5), options(topP: 1e-9), options(topP: 0.999), options(minP: 0.1),
        options(minP: 1), options(1.5, minP: 0.02), options(topK: 30, topP: 0.8), options(0.8, topK: 60, topP: 0.95),
        options(1.3, topK: 50, topP: 0.97, minP: 0.05), options(topK: 10_000), options(topK: 3, minP: 0.9),
    ]
    var checked = 0, borderline = 0
    for (round, count) in [1, 2, 3, 15, 16, 17, 100, 255, 256, 257, 300, 511, 700].enumerated() {
        for (number, rule) in rules.enumerated() {
            var logits = randomLogits(
                count: count, deviation: [0.5, 2, 5][(round + number) % 3], seed: UInt64(round * 100 + number))
            // Every other row is full of ties; every third has tokens that can never be drawn.
            if number % 2 == round % 2 { logits = logits.map { ($0 * 2).rounded() / 2 } }
            if (number + round) % 3 == 0 {
                for token in 0..<(count - 1) where (token + round) % 4 == 0 { logits[token] = -.infinity }
            }
            if check(logits, rule, stride: 1 + count / 100) { checked += 1 } else { borderline += 1 }
        }
    }
    #expect(checked > 220 && borderline < 13)
}

@Test func `selection is right when thousands of tokens are in question`() {
    // Flat, steep and tied rows over more tokens than a selection looks at one by one.
    let flat = randomLogits(count: 6_000, deviation: 0.3, seed: 1)
    let steep = randomLogits(count: 6_000, deviation: 6, seed: 2)
    let tied = flat.map { ($0 * 4).rounded() / 4 }
    let equal = Array(repeating: Float(1.25), count: 6_000)
    var checked = 0
    for logits in [flat, steep, tied, equal] {
        for rule in [
            options(topK: 2_500), options(topP: 0.61003), options(topP: 0.98997), options(topK: 4_000, topP: 0.70013),
            options(topK: 5_999), options(minP: 0.5),
        ] where check(logits, rule, stride: 500) {
            checked += 1
        }
    }
    #expect(checked >= 22)
}

@Test func `top-k keeps exactly k tokens, of equals the lowest ids`() {
    let sampler = Sampler(vocabularySize: 6)
    let logits: [Float] = [1, 3, 2, 2, 3, 2]
    func kept(_ rule: SamplingOptions) -> Set<Int32> {
        Set((0..<400).map { sampler.draw(logits, rule, Double($0) / 400)!.token })
    }
    #expect(kept(options(topK: 1)) == [1])
    #expect(kept(options(topK: 3)) == [1, 4, 2])
    #expect(kept(options(topK: 4)) == [1, 4, 2, 3])
    #expect(kept(options(topK: 6)) == [0, 1, 2, 3, 4, 5])
    // Shares by logit: 3 → 0.309, 2 → 0.114, 1 → 0.042.
    #expect(kept(options(topP: 0.3)) == [1])
    #expect(kept(options(topP: 0.62)) == [1, 4, 2])
    #expect(kept(options(minP: 1)) == [1, 4])
    #expect(kept(options(minP: 0.36)) == [1, 4, 2, 3, 5])
    #expect(kept(options(minP: 0.37)) == [1, 4])
    // Top-p counts what top-k left: two of three tokens have 0.845 of it; of all it takes four to have 0.83.
    #expect(kept(options(topK: 3, topP: 0.83)) == [1, 4])
    #expect(kept(options(topP: 0.83)) == [1, 4, 2, 3])
}

@Test func `the ends of the uniform range give the first and the last kept token`() {
    let sampler = Sampler(vocabularySize: 600)
    var logits = randomLogits(count: 600, deviation: 2, seed: 8)
    for token in [0, 1, 598, 599] { logits[token] = -.infinity }
    #expect(sampler.draw(logits, options(), 0)?.token == 2)
    #expect(sampler.draw(logits, options(), 1 - 0x1p-53)?.token == 597)
    // A share begins where the one before ends: [0, ¼) is token 0, [¼, ½) token 1, …
    let four = Sampler(vocabularySize: 4)
    let quarters = [0, 0.25.nextDown, 0.25, 0.5, 0.75.nextDown, 0.75]
    #expect(quarters.map { four.draw([7, 7, 7, 7], options(), $0)?.token } == [0, 0, 1, 2, 2, 3])
    let one = Sampler(vocabularySize: 1)
    #expect(
        one.draw([-3], options(0.1, topK: 4, topP: 0.5, minP: 1), 0.7)
            == SampledToken(token: 0, sampledLogProb: 0, policyLogProb: 0, entropy: 0))
}

@Test func `extreme temperatures and logits neither overflow nor trap`() {
    let sampler = Sampler(vocabularySize: 4)
    let wide: [Float] = [-3e38, 3e38, 0, -.infinity]
    #expect(sampler.draw(wide, options(), 0.999)?.token == 1)
    #expect(sampler.draw([1, 2, 3, 4], options(1e-300, topK: 2, topP: 0.9), 0.999)?.token == 3)
    // So hot that all four are equally likely.
    let hot = sampler.draw([1, 2, 3, 4], options(1e300), 0.3)
    #expect(hot?.token == 1 && hot?.policyLogProb == -Float(log(4.0)))
    #expect(sampler.draw([1, 2, -.infinity, 4], options(1e300, minP: 0.5), 0.7)?.token == 3)
    let cold = sampler.draw([1, 2, 3, 4], options(1e-3), 0.5)
    #expect(cold == SampledToken(token: 3, sampledLogProb: 0, policyLogProb: 0, entropy: 0))
    // A top-p that what is kept never reaches keeps all that can be drawn.
    #expect(sampler.draw([0, -.infinity, -.infinity, -.infinity], options(topK: 3, topP: 0.999), 0.9)?.token == 0)
}

@Test func `a row that is not finite is reported and never sampled`() {
    for instructionSet in instructionSets {
        let sampler = Sampler(vocabularySize: 700, instructionSet: instructionSet)
        let patterns: [UInt32] = [0x7fc0_0000, 0x7f80_0001, 0x7fc0_0001, 0xffff_ffff, 0xff80_0001, 0x7f80_0000]
        for pattern in patterns {
            for token in [0, 1, 8, 15, 16, 255, 256, 333, 512, 699] {
                var logits = randomLogits(count: 700, deviation: 2, seed: 3)
                logits[token] = Float(bitPattern: pattern)
                for rule in [options(), options(0), options(topK: 5), options(topP: 0.5)] {
                    let outcome = logits.withUnsafeBufferPointer { sampler.sample($0, options: rule, uniform: 0.5) }
                    #expect(outcome == .notFinite(token: token))
                }
            }
        }
        let nothing = Array(repeating: -Float.infinity, count: 700)
        let outcome = nothing.withUnsafeBufferPointer { sampler.sample($0, options: options(), uniform: 0) }
        #expect(outcome == .notFinite(token: nil))
        let nan = Array(repeating: Float.nan, count: 700)
        #expect(nan.withUnsafeBufferPointer { sampler.score($0, token: 3) } == .notFinite(token: 0))
    }
}

@Test func `every instruction set draws the same token with the same bits`() {
    let rules = [
        options(), options(0.6), options(0), options(topK: 50), options(topP: 0.9), options(minP: 0.03),
        options(1.1, topK: 200, topP: 0.95, minP: 0.001),
    ]
    for (round, count) in [1, 5, 16, 31, 256, 300, 1_000, 5_003].enumerated() {
        let logits = randomLogits(count: count, deviation: 1 + Double(round), seed: UInt64(round))
        let samplers = instructionSets.map { Sampler(vocabularySize: count, instructionSet: $0) }
        for rule in rules {
            for uniform in [0, 0.123_456, 0.5, 0.987_654] {
                let drawn = samplers.map { $0.draw(logits, rule, uniform) }
                #expect(drawn.allSatisfy { $0 != nil && $0 == drawn[0] }, "\(count) tokens, \(rule)")
            }
        }
    }
}

/// Runs are repeated bit for bit by other machines, so a change of these numbers is a change of the arithmetic that
/// all peers must make together.
@Test func `the bits of draws are the recorded ones`() {
    let rows = (0..<30).map { randomLogits(count: 700, deviation: 3, seed: UInt64($0)) }
    for instructionSet in instructionSets {
        let sampler = Sampler(vocabularySize: 700, instructionSet: instructionSet)
        var hash: UInt64 = 14_695_981_039_346_656_037
        for (number, rule) in [options(), options(0.7, topK: 90), options(1.6, topP: 0.8, minP: 0.01)].enumerated() {
            for (step, logits) in rows.enumerated() {
                let drawn = sampler.draw(logits, rule, (Double(step) + 0.3 * Double(number)) / 31)!
                for bits in [
                    UInt32(drawn.token), drawn.sampledLogProb.bitPattern, drawn.policyLogProb.bitPattern,
                    drawn.entropy.bitPattern,
                ] {
                    hash = (hash ^ UInt64(bits)) &* 1_099_511_628_211
                }
            }
        }
        #expect(hash == 3_111_661_574_535_102_291)
    }
}

@Test func `a vocabulary of 49,152 keeps log-probs and entropies within 1e-5`() {
    for (deviation, temperature) in [(1.0, 1.0), (2.5, 0.7), (4, 1)] {
        let logits = randomLogits(count: 49_152, deviation: deviation, seed: 17)
        #expect(check(logits, options(temperature), stride: 2_000))
    }
}

@Test func `a given token scores as it does when drawn`() throws {
    let logits = randomLogits(count: 900, deviation: 3, seed: 4)
    let sampler = Sampler(vocabularySize: 900)
    for (temperature, uniform) in [(1.0, 0.1), (0.5, 0.6), (1.7, 0.93)] {
        let drawn = try #require(sampler.draw(logits, options(temperature, topP: 0.9), uniform))
        let scored = logits.withUnsafeBufferPointer { sampler.score($0, token: drawn.token, temperature: temperature) }
        var expected = drawn
        expected.sampledLogProb = drawn.policyLogProb
        #expect(scored == .drawn(expected))
        #expect(drawn.sampledLogProb > drawn.policyLogProb)
    }
    let scored = logits.withUnsafeBufferPointer { sampler.score($0, token: 5) }
    guard case .drawn(let token) = scored else {
        Issue.record("\(scored)")
        return
    }
    #expect(abs(Double(token.policyLogProb) - log(SamplingReference(logits, options()).policy[5])) < 1e-5)
}

/// χ² of 20,000 draws against the exact distribution over 40 tokens. With 39 degrees of freedom a right sampler
/// exceeds 97 with a chance of 1e-6; the keys are fixed, so the outcome is too. The same counts must not pass for a
/// distribution at another temperature.
@Test(arguments: [(1.0, 0, 1.0), (1.4, 25, 1.0), (0.9, 0, 0.93)])
func `sampling frequencies follow the distribution`(temperature: Double, topK: Int, topP: Double) {
    let rule = options(temperature, topK: topK, topP: topP)
    let logits = randomLogits(count: 40, deviation: 1, seed: 21)
    let sampler = Sampler(vocabularySize: 40)
    let count = 20_000
    var counts = Array(repeating: 0.0, count: 40)
    for position in 0..<count {
        let uniform = KeyedRandom.token(
            seed: 6, group: GroupKey(purpose: .training, step: 1, ordinal: 2), completion: position % 64,
            position: position / 64)
        counts[Int(sampler.draw(logits, rule, uniform)!.token)] += 1
    }
    func statistic(_ rule: SamplingOptions) -> Double {
        let shares = SamplingReference(logits, rule).sampled
        return zip(counts, shares).reduce(0) { sum, entry in
            let expected = entry.1 * Double(count)
            return expected == 0 ? sum + (entry.0 == 0 ? 0 : .infinity)
                : sum + (entry.0 - expected) * (entry.0 - expected) / expected
        }
    }
    #expect(statistic(rule) < 97)
    #expect(statistic(options(temperature * 1.25, topK: topK, topP: topP)) > 97)
}

@Test func `options that make no distribution are named`() {
    #expect(options().fault == nil && options(0, topK: 5, topP: 0.1, minP: 1).fault == nil)
    #expect(options(-1).fault == "temperature -1.0: must be 0 (greedy) or a positive number")
    #expect(options(.infinity).fault != nil && options(.nan).fault != nil)
    #expect(options(topK: -2).fault == "top-k -2: must be 0 (off) or positive")
    #expect(options(topP: 0).fault != nil && options(topP: 1.01).fault != nil && options(topP: .nan).fault != nil)
    #expect(options(minP: -0.1).fault != nil && options(minP: 1.1).fault == "min-p 1.1: must be between 0 (off) and 1")
}

@Test func `exp and log of the kernels are within their stated errors`() {
    for instructionSet in instructionSets {
        let set = sampling_instruction_set(rawValue: .init(instructionSet.rawValue))
        let worst = stride(from: Float(-87), through: 0, by: 0.001_7).reduce(0.0) { worst, x in
            max(worst, abs(Double(sampling_exponential(set, x)) / exp(Double(x)) - 1))
        }
        #expect(worst < 8e-8)
        #expect(sampling_exponential(set, 0) == 1)
    }
}

@Test func `the thread's rounding mode changes nothing`() {
    let logits = randomLogits(count: 1_000, deviation: 2, seed: 12)
    let sampler = Sampler(vocabularySize: 1_000)
    #if arch(x86_64)
        let upward: Int32 = 0x800
    #else
        let upward: Int32 = 0x40_0000
    #endif
    let nearest = fegetround()
    for rule in [options(), options(topK: 20), options(0.8, topP: 0.9)] {
        let expected = sampler.draw(logits, rule, 0.4)
        let refused = fesetround(upward)
        let drawn = sampler.draw(logits, rule, 0.4)
        let modeAfter = fegetround()
        fesetround(nearest)
        #expect(refused == 0 && modeAfter == upward)
        #expect(drawn == expected)
    }
}
