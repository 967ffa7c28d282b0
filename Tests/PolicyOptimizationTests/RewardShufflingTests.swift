// Rewards that say nothing: are they the same rewards, in an order that only the key decides?

import PolicyOptimization
import Rollouts
import Testing

@Test func `shuffled rewards stay inside their group and depend on the key alone`() {
    let rewards = [1.0, 2, 3, 4, 5, 6, 7, 8]
    let judged = [true, true, false, true, true, true, true, true]
    func shuffled(step: Int, seed: UInt64 = 1) -> [Double] {
        shuffledRewards(
            rewards, hasVerdict: judged, seed: seed, group: GroupKey(purpose: .training, step: step, ordinal: 3))
    }
    #expect(shuffled(step: 1).sorted() == rewards)
    #expect((1...40).allSatisfy { shuffled(step: $0)[2] == 3 })
    #expect(shuffled(step: 1) == shuffled(step: 1))
    // Seven rewards have 5,040 orders: forty keys that all give one order would not be shuffling.
    #expect(Set((1...40).map { shuffled(step: $0) }).count > 30)
    #expect(shuffled(step: 1) != shuffled(step: 1, seed: 2) || shuffled(step: 2) != shuffled(step: 2, seed: 2))
    let firsts = (1...400).map { shuffled(step: $0)[0] }
    // Each of seven rewards is first about 57 times; fewer than 25 has a chance below 1 in 100,000.
    for reward in rewards where reward != 3 { #expect(firsts.count { $0 == reward } >= 25) }
}
