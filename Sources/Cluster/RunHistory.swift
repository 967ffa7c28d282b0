// What a run's records add up to: read in order, they say where the run goes on.

import Rollouts

package struct RunHistory: Equatable, Sendable {
    /// Why a group is dropped that was sampled and judged as it should be.
    static let equalRewards = "all rewards are equal"

    /// The newest checkpoint, if there is one.
    package private(set) var checkpoint: Checkpoint?
    /// Every policy that a step made, versions ascending.
    package private(set) var policies: [PolicyManifest] = []
    package private(set) var evaluatedSteps: [Int] = []
    /// The newest trained step, which may be after the checkpoint.
    package private(set) var trainedStep = 0
    package private(set) var outcome: RunOutcome?
    /// Worker processes that were told to leave, oldest first.
    package private(set) var drained: [String] = []
    private var groups: [AcceptedGroup] = []
    private var places: [GroupKey: Int] = [:]

    package init() {}
    package init(_ records: [Record]) {
        for record in records { apply(record) }
    }

    /// Groups that are accepted and not yet covered by the checkpoint, in order of acceptance.
    package var accepted: [AcceptedGroup] {
        groups.enumerated().filter { places[$0.element.prompt.key] == $0.offset }.map(\.element)
    }

    package mutating func apply(_ record: Record) {
        switch record {
        case .workerJoined, .workerLeft:
            break
        case .workerDrained(let name):
            drained.append(name)
        case .completionsAccepted(let prompt, let completions):
            places[prompt.key] = groups.count
            groups.append(AcceptedGroup(prompt: prompt, completions: completions))
        case .verdictsAccepted(let key, let verdicts):
            if let place = places[key] { groups[place].verdicts = verdicts }
        case .groupDropped(let key, let reason):
            // What teaches nothing decided how many prompts were drawn: it is not sampled again, which in flight would
            // give something else.
            if reason != Self.equalRewards { places[key] = nil }
        case .stepTrained(let metrics, let manifest, _, _):
            trainedStep = metrics.step
            // A step that is trained again undid what came after it.
            evaluatedSteps.removeAll { $0 >= metrics.step }
            remember(manifest)
            outcome = nil
        case .checkpointed(let checkpoint):
            self.checkpoint = checkpoint
            remember(checkpoint.manifest)
            forgetGroups(coveredBy: checkpoint.step)
        case .evaluated(let report):
            if !evaluatedSteps.contains(report.step) { evaluatedSteps.append(report.step) }
        case .finished(let outcome):
            self.outcome = outcome
        }
    }

    /// The start that goes on from these records, given the start of the fresh run.
    /// - Parameter leaseEpoch: how many times the run was started before, at least 1.
    package func resumed(_ fresh: RunStart, leaseEpoch: UInt64) -> RunStart {
        var start = fresh
        start.leaseEpoch = leaseEpoch
        start.policies = policies
        start.accepted = accepted
        start.evaluatedSteps = evaluatedSteps
        start.drained = drained
        // Pre-training made another base policy than the fresh one.
        if let base = policies.first(where: { $0.version == .base }) { start.reference = base }
        if let checkpoint {
            start.checkpoint = checkpoint
            start.pretraining = nil
        }
        if !start.policies.contains(where: { $0.version == fresh.checkpoint.manifest.version }) {
            start.policies.insert(fresh.checkpoint.manifest, at: 0)
        }
        return start
    }

    private mutating func remember(_ manifest: PolicyManifest) {
        let index = policies.firstIndex { $0.version >= manifest.version } ?? policies.count
        if index < policies.count, policies[index].version == manifest.version {
            policies[index] = manifest
        } else {
            policies.insert(manifest, at: index)
        }
    }

    private mutating func forgetGroups(coveredBy step: Int) {
        let open = accepted.filter { group in
            let key = group.prompt.key
            return key.purpose == .evaluation ? key.step >= step : key.step > step
        }
        groups = open
        places = [:]
        for (place, group) in open.enumerated() { places[group.prompt.key] = place }
    }
}
