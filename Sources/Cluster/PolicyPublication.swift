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

    /// How long to wait before a policy that failed to load is sent again: 1 s, 2 s, 4 s, … 32 s.
    static func retryWait(afterFailures count: Int) -> Duration {
        .seconds(1 << min(max(0, count - 1), backOffLimit))
    }
}
