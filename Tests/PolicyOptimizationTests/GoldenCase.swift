// What a case of rl_losses.json holds.

import Foundation

struct GoldenCase: Decodable {
    struct Hyperparameters: Decodable {
        var eps, epsLow, epsHigh, beta, advEps, gspoEpsLow, gspoEpsHigh, tisCap, gamma, lambda, klInReward: Double
        var valueClip, dpoBeta: Double
        var maxTokens, overlongMax, overlongCache: Int
    }
    struct Inputs: Decodable {
        var mask: [[Int]]
        var lengths, group: [Int]
        var rewards: [Double]
        var logp, logpOld, logpRef, logpRolloutEngine, values: [[Double]]
    }
    struct Advantages: Decodable {
        var grpoPopulationStd, grpoSampleStd, meanCentredDrGrpo, rloo: [Double]
        var tokenRewardsWithKlPenalty, gae, gaeReturns, gaeWhitenedMasked: [[Double]]
    }
    struct Loss: Decodable {
        var loss: Double
        var gradLogp: [[Double]]
        var clipFraction, meanRatio, approxKlK1, klK3, tisWeightMean: Double?
        var sequenceRatio: [Double]?
    }
    struct Losses: Decodable {
        var ppoClip, grpo, dapo, drGrpo, rloo, gspo, cispo, reinforceMeanBaseline, grpoTokenMeanTis: Loss
    }
    struct Estimators: Decodable { var k1, k2, k3: Double }
    struct ValueLoss: Decodable {
        var valuesNew: [[Double]]
        var loss: Double
        var gradValuesNew: [[Double]]
    }
    struct Overlong: Decodable {
        var lengths: [Int]
        var reward: [Double]
    }
    struct LogitsBlock: Decodable {
        var logits, logSoftmax, gradMeanEntropy, gradMeanCe: [[Double]]
        var targets: [Int]
        var entropy: [Double]
        var meanCe: Double
    }
    struct BradleyTerry: Decodable {
        var chosenScores, rejectedScores, gradChosen, gradRejected: [Double]
        var loss, accuracy: Double
    }
    struct Ranking: Decodable {
        var scoresBestFirst, plackettLuceGrad, instructgptPairwiseGrad: [[Double]]
        var plackettLuceLoss, instructgptPairwiseLoss: Double
    }
    struct Preference: Decodable {
        var beta, loss: Double
        var policyChosenLogp, policyRejectedLogp, refChosenLogp, refRejectedLogp: [Double]
        var gradPolicyChosen, gradPolicyRejected, implicitRewardMargin: [Double]
    }
    var hyperparameters: Hyperparameters
    var inputs: Inputs
    var advantages: Advantages
    var losses: Losses
    var klEstimatorsTokenMean: Estimators
    var valueLoss: ValueLoss
    var dapoOverlong: Overlong
    var logitsBlock: LogitsBlock
    var bradleyTerry: BradleyTerry
    var ranking: Ranking
    var dpo: Preference

    static let all: [GoldenCase] = {
        let url = Bundle.module.url(forResource: "Fixtures/rl_losses", withExtension: "json")!
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try! decoder.decode([GoldenCase].self, from: Data(contentsOf: url))
    }()

    var sequenceCount: Int { inputs.mask.count }
    var tokenCount: Int { inputs.lengths.reduce(0, +) }

    /// Values at the trained tokens of a sequence.
    func trained(_ rows: [[Double]], _ sequence: Int) -> [Double] {
        zip(rows[sequence], inputs.mask[sequence]).filter { $0.1 == 1 }.map(\.0)
    }

    func mask(_ sequence: Int) -> [Bool] { inputs.mask[sequence].map { $0 == 1 } }

    /// Sequences of each group, in group order.
    var groups: [[Int]] {
        (0...inputs.group.max()!).map { group in inputs.group.indices.filter { inputs.group[$0] == group } }
    }
}

/// The largest absolute difference; infinite when the shapes differ.
func worstDifference(_ left: [Double], _ right: [Double]) -> Double {
    guard left.count == right.count else { return .infinity }
    return zip(left, right).map { abs($0 - $1) }.max() ?? 0
}
