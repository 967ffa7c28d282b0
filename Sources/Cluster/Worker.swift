// What the coordinator knows about one worker.

import Rollouts

struct Worker: Equatable, Sendable {
    /// none → loading → ready; loading → failed → loading again after a wait. Only `ready` takes rollouts.
    enum Policy: Equatable, Sendable {
        case none
        case loading(PolicyManifest, since: MonotonicTime)
        /// The worker proved the hash of these weights.
        case ready(PolicyManifest)
        case failed(PolicyManifest, retryAt: MonotonicTime)
    }

    let name: String
    let isSampler: Bool
    let isVerifier: Bool
    let isLearner: Bool
    var hello: Hello
    /// nil while the connection is gone and the worker may still come back.
    var peer: PeerIdentifier?
    var lastHeard: MonotonicTime
    var policy = Policy.none {
        didSet {
            if case .ready(let manifest) = policy { provenVersion = manifest.version } else { provenVersion = nil }
        }
    }
    /// The version of the policy that is ready: the rounds over all workers look at this first.
    private(set) var provenVersion: PolicyVersion?
    var policyFailureCount = 0
    /// The version its optimizer state belongs to, from the training results of this process.
    var learned: PolicyManifest?
    // What it did that was accepted.
    var completionCount = 0
    var tokenCount = 0
    var verdictCount = 0
    var stepCount = 0
    /// It is to leave: it gets no new work, and is told to go when it holds nothing any more.
    var isDraining = false
    /// After an expired lease: not preferred until then.
    var restUntil: MonotonicTime?

    init(hello: Hello, peer: PeerIdentifier, lastHeard: MonotonicTime) {
        name = hello.worker
        isSampler = hello.roles.contains(.rollout)
        isVerifier = hello.roles.contains(.verifier)
        isLearner = hello.roles.contains(.learner)
        self.hello = hello
        self.peer = peer
        self.lastHeard = lastHeard
    }

    var isReachable: Bool { peer != nil }
    /// Whether it may be given anything new.
    var takesWork: Bool { peer != nil && !isDraining }
    func rests(at now: MonotonicTime) -> Bool { restUntil.map { $0 > now } ?? false }

    /// Whether it proved to hold exactly these weights.
    func holds(_ manifest: PolicyManifest) -> Bool {
        guard case .ready(let held) = policy else { return false }
        return held.version == manifest.version && held.weightsHash == manifest.weightsHash
    }

    func isLoading(_ manifest: PolicyManifest) -> Bool {
        guard case .loading(let loading, _) = policy else { return false }
        return loading.version == manifest.version && loading.weightsHash == manifest.weightsHash
    }

    /// Whether a load of another policy may be asked for at this time.
    func mayLoad(at now: MonotonicTime) -> Bool {
        switch policy {
        case .none, .ready: true
        case .loading: false
        case .failed(_, let retryAt): retryAt <= now
        }
    }
}
