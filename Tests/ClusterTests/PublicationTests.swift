import Rollouts
import Simulation
import Testing

@testable import Cluster

@Suite struct PolicyPublicationTests {
    private func publication(through newest: UInt64) -> PolicyPublication {
        var publication = PolicyPublication(known: [])
        publication.begin(with: Samples.policy(0), needing: .base, at: .zero)
        for version in 1..<(newest + 1) {
            publication.becomeDurable(PolicyVersion(version))
            publication.publish(Samples.policy(version), at: Samples.time(Double(version)))
        }
        return publication
    }

    private func loads(
        _ publication: PolicyPublication, _ workers: [Worker], demand: [(UInt64, Int)]
    ) -> [String] {
        publication.loads(
            for: workers,
            demand: demand.map { (version: PolicyVersion($0.0), count: $0.1) }, ahead: publication.newest
        ).map { "\($0.worker) \($0.manifest.version.rawValue)" }
    }

    @Test func `without waiting groups everyone loads the newest version`() {
        let workers = [
            Samples.worker("a", [.rollout], holding: Samples.policy(1)), Samples.worker("b", [.rollout]),
            Samples.worker("v", [.verifier]),
        ]
        #expect(loads(publication(through: 1), workers, demand: []) == ["b 1"])
    }

    @Test func `an old version is loaded by as many workers as its groups need`() {
        // Three groups, two slots each: two workers go back, the third stays ahead.
        let workers = ["a", "b", "c"].map { Samples.worker($0, [.rollout], holding: Samples.policy(2)) }
        #expect(loads(publication(through: 2), workers, demand: [(1, 3)]) == ["a 1", "b 1"])
    }

    @Test func `workers that hold or load a version are counted before others are sent for it`() {
        var loading = Samples.worker("b", [.rollout])
        loading.policy = .loading(Samples.policy(1), since: .zero)
        let workers = [Samples.worker("a", [.rollout], holding: Samples.policy(2)), loading]
        #expect(loads(publication(through: 2), workers, demand: [(1, 2)]) == [])
        #expect(loads(publication(through: 2), workers, demand: [(1, 3)]) == ["a 1"])
    }

    @Test func `training again to other weights is noticed, and the later versions are withdrawn`() {
        var publication = publication(through: 3)
        var other = Samples.policy(2)
        #expect(publication.contradiction(of: other) == nil)
        other.weightsHash = Fingerprint(1).digest
        #expect(publication.contradiction(of: other) == Samples.policy(2).weightsHash)
        publication.withdraw(from: PolicyVersion(2))
        publication.publish(other, at: .zero)
        #expect(
            publication.policies.map(\.weightsHash) == [0, 1].map { Samples.policy($0).weightsHash } + [
                other.weightsHash
            ])
    }

    @Test func `a resumed run publishes the versions that the lag needs`() {
        var publication = PolicyPublication(known: [3, 1, 4, 2, 5].map { Samples.policy($0) })
        publication.begin(with: Samples.policy(4, optimizer: true), needing: PolicyVersion(2), at: .zero)
        #expect(publication.policies.map(\.version.rawValue) == [2, 3, 4])
        #expect(publication.newest?.optimizer != nil)
        var other = Samples.policy(5)
        other.weightsHash = Fingerprint(1).digest
        #expect(publication.contradiction(of: other) == Samples.policy(5).weightsHash, "a stored hash is remembered")
    }

    @Test func `publishing time ends with the first proof`() {
        var publication = publication(through: 2)
        #expect(publication.publishingTime(of: PolicyVersion(2)) == .zero)
        publication.proved(PolicyVersion(2), at: Samples.time(2.5))
        publication.proved(PolicyVersion(2), at: Samples.time(9))
        #expect(publication.publishingTime(of: PolicyVersion(2)) == .milliseconds(500))
    }

    @Test func `waits double up to 32 seconds`() {
        let waits = (1...8).map { PolicyPublication.retryWait(afterFailures: $0) }
        #expect(waits == [1, 2, 4, 8, 16, 32, 32, 32].map { Duration.seconds($0) })
    }
}
