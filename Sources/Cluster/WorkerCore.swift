// What a worker does when something happens.

import Rollouts

/// Decides everything about a worker's side of the protocol and does nothing.
package struct WorkerCore: Sendable, Equatable {
    private static let gatheredLimit = 1 << 16

    private var hello: Hello
    private var session = WorkerSession()
    private var book: WorkBook
    private var welcome: Welcome?
    /// The policy in place.
    private var held: PolicyManifest?
    /// Loads asked for and not answered, oldest first.
    private var loading: [PolicyManifest] = []
    /// The policy that the learner's own state belongs to.
    private var learned: PolicyManifest?
    /// Groups of the training order that is arriving.
    private var gathered: Gathered?
    private var now = MonotonicTime.zero
    private var outbox: [WorkerEffect] = []

    private struct Gathered: Equatable, Sendable {
        var lease: LeaseIdentifier
        var groups: [CompletionGroup] = []
        /// The greatest key among them: they come in order, so that seldom one must be looked for.
        var last: GroupKey?
    }

    package init(hello: Hello) {
        self.hello = hello
        book = WorkBook(resultLimit: 16 + 4 * (max(0, hello.rolloutSlots) + max(0, hello.verificationSlots)))
    }

    package mutating func handle(_ event: WorkerEvent, at now: MonotonicTime) -> [WorkerEffect] {
        guard session.state != .left else { return [] }
        self.now = max(self.now, now)
        switch event {
        case .connected: greet()
        case .received(let message): receive(message)
        case .policyLoaded(let version, let hash): policyLoaded(version, hash)
        case .policyLoadFailed(let version, let reason): policyLoadFailed(version, reason)
        case .workFinished(let lease, let report): finish(lease, report)
        case .workProgress(let lease, let unitsDone): book.progress(lease, unitsDone)
        case .leave(let reason):
            say(.goodbye(reason: reason))
            exit(reason)
        case .tick: break
        }
        watch()
        defer { outbox = [] }
        return outbox
    }

    /// When the loop must call again with `.tick` if nothing else happens.
    package var nextDeadline: MonotonicTime? { session.nextDeadline }

    /// Whether what was started under this lease is still wanted.
    package func isRunning(_ started: LeaseIdentifier) -> Bool { book.find(started: started) != nil }

    private mutating func receive(_ message: Message) {
        switch session.state {
        case .apart, .left: return
        case .greeting:
            switch message {
            case .welcome, .refused, .shutdown: break
            default: return
            }
        case .joined: session.heard(at: now)
        }
        switch message {
        case .welcome(let welcome): join(welcome)
        case .refused(let reason):
            let wait = session.fail()
            note(.warning, "refused by the coordinator: \(reason); trying again in \(wait.inSeconds) s")
            outbox.append(.recreateSocket(after: wait))
        case .policy(let manifest): load(manifest)
        case .rollout(let lease, let assignment): sample(lease, assignment)
        case .verify(let lease, let assignment): take(lease, .verify(assignment))
        case .trainingGroup(let lease, let group): gather(lease, group)
        case .train(let lease, let assignment): train(lease, assignment)
        case .gradient(let lease, let assignment): gradient(lease, assignment)
        case .pretrain(let lease, let assignment): pretrain(lease, assignment)
        case .score(let lease, let assignment):
            if holds(assignment.version, for: lease) { take(lease, .score(assignment)) }
        case .saveCheckpoint(let lease): take(lease, .saveCheckpoint)
        case .cancel(let lease): cancel(lease)
        case .acknowledge(let lease): book.acknowledge(lease)
        case .shutdown(let reason): exit(reason)
        case .hello, .heartbeat, .rolloutResult, .verificationResult, .trainingResult, .gradientResult, .policyReady,
            .scoreResult, .partialText, .failed, .disputed, .policyFailed, .goodbye:
            note(.warning, "the coordinator sent a message that only a worker sends")
        }
    }
}

// Being in touch.
extension WorkerCore {
    private mutating func greet() {
        session.greet(at: now)
        hello.held = loading.isEmpty ? held : nil
        outbox.append(.send(.hello(hello)))
    }

    /// After a lost connection everything unacknowledged is said again.
    private mutating func join(_ welcome: Welcome) {
        session.join(welcome.options.cluster, at: now)
        if let before = self.welcome,
            before.run != welcome.run || before.options != welcome.options || before.modelBundle != welcome.modelBundle
        {
            note(.info, "this is another run than before; what was held is void")
            stop { _ in true }
            book.forgetResults()
            held = nil
            loading = []
            learned = nil
            gathered = nil
        }
        if self.welcome != welcome { outbox.append(.configure(welcome)) }
        self.welcome = welcome
        for result in book.results { say(result.message) }
    }

    /// Heartbeats, and what to do about silence.
    private mutating func watch() {
        if session.isSilent(at: now) {
            if session.isJoined {
                note(.warning, "the coordinator is silent; connecting again")
                session.part()
                outbox.append(.recreateSocket(after: .zero))
            } else {
                let wait = session.fail()
                // Who is not let in hears nothing, whatever the reason.
                note(
                    .warning,
                    "no answer from the coordinator: it does not run, its ports are closed, or it lets in nobody "
                        + "without an invitation that holds; trying again in \(wait.inSeconds) s")
                outbox.append(.recreateSocket(after: wait))
            }
        }
        if session.beats(at: now) {
            let progress = book.running.map { LeaseProgress(lease: $0.lease, unitsDone: $0.unitsDone) }
            say(.heartbeat(progress: progress))
        }
    }

    private mutating func exit(_ reason: String) {
        stop { _ in true }
        session.leave()
        outbox.append(.exit(reason: reason, failure: false))
    }

    private mutating func say(_ message: Message) {
        if session.isJoined { outbox.append(.send(message)) }
    }

    private mutating func note(_ level: Note.Level, _ text: String) {
        outbox.append(.note(Note(level, text)))
    }
}

// The policy held.
extension WorkerCore {
    private mutating func load(_ manifest: PolicyManifest) {
        if loading.last == manifest { return }
        if loading.isEmpty, let held, held.version == manifest.version, held.weightsHash == manifest.weightsHash,
            held == manifest || !hello.roles.contains(.learner)
        {
            self.held = manifest
            return say(.policyReady(manifest.version, weightsHash: held.weightsHash))
        }
        // The weights change under completions of another version.
        let held = held
        stop { order in
            switch order {
            // Where newer weights may take over they do, between two tokens; older ones never.
            case .rollout(let assignment):
                !assignment.admits(manifest.version) || (held.map { $0.version > manifest.version } ?? false)
            case .gradient(let assignment, _): !assignment.keep && assignment.base != manifest.version
            default: false
            }
        }
        loading.append(manifest)
        outbox.append(.loadPolicy(manifest))
    }

    private mutating func policyLoaded(_ version: PolicyVersion, _ hash: Digest) {
        guard let index = loading.firstIndex(where: { $0.version == version }) else { return }
        let manifest = loading[index]
        loading.removeFirst(index + 1)
        held = hash == manifest.weightsHash ? manifest : nil
        if loading.isEmpty { say(.policyReady(version, weightsHash: hash)) }
    }

    private mutating func policyLoadFailed(_ version: PolicyVersion, _ reason: String) {
        guard let index = loading.firstIndex(where: { $0.version == version }) else { return }
        loading.removeFirst(index + 1)
        note(.warning, "version \(version.rawValue) could not be loaded: \(reason)")
        if loading.isEmpty { say(.policyFailed(version, reason: reason)) }
    }
}

// Work.
extension WorkerCore {
    private mutating func take(_ lease: LeaseIdentifier, _ order: WorkOrder, restartingLearner: Bool = false) {
        switch book.admit(lease, order) {
        case .known: return
        case .done(let message): say(message)
        case .start:
            if restartingLearner, let held { outbox.append(.restartLearner(held)) }
            book.start(lease, order)
            outbox.append(.startWork(lease, order))
        }
    }

    private mutating func decline(_ lease: LeaseIdentifier, _ reason: String) {
        note(.warning, "declined lease \(lease.words): \(reason)")
        say(.failed(lease: lease, reason: reason, retryable: true))
    }

    /// Declines the lease if another version is in place.
    private mutating func holds(_ version: PolicyVersion, for lease: LeaseIdentifier) -> Bool {
        if loading.isEmpty, held?.version == version { return true }
        let found = held.map { "\($0.version.rawValue)" } ?? "none"
        decline(
            lease, "asked for version \(version.rawValue), \(loading.isEmpty ? "holding" : "loading over") \(found)")
        return false
    }

    private mutating func sample(_ lease: LeaseIdentifier, _ assignment: RolloutAssignment) {
        if assignment.newer, loading.isEmpty, let held, assignment.admits(held.version) {
            return take(lease, .rollout(assignment))
        }
        if holds(assignment.version, for: lease) { take(lease, .rollout(assignment)) }
    }

    private mutating func gather(_ lease: LeaseIdentifier, _ group: CompletionGroup) {
        if gathered?.lease != lease { gathered = Gathered(lease: lease) }
        guard let count = gathered?.groups.count, count < Self.gatheredLimit else { return }
        // A group that arrives twice is taken once.
        let key = group.prompt.key
        if let last = gathered?.last, key <= last {
            if gathered?.groups.contains(where: { $0.prompt.key == key }) == true { return }
        } else {
            gathered?.last = key
        }
        gathered?.groups.append(group)
    }

    /// The groups that were sent for a lease, in key order.
    private mutating func takeGathered(_ lease: LeaseIdentifier) -> [CompletionGroup] {
        defer { gathered = nil }
        return (gathered?.lease == lease ? gathered?.groups ?? [] : []).sorted { $0.prompt.key < $1.prompt.key }
    }

    /// - Returns: whether the order is new and whole; else it was answered here.
    private mutating func admit(
        _ lease: LeaseIdentifier, _ order: WorkOrder, of step: Int, groupCount: Int, _ groups: [CompletionGroup]
    ) -> Bool {
        guard book.admit(lease, order) == .start else {
            take(lease, order)
            return false
        }
        guard groups.count == groupCount else {
            decline(lease, "step \(step) has \(groupCount) groups, found \(groups.count)")
            return false
        }
        return true
    }

    private mutating func train(_ lease: LeaseIdentifier, _ assignment: TrainingAssignment) {
        let groups = takeGathered(lease)
        let order = WorkOrder.train(assignment, groups)
        guard admit(lease, order, of: assignment.step, groupCount: assignment.groupCount, groups) else { return }
        learn(from: assignment.base, lease, order)
    }

    /// Work on the learner's own state: as it is, or begun anew from the policy held.
    private mutating func learn(from base: PolicyVersion, _ lease: LeaseIdentifier, _ order: WorkOrder) {
        let isOther = held?.version == base && held?.weightsHash != learned?.weightsHash
        if learned?.version == base, !isOther { return take(lease, order) }
        if holds(base, for: lease) {
            learned = held
            take(lease, order, restartingLearner: true)
        }
    }

    /// A part of a gradient: the learner that will make the step computes it in its own state, any other one with the
    /// policy it holds.
    private mutating func gradient(_ lease: LeaseIdentifier, _ assignment: GradientAssignment) {
        let groups = takeGathered(lease)
        let order = WorkOrder.gradient(assignment, groups)
        guard admit(lease, order, of: assignment.step, groupCount: assignment.groupCount, groups) else { return }
        if assignment.keep { return learn(from: assignment.base, lease, order) }
        if holds(assignment.base, for: lease) { take(lease, order) }
    }

    private mutating func pretrain(_ lease: LeaseIdentifier, _ assignment: PretrainingAssignment) {
        if holds(.base, for: lease) {
            learned = nil
            take(lease, .pretrain(assignment), restartingLearner: true)
        }
    }

    private mutating func finish(_ started: LeaseIdentifier, _ report: WorkReport) {
        if case .partialText = report {
            if let lease = book.find(started: started)?.lease { say(report.message(for: lease)) }
            return
        }
        guard let order = book.find(started: started)?.order, let done = book.finish(started, report) else {
            if case .gradient(_, let part, _) = report, let blob = part.blob { outbox.append(.discardBlobs([blob])) }
            return
        }
        if case .train = order {
            if case .trained(let report, _) = report { learned = report.manifest } else { learned = nil }
        }
        if done.droppedOldest { note(.warning, "too many unacknowledged results; the oldest is dropped") }
        say(done.message)
    }

    private mutating func cancel(_ lease: LeaseIdentifier) {
        guard let work = book.cancel(lease) else { return }
        stopped(work)
    }

    private mutating func stop(where isVoid: (WorkOrder) -> Bool) {
        for work in book.cancelAll(where: isVoid) { stopped(work) }
    }

    private mutating func stopped(_ work: WorkBook.Running) {
        // Training that is cut short leaves a state that belongs to no version.
        if case .train = work.order { learned = nil }
        outbox.append(.cancelWork(work.started))
    }
}
