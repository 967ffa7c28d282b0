// The coordinator's process in the simulation: its shell, its store, its crashes.

import Cluster
import Rollouts

/// In a class, and looked at by way of `seen`, so that nobody copies all that the core knows by accident.
final class CoordinatorProcess {
    private(set) var core: Coordinator
    /// After the last event.
    private(set) var seen: Coordinator.Glance

    init(_ core: Coordinator) {
        self.core = core
        seen = self.core.glance()
    }

    func handle(_ event: Event, at now: MonotonicTime, isMoreComing: Bool) -> [Effect] {
        defer { seen = core.glance() }
        return core.handle(event, at: now, isMoreComing: isMoreComing)
    }

    func violatedInvariant() -> String? { core.findViolation() }
}

extension Simulator {
    mutating func startCoordinator() {
        guard coordinator == nil else { return }
        var start = scenario.start
        if !isFirstStart {
            epoch += 1
            start = RunHistory(records).resumed(start, leaseEpoch: epoch)
            if !start.accepted.isEmpty { marks.hit(.groupRecovered) }
            ledger.restart()
        }
        isFirstStart = false
        coordinator = CoordinatorProcess(Coordinator(options: scenario.options, start: start))
        coordinatorTickAt = nil
        drawnSteps = []
        duplicateCount = 0
        tell(.start)
    }

    /// Hands an event to the core and performs what it says, in order, unless the process dies half-way.
    mutating func tell(_ first: Event) {
        var events = [first]
        while !events.isEmpty {
            guard coordinator != nil else { return }
            let event = events.removeFirst()
            // As when several messages have arrived: what follows from this one waits for the next, or for the tick.
            let isMoreComing = burstDice.chance(0.3)
            var effects = coordinator?.handle(event, at: now, isMoreComing: isMoreComing) ?? []
            checkInvariants()
            trace.absorb(effects.count)
            say("coordinator ⇐ \(Narration.words(event))")
            ledger.answered(event, with: effects)
            countMarks(of: event, effects)
            if sabotage == .sendBeforePersist {
                effects = effects.filter { !isRecord($0) } + effects.filter(isRecord)
            }
            let crashAt = crashPoint(among: effects.count)
            for (place, effect) in effects.enumerated() {
                if place == crashAt {
                    marks.hit(.crashedBetweenEffects)
                    return crashCoordinator()
                }
                if case .persist = effect, chance(scenario.faults.storeFailed) {
                    marks.hit(.storeFailed)
                    events = [.storeFailed(reason: "no space left on device")]
                    break
                }
                say("    \(Narration.words(effect))")
                ledger.performed(effect)
                if let event = perform(effect) { events.append(event) }
                if coordinator == nil { return }
            }
            if crashAt == effects.count { return crashCoordinator() }
        }
        scheduleCoordinatorTick()
    }

    /// After every event that may have changed what they are about. A look at all workers and groups: in a large world
    /// after one event in so many that it costs as much as the rest, and after the last one.
    private mutating func checkInvariants() {
        guard let process = coordinator, process.seen.hasChanged else { return }
        uncheckedCount += 1
        let pause = max(0, workers.count - Self.smallWorld.workers) / Self.smallWorld.more
        guard process.seen.isFinished || uncheckedCount > pause else { return }
        uncheckedCount = 0
        if let broken = process.violatedInvariant() { fail(broken) }
    }

    private func isRecord(_ effect: Effect) -> Bool { if case .persist = effect { true } else { false } }

    /// Where in a list of effects the process dies; nil for not at all.
    private mutating func crashPoint(among count: Int) -> Int? {
        chance(scenario.faults.coordinatorCrashed) ? dice.integer(0...count) : nil
    }

    /// Returns an event that follows at once.
    private mutating func perform(_ effect: Effect) -> Event? {
        switch effect {
        case .send(let message, let peer): sendDown(message, to: peer)
        case .persist(let record): records.append(record)
        case .drawPrompts(let purpose, let step, let ordinals, let position):
            if ordinals.lowerBound > 0 {
                marks.hit(.moreDrawn)
            } else if drawnSteps.contains(step) {
                marks.hit(.batchShed)
            }
            drawnSteps.append(step)
            return .promptsDrawn(ScriptedWork.prompts(purpose, step: step, ordinals: ordinals, position: position))
        case .rewind:
            // Every restart says this too, before anything is drawn.
            if !drawnSteps.isEmpty { marks.hit(.rewound) }
        case .forgetBlobs(let version): forgottenBefore = max(forgottenBefore, version)
        case .removeBlobs(let blobs):
            for blob in blobs { gradients[blob.digest] = nil }
        case .finish(let outcome): finish(outcome)
        case .report, .reportEvaluation, .note, .answer: break
        case .retire(let process, let host):
            guard let worker = Int(host.dropFirst("host".count)) else {
                fail("an unknown host is retired: \(host)")
                break
            }
            drained.insert([worker, Int(process)])
        }
        return nil
    }

    private mutating func finish(_ outcome: RunOutcome) {
        switch outcome {
        case .completed:
            self.outcome = outcome
        case .interrupted:
            endCoordinator(restartingAfter: dice.duration(100_000...3_000_000))
        case .failed:
            marks.hit(.runFailed)
            endCoordinator(restartingAfter: dice.duration(1_000_000...5_000_000))
        }
    }

    mutating func crashCoordinator() {
        say("the coordinator crashes")
        marks.hit(.coordinatorCrashed)
        if sabotage == .forgetRecords { records.removeLast(min(3, records.count)) }
        endCoordinator(restartingAfter: dice.duration(100_000...8_000_000))
    }

    private mutating func endCoordinator(restartingAfter wait: Duration) {
        coordinator = nil
        coordinatorTickAt = nil
        let start = now + wait
        for worker in workers where worker.isAlive {
            guard let connection = worker.connection, dice.chance(0.5) else { continue }
            let reconnects = Occurrence.socketReconnects(
                worker.index, incarnation: worker.incarnation, former: connection)
            queue.schedule(reconnects, at: start + dice.duration(1_000...2_000_000))
        }
        network.closeAll()
        queue.schedule(.coordinatorStarts, at: start)
    }

    private mutating func scheduleCoordinatorTick() {
        let settling = coordinator?.seen.isUnsettled == true ? now + .milliseconds(1) : nil
        guard let known = coordinator?.seen.nextDeadline ?? settling else { return }
        let deadline = min(known, settling ?? known)
        if let tickAt = coordinatorTickAt, tickAt <= deadline { return }
        coordinatorTickAt = deadline
        queue.schedule(.coordinatorTicks(epoch: epoch), at: deadline)
    }

    private mutating func sendDown(_ message: Message, to peer: PeerIdentifier) {
        let connection = network.index(of: peer)
        guard network[connection].isOpen, network[connection].epoch == epoch else {
            // The transport knows no such peer; it may or may not say so.
            if chance(0.5) { queue.schedule(.disconnected(peer, epoch: epoch), at: now + dice.duration(0...100_000)) }
            return
        }
        switch message {
        case .rollout, .verify:
            let link = network[connection]
            if !drained.isEmpty, drained.contains([link.worker, link.incarnation]) {
                fail("a drained worker is given work: \(message)")
            }
        default: break
        }
        transmit(message, on: connection, isUp: false)
    }

    private mutating func countMarks(of event: Event, _ effects: [Effect]) {
        for effect in effects {
            switch effect {
            case .note(let note):
                if note.text.says("given to another") { marks.hit(.leaseReleased) }
                if note.text.says("is refused") { marks.hit(.workerRefused) }
                if note.text.says("paused") { marks.hit(.paused) }
            case .send(.shutdown, _):
                if coordinator?.seen.isFinished == false { marks.hit(.drained) }
            case .persist(.completionsAccepted(_, let completions)):
                if completions.contains(where: { Set($0.versions).count > 1 }) { marks.hit(.weightsChangedInFlight) }
            case .persist(.groupDropped): marks.hit(.groupDropped)
            case .send(.gradient(_, let assignment), _):
                marks.hit(assignment.keep ? .gradientKept : .gradientHandedIn)
                if !sharedParts.insert([assignment.attempt, UInt64(assignment.shards.first)]).inserted {
                    marks.hit(.gradientMoved)
                }
            case .send(.train, _):
                if case .received(.hello, _) = event { marks.hit(.learnerKeptOverReconnect) }
            default: break
            }
        }
        let count = coordinator?.seen.duplicateCount ?? 0
        if count > duplicateCount { marks.hit(.resultLateOrTwice, count - duplicateCount) }
        duplicateCount = count
    }
}

extension String {
    /// Whether these words are in it, byte by byte: every note of every event is looked at.
    fileprivate func says(_ words: StaticString) -> Bool {
        var text = self
        return text.withUTF8 { bytes in
            let count = words.utf8CodeUnitCount
            guard bytes.count >= count else { return false }
            return (0...bytes.count - count).contains { start in
                (0..<count).allSatisfy { bytes[start + $0] == words.utf8Start[$0] }
            }
        }
    }
}
