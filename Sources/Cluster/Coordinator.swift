// What the coordinator does when something happens: a router over small machines, which hold the rules.

import Rollouts

/// Decides everything and does nothing: time, bytes, disks and threads stay outside.
package struct Coordinator: Sendable, Equatable {
    let options: RunOptions
    let welcome: Welcome
    var pretraining: PretrainingAssignment?
    /// The base policy, frozen: what a KL term is taken against.
    var reference: PolicyManifest
    /// Stored groups of unfinished steps that have not been asked for yet.
    var accepted: [AcceptedGroup]

    var now = MonotonicTime.zero
    /// When the loop must call again with `.tick` if nothing else happens; perhaps before there is anything to do.
    package private(set) var nextDeadline: MonotonicTime?
    /// What the last events made room for has not been looked at: the next event does so, and must come soon.
    package private(set) var isUnsettled = false
    /// Whether the last event may have changed more than times and counts of work done.
    package private(set) var hasChanged = false
    /// Effects of the event being handled; empty between events.
    var outbox: [Effect] = []

    var progress: RunProgress
    var membership: Membership
    /// Of `membership`, up to date while work is given out.
    var index = WorkerIndex()
    var rollouts: RolloutScheduler
    var verification: VerificationScheduler
    var buffer: RolloutBuffer
    var evaluation: Evaluation
    var training = TrainingStep()
    var gradients = GradientShards()
    var publication: PolicyPublication
    var leases: LeaseMaker
    var counters = CoordinatorStatus.Counters()
    var faults = FaultLog()
    let isResumed: Bool

    package init(options: RunOptions, start: RunStart) {
        let base = start.checkpoint
        precondition(
            base.manifest.version == PolicyVersion(UInt64(base.step)),
            "the checkpoint of step \(base.step) holds version \(base.manifest.version.rawValue)")
        self.options = options
        welcome = start.welcome
        pretraining = start.pretraining
        reference = start.reference
        accepted = start.accepted
        progress = RunProgress(options: options, checkpoint: start.checkpoint)
        membership = Membership(options: options.cluster, drained: start.drained)
        rollouts = RolloutScheduler(vocabularyCount: start.vocabularyCount)
        verification = VerificationScheduler(options: options.cluster)
        buffer = RolloutBuffer(options: options, replayTokensLimit: start.replayTokensLimit)
        evaluation = Evaluation(options: options, start: start)
        publication = PolicyPublication(known: start.policies)
        leases = LeaseMaker(epoch: start.leaseEpoch, length: options.cluster.leaseLength)
        isResumed = start.leaseEpoch > 0
    }

    /// Effects must be performed in the order given: what must be durable comes before the message that promises it.
    /// - Parameter isMoreComing: other events have arrived already. What this one makes room for may then wait, so that
    ///   one round over workers and units serves them all; `isUnsettled` says that it waits.
    package mutating func handle(_ event: Event, at now: MonotonicTime, isMoreComing: Bool = false) -> [Effect] {
        guard !progress.isFinished else { return lastWords(after: event) }
        // Moving the clock past a deadline hides it from `nextDeadline`: what falls due by now is done with this event.
        let isSomethingDue = nextDeadline.map { $0 <= now } ?? false
        self.now = max(self.now, now)
        switch event {
        case .start: begin()
        case .received(let message, let peer): receive(message, from: peer)
        case .disconnected(let peer): disconnect(peer)
        case .ended(let peer): end(peer)
        case .misbehaved(let peer, let reason): takeMisbehaviour(of: peer, reason)
        case .promptsDrawn(let prompts): take(prompts)
        case .interrupt: interrupt()
        case .abandon: stop(.interrupted(step: progress.checkpoint.step))
        case .asked(let request, let number): take(request, number: number)
        case .storeFailed(let reason): failStore(reason)
        case .tick: break
        }
        hasChanged = true
        if isMoreComing, !isSomethingDue, Self.isResult(event) {
            isUnsettled = true
        } else if isSomethingDue || isUnsettled || !Self.isHeartbeat(event) {
            // A heartbeat only moves deadlines further away, so the one known stays early enough.
            isUnsettled = false
            expire()
            advance()
            forgetTimesGoneBy()
            nextDeadline = soonestDeadline
        } else {
            hasChanged = false
        }
        defer { outbox = [] }
        return outbox
    }

    /// Events that come by the hundred: what they make room for is work for whoever sent them.
    private static func isResult(_ event: Event) -> Bool {
        switch event {
        case .received(.rolloutResult, _), .received(.verificationResult, _), .received(.policyReady, _): true
        default: false
        }
    }

    /// The commonest event makes room for nothing by itself.
    private static func isHeartbeat(_ event: Event) -> Bool {
        if case .received(.heartbeat, _) = event { true } else { false }
    }

    /// The earliest time, after now, at which something changes by itself.
    private var soonestDeadline: MonotonicTime? {
        guard !progress.isFinished else { return nil }
        var next: MonotonicTime?
        func consider(_ time: MonotonicTime?) {
            if let time, time > now { next = next.map { min($0, time) } ?? time }
        }
        consider(membership.nextSilence)
        let leaseLength = leaseLength
        consider(membership.loads.first(after: aLeaseAgo).map { $0 + leaseLength })
        consider(membership.retries.first(after: now))
        consider(training.running?.lease.deadline)
        consider(gradients.book.nextDeadline(after: now))
        consider(rollouts.book.nextDeadline(after: now))
        consider(verification.book.nextDeadline(after: now))
        return next
    }

    /// So that the first of each is one to come.
    private mutating func forgetTimesGoneBy() {
        membership.wake(at: now)
        rollouts.book.wake(at: now)
        verification.book.wake(at: now)
        gradients.book.wake(at: now)
    }

    private mutating func receive(_ message: Message, from peer: PeerIdentifier) {
        if case .hello(let hello) = message { return greet(hello, from: peer) }
        guard let worker = membership.heard(peer, at: now) else {
            // After a restart of either side, or a connection that was made anew without the worker's knowledge.
            if case .goodbye = message { return }
            return send(.refused(reason: Self.unknownConnection), to: peer)
        }
        switch message {
        case .heartbeat(let reports): takeHeartbeat(reports, from: worker)
        case .rolloutResult(let lease, let completions, _): takeRollout(lease, completions, from: worker)
        case .verificationResult(let lease, let verdicts, _): takeVerdicts(lease, verdicts, from: worker)
        case .trainingResult(let lease, let report, _): takeTraining(lease, report, from: worker)
        case .gradientResult(let lease, let step, let part, _): takeGradient(lease, step, part, from: worker)
        case .policyReady(let version, let hash): takeProof(version, hash, from: worker)
        case .policyFailed(let version, let reason): takePolicyFailure(version, reason, from: worker)
        case .failed(let lease, let reason, let retryable):
            takeFailure(lease, reason, retryable: retryable, from: worker)
        case .disputed(let lease, let keys, let reason): takeDispute(lease, keys, reason, from: worker)
        case .goodbye(let reason): lose(worker, because: "left: \(reason)", .workerLeft)
        case .scoreResult(let lease, _), .partialText(let lease, _): dismiss(lease, from: worker)
        case .hello, .welcome, .refused, .policy, .rollout, .verify, .trainingGroup, .train, .gradient, .pretrain,
            .score, .saveCheckpoint, .cancel, .acknowledge, .shutdown:
            strike(worker, because: "sent a message that only a coordinator sends")
        }
    }

    /// Everything that may go on, in the order in which one thing makes room for the next.
    private mutating func advance() {
        guard progress.isStarted, !progress.isFinished else { return }
        rewindIfOrphaned()
        if progress.isStopping { return advanceStopping() }
        advanceEvaluation()
        advanceChecks()
        advanceBatches()
        advanceDraining()
        let reserved = advanceTraining()
        finishIfComplete()
        assignWork(except: reserved)
    }
}

// What the machines share.
extension Coordinator {
    /// Told to whoever says anything but hello first.
    package static let unknownConnection = "this connection is unknown here; say hello"

    var leaseLength: Duration { options.cluster.leaseLength }

    var aLeaseAgo: MonotonicTime { MonotonicTime(nanoseconds: now.nanoseconds - leaseLength.nanoseconds) }

    mutating func send(_ message: Message, to peer: PeerIdentifier) {
        outbox.append(.send(message, to: peer))
    }
    /// To an unreachable worker nothing is sent; whoever calls this must be able to do without.
    mutating func send(_ message: Message, toWorker name: String) {
        if let peer = membership[name]?.peer { send(message, to: peer) }
    }
    mutating func persist(_ record: Record) { outbox.append(.persist(record)) }

    /// Changes one tracked group, wherever its batch is.
    mutating func changeGroup(_ key: GroupKey, _ change: (inout StepBatch, Int) -> Void) {
        if key.purpose == .evaluation {
            evaluation.change { batch in
                if batch.step == key.step { batch.changeGroup(key.ordinal, change) }
            }
        } else {
            buffer.changeGroup(key.step, key.ordinal, change)
        }
    }

    func group(_ key: GroupKey) -> TrackedGroup? {
        let batch = key.purpose == .evaluation ? evaluation.batch : buffer[key.step]
        guard let batch, batch.step == key.step, batch.groups.indices.contains(key.ordinal) else { return nil }
        return batch.groups[key.ordinal]
    }

    /// The published policy of a version; before anything is published, the one the run goes on from.
    func knownManifest(of version: PolicyVersion) -> PolicyManifest? {
        let checkpointed = progress.checkpoint.manifest
        return publication.manifest(of: version) ?? (checkpointed.version == version ? checkpointed : nil)
    }
}
