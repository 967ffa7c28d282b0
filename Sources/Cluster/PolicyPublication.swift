// Which policy versions exist, and which worker is told to load which.

import Rollouts

/// Versions only grow, and are durable before they are published. A worker holds one version at a time; it is told to
/// load another one only when it has no leases, and gets rollouts only after it proved the hash.
struct PolicyPublication: Equatable, Sendable {
    private static let backOffLimit = 5

    /// Published policies, versions ascending.
    private(set) var policies: [PolicyManifest] = []
    /// The newest version that is durable; nothing after it may be published.
    private(set) var durable: PolicyVersion?
    /// What training a step again must reproduce.
    private var expected: [PolicyManifest]
    /// When each published version was published, and when the first worker proved it.
    private var times: [Times] = []

    private struct Times: Equatable, Sendable {
        var version: PolicyVersion
        var publishedAt: MonotonicTime
        var firstReadyAt: MonotonicTime?
    }

    struct Load: Equatable {
        var worker: String
        var manifest: PolicyManifest
    }

    /// - Parameter known: manifests from the store; those up to `base` are published with it.
    init(known: [PolicyManifest]) {
        expected = known
    }

    var newest: PolicyManifest? { policies.last }

    func manifest(of version: PolicyVersion) -> PolicyManifest? {
        policies.last { $0.version == version }
    }

    /// Publishes the policy the run goes on from, with those before it that a lag still needs.
    mutating func begin(with base: PolicyManifest, needing oldest: PolicyVersion, at now: MonotonicTime) {
        policies = expected.filter { $0.version < base.version && $0.version >= oldest }
            .sorted { $0.version < $1.version }
        durable = base.version
        publish(base, at: now)
    }

    /// The hash that earlier training gave this version, if it differs from this one.
    func contradiction(of manifest: PolicyManifest) -> Digest? {
        let earlier = self.manifest(of: manifest.version) ?? expected.first { $0.version == manifest.version }
        guard let earlier, earlier.weightsHash != manifest.weightsHash else { return nil }
        return earlier.weightsHash
    }

    mutating func becomeDurable(_ version: PolicyVersion) {
        durable = durable.map { max($0, version) } ?? version
    }

    /// Publishes a durable policy. One that was published before, from the same weights, is only brought up to date
    /// (training again may add the optimizer state).
    mutating func publish(_ manifest: PolicyManifest, at now: MonotonicTime) {
        precondition(durable.map { manifest.version <= $0 } ?? false, "\(manifest.version) is not durable")
        if let index = policies.lastIndex(where: { $0.version == manifest.version }) {
            policies[index].weights = manifest.weights
            policies[index].optimizer = manifest.optimizer ?? policies[index].optimizer
            return
        }
        precondition(policies.last.map { $0.version < manifest.version } ?? true, "versions only grow")
        policies.append(manifest)
        times.append(Times(version: manifest.version, publishedAt: now))
    }

    /// Training again gave other weights from this version on: the old ones are void.
    mutating func withdraw(from version: PolicyVersion) {
        policies.removeAll { $0.version >= version }
        expected.removeAll { $0.version >= version }
        times.removeAll { $0.version >= version }
    }

    mutating func forget(before version: PolicyVersion) {
        policies.removeAll { $0.version < version }
        times.removeAll { $0.version < version }
    }

    mutating func proved(_ version: PolicyVersion, at now: MonotonicTime) {
        guard let index = times.firstIndex(where: { $0.version == version }), times[index].firstReadyAt == nil
        else { return }
        times[index].firstReadyAt = now
    }

    /// From publication to the first worker that proved the version; zero when that was not seen.
    func publishingTime(of version: PolicyVersion) -> Duration {
        guard let times = times.first(where: { $0.version == version }), let ready = times.firstReadyAt
        else { return .zero }
        return ready - times.publishedAt
    }

    /// Which rollout workers to tell to load what: enough of them for each version with waiting groups, oldest version
    /// first; the others load the one that is needed next.
    /// - Parameters:
    ///   - idle: rollout workers without leases that may load.
    ///   - demand: waiting groups per version, ascending.
    ///   - checks: waiting spot checks: each needs one worker that is none of these accounts.
    ///   - ahead: what workers without groups load.
    func loads(
        for workers: [Worker], idle: (Worker) -> Bool, demand: [(version: PolicyVersion, count: Int)],
        checks: [(version: PolicyVersion, excluded: [String])] = [], ahead: PolicyManifest?
    ) -> [Load] {
        let versions = demand.map(\.version) + checks.map(\.version)
        if let ahead, versions.allSatisfy({ $0 == ahead.version }) {
            let isAnyBehind = workers.indices.contains { index in
                workers[index].isSampler && workers[index].provenVersion != ahead.version && workers[index].peer != nil
            }
            if !isAnyBehind { return [] }
        }
        var loads: [Load] = []
        var placed = workers.indices.map { !workers[$0].isSampler || workers[$0].peer == nil }
        for (version, excluded) in checks {
            guard let manifest = manifest(of: version) else { continue }
            let able = workers.indices.filter { index in
                workers[index].isSampler && workers[index].peer != nil
                    && !excluded.contains(Membership.account(of: workers[index].name))
            }
            if let holder = able.first(where: { workers[$0].holds(manifest) || workers[$0].isLoading(manifest) }) {
                placed[holder] = true
            } else if let free = able.first(where: { !placed[$0] && idle(workers[$0]) }) {
                loads.append(Load(worker: workers[free].name, manifest: manifest))
                placed[free] = true
            }
        }
        for (version, count) in demand {
            guard let manifest = manifest(of: version) else { continue }
            var missing = count
            for index in workers.indices where !placed[index] {
                guard missing > 0, workers[index].holds(manifest) || workers[index].isLoading(manifest)
                else { continue }
                missing -= workers[index].hello.rolloutSlots
                placed[index] = true
            }
            for index in workers.indices where !placed[index] && missing > 0 && idle(workers[index]) {
                loads.append(Load(worker: workers[index].name, manifest: manifest))
                missing -= workers[index].hello.rolloutSlots
                placed[index] = true
            }
        }
        if let ahead {
            for index in workers.indices where !placed[index] && idle(workers[index]) {
                guard !workers[index].holds(ahead) else { continue }
                loads.append(Load(worker: workers[index].name, manifest: ahead))
            }
        }
        return loads
    }

    /// In flight everyone takes the wanted policy: a newer one whatever is being sampled, an older one when nothing is.
    /// - Parameters:
    ///   - ready: rollout workers that may load.
    ///   - isFree: those without leases.
    func loadsInFlight(
        for workers: [Worker], ready: (Worker) -> Bool, isFree: (Worker) -> Bool, wanted: PolicyManifest?
    ) -> [Load] {
        guard let wanted else { return [] }
        return workers.filter { worker in
            guard worker.isSampler, !worker.holds(wanted), ready(worker) else { return false }
            return worker.provenVersion.map { $0 < wanted.version } ?? false || isFree(worker)
        }.map { Load(worker: $0.name, manifest: wanted) }
    }

    /// How long to wait before a policy that failed to load is sent again: 1 s, 2 s, 4 s, … 32 s.
    static func retryWait(afterFailures count: Int) -> Duration {
        .seconds(1 << min(max(0, count - 1), backOffLimit))
    }
}
