// What counts as lost, and what as counted twice.

import Cluster
import FaultInjection
import Rollouts
import Testing

@Suite struct JournalTests {
    private func key(_ step: Int, _ ordinal: Int) -> GroupKey {
        GroupKey(purpose: .training, step: step, ordinal: ordinal)
    }

    private func accepted(_ key: GroupKey, text: String = "4") -> Record {
        .completionsAccepted(
            Prompt(key: key, tokens: [1], text: "2+2", answer: "4", source: "s"),
            [
                Completion(
                    index: 0, tokens: [7], sampledLogProbs: [-1], policyLogProbs: [-1], entropies: [1],
                    versions: [.base], text: text, finish: .stop)
            ])
    }

    private func trained(_ step: Int, _ groups: [GroupKey], hash: UInt8 = 1) throws -> Record {
        let digest = try #require(Digest(bytes: Array(repeating: hash, count: 32)))
        return .stepTrained(
            StepMetrics(step: step, policyVersion: PolicyVersion(UInt64(step)), weightsHash: digest, values: []),
            manifest: PolicyManifest(
                version: PolicyVersion(UInt64(step)), weightsHash: digest,
                weights: BlobReference(digest: digest, byteCount: 1), optimizer: nil),
            groups: groups, nextPosition: 1)
    }

    @Test func `what is added is no loss; what is gone or otherwise is one`() throws {
        let one = Journal([accepted(key(1, 0)), .verdictsAccepted(key(1, 0), [.right("r")])])
        let two = Journal([
            accepted(key(1, 0)), .verdictsAccepted(key(1, 0), [.right("r")]), accepted(key(1, 1)),
            try trained(1, [key(1, 0)]),
        ])
        #expect(two.loss(since: one) == nil && two.repetition == nil && !two.isEmpty)
        #expect(one.loss(since: two)?.contains("the completions of") == true)
        #expect(Journal([accepted(key(1, 0))]).loss(since: one)?.hasSuffix("are lost") == true)
        let other = Journal([accepted(key(1, 0), text: "5"), .verdictsAccepted(key(1, 0), [.right("r")])])
        #expect(other.loss(since: one)?.hasSuffix("are others") == true)
        let retrained = Journal([
            accepted(key(1, 0)), .verdictsAccepted(key(1, 0), [.right("r")]), accepted(key(1, 1)),
            try trained(1, [key(1, 0)], hash: 2),
        ])
        #expect(retrained.loss(since: two) == "step 1 is another")
    }

    @Test func `a group trained in two steps, or accepted twice, is named`() throws {
        let twice = Journal([accepted(key(1, 0)), try trained(1, [key(1, 0)]), try trained(2, [key(1, 0)])])
        #expect(twice.repetition?.hasSuffix("was trained in step 1 and in step 2") == true)
        #expect(Journal([accepted(key(1, 0)), accepted(key(1, 0))]).repetition?.hasSuffix("accepted twice") == true)
        #expect(Journal([try trained(1, []), try trained(1, [])]).repetition == "step 1 was trained twice")
    }
}
