// How policies reach workers and prove themselves there.

import Rollouts

extension Coordinator {
    mutating func sendPolicy(_ manifest: PolicyManifest, to worker: String) {
        membership.update(worker) { [now] in $0.policy = .loading(manifest, since: now) }
        send(.policy(manifest), toWorker: worker)
    }

    /// A worker that kept its weights over a lost connection need not load them again.
    mutating func adoptHeldPolicy(of hello: Hello) {
        guard let held = hello.held, let known = knownManifest(of: held.version),
            held.weightsHash == known.weightsHash
        else { return }
        membership.update(hello.worker) { $0.policy = .ready(held) }
        publication.proved(held.version, at: now)
    }

    /// Versions from this one on are other weights now: what workers proved about them is void.
    mutating func forgetProofs(from version: PolicyVersion) {
        for worker in membership.workers {
            guard case .ready(let held) = worker.policy, held.version >= version else { continue }
            membership.update(worker.name) { $0.policy = .none }
        }
    }

    mutating func takeProof(_ version: PolicyVersion, _ hash: Digest, from worker: String) {
        guard let known = knownManifest(of: version) else { return }
        guard hash == known.weightsHash else {
            // Weights that were withdrawn while they were being loaded are not the worker's fault.
            if case .loading(let manifest, _)? = membership[worker]?.policy, manifest.version == version,
                manifest.weightsHash == hash
            {
                return membership.update(worker) { $0.policy = .none }
            }
            strike(worker, because: "computed hash \(hash) for version \(version.rawValue)")
            return refuse(
                worker,
                because: "version \(version.rawValue): expected weights \(known.weightsHash), found \(hash); "
                    + "the copy on that host is damaged or its kernels differ")
        }
        guard case .loading(let manifest, _)? = membership[worker]?.policy, manifest.version == version else { return }
        membership.update(worker) {
            $0.policy = .ready(manifest)
            $0.policyFailureCount = 0
        }
        publication.proved(version, at: now)
    }

    mutating func takePolicyFailure(_ version: PolicyVersion, _ reason: String, from worker: String) {
        guard case .loading(let manifest, _)? = membership[worker]?.policy, manifest.version == version else { return }
        counters.faultCount += 1
        fault(.policyRefused, "`\(worker)` could not load version \(version.rawValue): \(reason)", of: worker)
        membership.update(worker) { [now] in
            $0.policyFailureCount += 1
            let wait = PolicyPublication.retryWait(afterFailures: $0.policyFailureCount)
            $0.policy = .failed(manifest, retryAt: now + wait)
        }
    }
}
