// Watches everything the coordinator says and keeps its own books, independent of the core's.

import Cluster
import Rollouts

/// What an undisturbed run made, for comparison.
package struct Reference: Equatable, Sendable {
    package var weights: [Digest] = []
    package var metrics: [[StepMetrics.Value]] = []
    package var evaluations: [EvaluationReport] = []

    /// Metrics that must not depend on time or on the cluster.
    static func comparable(_ metrics: StepMetrics) -> [StepMetrics.Value] {
        metrics.values.filter { value in
            !value.name.hasPrefix("seconds") && !value.name.hasSuffix("per_second")
                && !["workers", "learners"].contains(value.name)
        }
    }
}

/// Checked after every effect: what is durable before what is said, leases used once, proof before rollouts, steps
/// trained once and in order, nothing after the end, and weights and metrics equal to those of the undisturbed run.
struct Ledger: Sendable {
    private let lag: Int
    private let isInflight: Bool
    private let reference: Reference?
    private(set) var violation: String?

    private var durable: [PolicyVersion: Digest] = [:]
    private var proven: [PeerIdentifier: PolicyManifest] = [:]
    private var loading: [PeerIdentifier: PolicyManifest] = [:]
    private var leases: Set<LeaseIdentifier> = []
    private var isFinished = false
    private var dispatched: [GroupKey] = []
    private var dropped: Set<GroupKey> = []
    /// Hash, groups and metrics per step of the current line of steps.
    private(set) var steps: [Step] = []
    private(set) var evaluations: [EvaluationReport] = []

    struct Step: Sendable {
        var metrics: StepMetrics
        var groups: [GroupKey]
        var isReported = false
    }

    init(scenario: Scenario, reference: Reference?) {
        lag = scenario.options.schedule.reach
        isInflight = scenario.options.schedule.inflight
        self.reference = reference
        if !scenario.isPretrained { durable[.base] = ScriptedWork.basePolicy.weightsHash }
    }

    var made: Reference {
        Reference(
            weights: steps.map(\.metrics.weightsHash), metrics: steps.map { Reference.comparable($0.metrics) },
            evaluations: evaluations)
    }

    /// The coordinator is another process.
    mutating func restart() {
        isFinished = false
        proven = [:]
        loading = [:]
    }

    mutating func received(_ message: Message, from peer: PeerIdentifier) {
        switch message {
        case .hello(let hello):
            if proven[peer] == nil { proven[peer] = hello.held }
        case .policyReady(let version, let hash):
            if let loaded = loading[peer], loaded.version == version, loaded.weightsHash == hash {
                proven[peer] = loaded
            }
        default: break
        }
    }

    /// What the answer to one event must look like as a whole.
    mutating func answered(_ event: Event, with effects: [Effect]) {
        if isFinished, !effects.isEmpty { fail("no effects after stop: \(effects[0])") }
        guard case .received(let message, _) = event else { return }
        let lease: LeaseIdentifier
        switch message {
        case .rolloutResult(let found, _, _), .verificationResult(let found, _, _), .trainingResult(let found, _, _):
            lease = found
        default: return
        }
        var isAcknowledged = false
        for effect in effects {
            switch effect {
            case .send(.acknowledge(lease), _): isAcknowledged = true
            case .persist(.completionsAccepted), .persist(.verdictsAccepted), .persist(.stepTrained),
                .persist(.checkpointed):
                if isAcknowledged { fail("acknowledged before durable: lease \(lease.rawValue)") }
            default: break
            }
        }
    }

    mutating func performed(_ effect: Effect) {
        if isFinished { fail("no effects after stop: \(effect)") }
        switch effect {
        case .send(let message, let peer): sent(message, to: peer)
        case .persist(let record): persisted(record)
        case .report(let metrics):
            guard let index = steps.firstIndex(where: { $0.metrics == metrics }), !steps[index].isReported else {
                return fail("step \(metrics.step) is reported without being durable, or twice")
            }
            steps[index].isReported = true
        case .rewind(let step):
            steps.removeAll { $0.metrics.step > step }
            evaluations.removeAll { $0.step > step }
        case .finish(let outcome):
            isFinished = true
            if case .completed = outcome { checkEverythingEmitted() }
        case .drawPrompts, .reportEvaluation, .forgetBlobs, .removeBlobs, .note, .answer, .retire: break
        }
    }

    private mutating func sent(_ message: Message, to peer: PeerIdentifier) {
        switch message {
        case .policy(let manifest):
            // The base of a run that pre-trains is sent to its learner before anything is durable.
            if let hash = durable[manifest.version], hash != manifest.weightsHash {
                fail("version \(manifest.version.rawValue) is published with a hash that is not durable")
            } else if durable[manifest.version] == nil, manifest != ScriptedWork.basePolicy {
                fail("version \(manifest.version.rawValue) is published before it is durable")
            }
            loading[peer] = manifest
            proven[peer] = nil
        case .rollout(let lease, let assignment):
            use(lease)
            let version = assignment.version
            let held = proven[peer]
            if held.map({ !assignment.admits($0.version) || $0.weightsHash != durable[$0.version] }) ?? true {
                fail("rollouts only after proof: \(assignment.prompt.key) went to a worker without version \(version)")
            }
            if assignment.prompt.key.purpose == .training {
                let expected = UInt64(max(0, assignment.prompt.key.step - 1 - lag))
                if version.rawValue != expected { fail("\(assignment.prompt.key) is sampled with version \(version)") }
                dispatched.append(assignment.prompt.key)
            }
        case .gradient(let lease, let assignment):
            use(lease)
            let version = assignment.base
            let isProven =
                proven[peer]?.version == version && proven[peer]?.weightsHash == durable[version]
            if !assignment.keep, !isProven {
                fail("gradients only after proof: step \(assignment.step) went to a helper without version \(version)")
            }
        case .verify(let lease, _), .train(let lease, _), .pretrain(let lease, _), .saveCheckpoint(let lease):
            use(lease)
        case .trainingGroup(_, let group):
            let expected = PolicyVersion(UInt64(max(0, group.prompt.key.step - 1 - lag)))
            let newest = isInflight ? PolicyVersion(UInt64(group.prompt.key.step - 1)) : expected
            if group.completions.contains(where: { $0.versions.contains { $0 < expected || $0 > newest } }) {
                fail("no token trains past the staleness bound: \(group.prompt.key)")
            }
            if group.completions.count != group.verdicts.count { fail("\(group.prompt.key) is trained unjudged") }
        default: break
        }
    }

    private mutating func persisted(_ record: Record) {
        switch record {
        case .stepTrained(let metrics, let manifest, let groups, _):
            let step = metrics.step
            if step != (steps.last?.metrics.step ?? 0) + 1 {
                fail("step \(step) is trained after step \(steps.last?.metrics.step ?? 0)")
            }
            if manifest.version != PolicyVersion(UInt64(step)) { fail("step \(step) made \(manifest.version)") }
            if groups != groups.sorted() || groups.contains(where: { $0.step != step }) {
                fail("step \(step) trained groups out of order")
            }
            if Set(groups).count != groups.count { fail("a group is trained twice in step \(step)") }
            steps.append(Step(metrics: metrics, groups: groups))
            for key in groups { dropped.remove(key) }
            durable[manifest.version] = manifest.weightsHash
            compare(metrics)
        case .checkpointed(let checkpoint):
            if checkpoint.step > 0, checkpoint.manifest.optimizer == nil {
                fail("the checkpoint of step \(checkpoint.step) has no optimizer state")
            }
            if checkpoint.step > 0, durable[checkpoint.manifest.version] != checkpoint.manifest.weightsHash {
                fail("the checkpoint of step \(checkpoint.step) holds other weights than its step")
            }
            durable[checkpoint.manifest.version] = checkpoint.manifest.weightsHash
        case .groupDropped(let key, _): dropped.insert(key)
        case .evaluated(let report):
            evaluations.append(report)
            guard let reference else { return }
            let expected = reference.evaluations.first { $0.step == report.step }
            if expected != report { fail("the evaluation after step \(report.step) differs from the undisturbed one") }
        default: break
        }
    }

    private mutating func compare(_ metrics: StepMetrics) {
        guard let reference else { return }
        guard metrics.step <= reference.weights.count else { return fail("step \(metrics.step) is one too many") }
        if reference.weights[metrics.step - 1] != metrics.weightsHash {
            return fail(
                "step \(metrics.step): expected weights \(reference.weights[metrics.step - 1]), "
                    + "found \(metrics.weightsHash)")
        }
        let expected = reference.metrics[metrics.step - 1]
        if expected != Reference.comparable(metrics) {
            fail("step \(metrics.step): metrics differ from the undisturbed run:\n\(expected)\n\(metrics.values)")
        }
    }

    private mutating func use(_ lease: LeaseIdentifier) {
        if !leases.insert(lease).inserted { fail("lease \(lease.rawValue) is used twice") }
    }

    /// Every dispatched group ended: trained, or dropped with a reason.
    private mutating func checkEverythingEmitted() {
        let trained = Set(steps.flatMap(\.groups))
        if let lost = dispatched.first(where: { !trained.contains($0) && !dropped.contains($0) }) {
            fail("emit everything: \(lost) was dispatched and neither trained nor dropped")
        }
        if let unreported = steps.first(where: { !$0.isReported }) {
            fail("step \(unreported.metrics.step) was never reported")
        }
        if let reference, evaluations.map(\.step) != reference.evaluations.map(\.step) {
            fail(
                "evaluations after steps \(evaluations.map(\.step)), expected after "
                    + "\(reference.evaluations.map(\.step))")
        }
    }

    private mutating func fail(_ text: String) {
        if violation == nil { violation = text }
    }
}
