// Logits and preference losses of rl_losses.json, in Double, to 1e-11.

import PolicyOptimization
import Testing

private let tolerance = 1e-11

@Test(arguments: GoldenCase.all.indices)
func `softmax, entropy and cross-entropy of logits equal the golden numbers`(index: Int) {
    let block = GoldenCase.all[index].logitsBlock
    let rows = Double(block.logits.count)
    var meanCrossEntropy = 0.0
    for (row, logits) in block.logits.enumerated() {
        #expect(worstDifference(logSoftmax(logits), block.logSoftmax[row]) < tolerance)
        let spread = entropy(ofLogits: logits)
        #expect(abs(spread.value - block.entropy[row]) < tolerance)
        #expect(worstDifference(spread.gradient.map { $0 / rows }, block.gradMeanEntropy[row]) < tolerance)
        let target = crossEntropy(logits: logits, target: block.targets[row])
        meanCrossEntropy += target.value / rows
        #expect(worstDifference(target.gradient.map { $0 / rows }, block.gradMeanCe[row]) < tolerance)
    }
    #expect(abs(meanCrossEntropy - block.meanCe) < tolerance)
}

@Test(arguments: GoldenCase.all.indices)
func `preference losses equal the golden numbers`(index: Int) {
    let golden = GoldenCase.all[index]
    let pairs = golden.bradleyTerry
    let result = bradleyTerryLoss(chosen: pairs.chosenScores, rejected: pairs.rejectedScores)
    #expect(abs(result.loss - pairs.loss) < tolerance)
    #expect(abs(result.accuracy - pairs.accuracy) < tolerance)
    #expect(worstDifference(result.chosenGradient, pairs.gradChosen) < tolerance)
    #expect(worstDifference(result.rejectedGradient, pairs.gradRejected) < tolerance)

    let ranking = golden.ranking
    let plackettLuce = plackettLuceLoss(rankings: ranking.scoresBestFirst)
    #expect(abs(plackettLuce.loss - ranking.plackettLuceLoss) < tolerance)
    #expect(worstDifference(plackettLuce.gradient.flatMap { $0 }, ranking.plackettLuceGrad.flatMap { $0 }) < tolerance)
    let allPairs = allPairsLoss(rankings: ranking.scoresBestFirst)
    #expect(abs(allPairs.loss - ranking.instructgptPairwiseLoss) < tolerance)
    let expectedPairs = ranking.instructgptPairwiseGrad.flatMap { $0 }
    #expect(worstDifference(allPairs.gradient.flatMap { $0 }, expectedPairs) < tolerance)

    let preference = golden.dpo
    let direct = directPreferenceLoss(
        PreferencePairs(
            policyChosen: preference.policyChosenLogp, policyRejected: preference.policyRejectedLogp,
            referenceChosen: preference.refChosenLogp, referenceRejected: preference.refRejectedLogp),
        beta: preference.beta)
    #expect(abs(direct.loss - preference.loss) < tolerance)
    #expect(worstDifference(direct.chosenGradient, preference.gradPolicyChosen) < tolerance)
    #expect(worstDifference(direct.rejectedGradient, preference.gradPolicyRejected) < tolerance)
    #expect(worstDifference(direct.margins, preference.implicitRewardMargin) < tolerance)
}
