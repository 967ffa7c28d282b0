// The workers' processes in the simulation: their sockets, their scripted shells, their faults.

import Cluster
import Rollouts

extension Simulator {
    mutating func connect(_ index: Int) {
        if let former = workers[index].connection { closeConnection(former) }
        workers[index].connection =
            coordinator == nil ? nil : network.connect(index, workers[index].incarnation, epoch: epoch)
        tell(index, .connected)
    }

    /// The coordinator's transport notices, or does not.
    func notices(_ connection: Int) -> Occurrence { .disconnected(network.peer(connection), epoch: epoch) }

    mutating func closeConnection(_ connection: Int) {
        guard network[connection].isOpen else { return }
        network.close(connection)
        if dice.chance(0.5) { queue.schedule(notices(connection), at: now + dice.duration(0...500_000)) }
    }

    mutating func tell(_ index: Int, _ event: WorkerEvent) {
        let effects = workers[index].handle(event, at: now)
        trace.absorb(index)
        trace.absorb(effects.count)
        say("\(workers[index].name) ⇐ \(Narration.words(event))")
        for effect in effects { perform(effect, of: index) }
        guard let deadline = workers[index].nextDeadline else { return }
        if let tickAt = workers[index].tickAt, tickAt <= deadline { return }
        workers[index].tickAt = deadline
        queue.schedule(.workerTicks(index, incarnation: workers[index].incarnation), at: deadline)
    }

    private mutating func perform(_ effect: WorkerEffect, of index: Int) {
        let incarnation = workers[index].incarnation
        say("    \(Narration.words(effect))")
        switch effect {
        case .send(let message):
            if let connection = workers[index].connection { transmit(message, on: connection, isUp: true) }
        case .recreateSocket(let wait):
            if let connection = workers[index].connection { closeConnection(connection) }
            workers[index].connection = nil
            let connects = Occurrence.workerConnects(index, incarnation: incarnation)
            queue.schedule(connects, at: now + wait + dice.duration(1_000...50_000))
        case .configure, .note:
            break
        case .discardBlobs(let blobs):
            for blob in blobs { gradients[blob.digest] = nil }
        case .loadPolicy(let manifest):
            let duration = dice.duration(5_000...300_000)
            guard scenario.options.schedule.inflight else {
                return schedule(.load(manifest), of: index, taking: duration)
            }
            // Between two tokens of what is being sampled, not after it.
            queue.schedule(.stepDone(index, incarnation: incarnation, .load(manifest)), at: now + duration)
        case .restartLearner(let manifest):
            marks.hit(.learnerRestarted)
            guard scenario.options.schedule.inflight else {
                return schedule(.restartLearner(manifest), of: index, taking: .zero)
            }
            // Before the next load, which does not wait for work either.
            queue.schedule(.stepDone(index, incarnation: incarnation, .restartLearner(manifest)), at: now)
        case .startWork(let lease, let order):
            start(lease, order, on: index)
        case .cancelWork(let lease):
            workers[index].cancel(lease, isHalfDone: dice.chance(0.5))
        case .exit:
            killWorker(index, restartingAfter: dice.duration(500_000...5_000_000))
        }
    }

    private mutating func schedule(_ step: SimulatedWorker.Step, of index: Int, taking duration: Duration) {
        let time = workers[index].occupy(for: duration, at: now)
        queue.schedule(.stepDone(index, incarnation: workers[index].incarnation, step), at: time)
    }

    private mutating func start(_ lease: LeaseIdentifier, _ order: WorkOrder, on index: Int) {
        workers[index].open(lease, order)
        let lease = (lease, workers[index].incarnation)
        var duration: Duration
        switch order {
        case .rollout: duration = dice.duration(50_000...1_500_000)
        case .verify: duration = dice.duration(5_000...200_000)
        default: duration = dice.duration(200_000...2_500_000)
        }
        if chance(scenario.faults.hung) {
            marks.hit(.workHung)
            duration = .seconds(dice.integer(15...60))
        } else if chance(scenario.faults.long) {
            // Longer than a lease, with progress.
            duration = .seconds(dice.integer(15...60))
            let begin = workers[index].occupy(for: .zero, at: now)
            for second in stride(from: 2, to: Int(duration.inSeconds), by: 3) {
                let step = SimulatedWorker.Step.progress(lease.0, unitsDone: UInt64(second))
                queue.schedule(.stepDone(index, incarnation: lease.1, step), at: begin + .seconds(second))
            }
        }
        schedule(.work(lease.0, order), of: index, taking: duration)
    }

    mutating func finish(_ step: SimulatedWorker.Step, of index: Int) {
        switch step {
        case .progress(let lease, let unitsDone):
            tell(index, .workProgress(lease, unitsDone: unitsDone))
        case .restartLearner(var manifest):
            if sabotage == .forgetOptimizer { manifest.optimizer = nil }
            if let wrong = workers[index].restartLearner(manifest) { fail(wrong) }
        case .load(let manifest):
            finishLoad(manifest, of: index)
        case .work(let lease, let order):
            finishWork(lease, order, of: index)
        }
    }

    private mutating func finishLoad(_ manifest: PolicyManifest, of index: Int) {
        if manifest.version < forgottenBefore {
            return tell(index, .policyLoadFailed(manifest.version, reason: "the blob is gone"))
        }
        if chance(scenario.faults.loadFailed) {
            marks.hit(.loadFailed)
            return tell(index, .policyLoadFailed(manifest.version, reason: "the connection was cut"))
        }
        var hash = manifest.weightsHash
        if chance(scenario.faults.wrongHash) {
            marks.hit(.wrongHash)
            workers[index].strikeCount += 1
            hash = Fingerprint(hash.bytes.reduce(0) { $0 + UInt64($1) }).digest
        } else {
            let isStale = sabotage == .sampleStale && !workers[index].roles.contains(.learner) && dice.chance(0.3)
            workers[index].load(manifest, keepingWeights: isStale)
        }
        tell(index, .policyLoaded(manifest.version, weightsHash: hash))
    }

    private mutating func finishWork(_ lease: LeaseIdentifier, _ order: WorkOrder, of index: Int) {
        if let failure = injectedFailure(of: order) {
            marks.hit(.workFailed)
            if case .train = order { workers[index].breakLearner() }
            workers[index].cancel(lease, isHalfDone: false)
            return tell(index, .workFinished(lease, failure))
        }
        var order = order
        if sabotage == .trainUnordered, case .train(let assignment, let groups) = order {
            order = .train(assignment, groups.reversed())
        }
        switch workers[index].finish(lease, order, gradients: &gradients) {
        case .cancelled: break
        case .violation(let text): fail(text)
        case .report(let report): tell(index, .workFinished(lease, distorted(report, order, of: index)))
        }
    }

    /// A failure that the core must get over; fewer per group than would change the result.
    private mutating func injectedFailure(of order: WorkOrder) -> WorkReport? {
        let key: GroupKey? =
            switch order {
            case .verify(let assignment): assignment.key
            case .rollout(let assignment): assignment.prompt.key
            case .train, .gradient, .pretrain, .saveCheckpoint, .score: nil
            }
        return fails(key, scenario.faults.workFailed) ? .failed(reason: "an injected failure", retryable: true) : nil
    }

    private mutating func fails(_ key: GroupKey?, _ probability: Double) -> Bool {
        guard let key else { return chance(probability) }
        let count = failureCounts[key] ?? 0
        guard count < scenario.options.cluster.verificationAttempts - 1, chance(probability) else { return false }
        failureCounts[key] = count + 1
        return true
    }

    private mutating func distorted(_ report: WorkReport, _ order: WorkOrder, of index: Int) -> WorkReport {
        switch report {
        case .completions(var completions, let seconds) where scenario.liar == index:
            guard case .rollout(let assignment) = order, assignment.prompt.key.purpose == .training else {
                return report
            }
            completions[0].tokens[0] = (completions[0].tokens[0] + 1) % 100
            let logProb = -Float(completions[0].tokens[0] + 1) / 64
            completions[0].sampledLogProbs[0] = logProb
            completions[0].policyLogProbs[0] = logProb
            return .completions(completions, seconds: seconds)
        case .completions(let completions, let seconds):
            guard chance(scenario.faults.malformed) else { return report }
            marks.hit(.malformed)
            workers[index].strikeCount += 1
            return .completions(Array(completions.dropLast()), seconds: seconds)
        case .verdicts(var verdicts, let seconds):
            guard case .verify(let assignment) = order, fails(assignment.key, scenario.faults.noVerdict)
            else { return report }
            marks.hit(.noVerdict)
            verdicts[dice.integer(0...verdicts.count - 1)] = .noVerdict("timed out")
            return .verdicts(verdicts, seconds: seconds)
        default:
            return report
        }
    }

    mutating func killWorker(_ index: Int, restartingAfter wait: Duration) {
        guard workers[index].isAlive else { return }
        if let connection = workers[index].connection { closeConnection(connection) }
        workers[index].kill()
        queue.schedule(.workerStarts(index), at: now + wait)
    }
}
