// What a person may ask of a running coordinator, and what comes of it.

import Rollouts

package enum OperatorRequest: Equatable, Sendable {
    /// Give out nothing new; what is in flight completes.
    case pause(reason: String?)
    case resume
    /// As Ctrl-C once, or, without a checkpoint, twice.
    case stop(savesCheckpoint: Bool)
    /// The worker of this name (or every process of the worker admitted under it) gets no new work and leaves.
    case drain(worker: String)
}

package struct OperatorAnswer: Equatable, Sendable {
    package var isDone: Bool
    /// One line: what happened, or why it did not.
    package var text: String
    package init(isDone: Bool, text: String) {
        self.isDone = isDone
        self.text = text
    }

    static func done(_ text: String) -> OperatorAnswer { OperatorAnswer(isDone: true, text: text) }
    static func refused(_ text: String) -> OperatorAnswer { OperatorAnswer(isDone: false, text: text) }
}

extension Coordinator {
    static let drainedReason = "drained by the operator"
    private static let namesShown = 20

    mutating func take(_ request: OperatorRequest, number: UInt64) {
        switch request {
        case .pause(let reason): answer(askedToPause(reason), number)
        case .resume: answer(askedToResume(), number)
        case .drain(let name): answer(askedToDrain(name), number)
        case .stop(let savesCheckpoint):
            // The core says nothing after its end.
            let step = progress.checkpoint.step
            if savesCheckpoint {
                let isRepeated = progress.isStopping
                answer(.done(isRepeated ? "it is stopping already" : "stopping: saving a checkpoint first"), number)
                interrupt()
            } else {
                answer(.done("stopped; the newest checkpoint is of step \(step)"), number)
                stop(.interrupted(step: step))
            }
        }
    }

    private mutating func answer(_ answer: OperatorAnswer, _ number: UInt64) {
        outbox.append(.answer(answer, number: number))
    }

    private mutating func askedToPause(_ reason: String?) -> OperatorAnswer {
        if progress.isStopping { return .refused("the run is stopping") }
        if let pause = progress.pause { return .done("it was paused already: \(pause.reason)") }
        pause(.requested(reason: reason))
        let count = openLeaseCount
        return .done(
            "paused after step \(progress.trainedStep); "
                + (count == 0 ? "nothing is in flight" : "what is in flight completes (\(Self.leases(count)))"))
    }

    private mutating func askedToResume() -> OperatorAnswer {
        guard progress.isPaused else {
            return .refused(progress.isStopping ? "the run is stopping" : "the run is not paused")
        }
        resume()
        return .done("resumed after step \(progress.trainedStep)")
    }

    private mutating func askedToDrain(_ name: String) -> OperatorAnswer {
        let meant = membership.workers(called: name)
        if meant.isEmpty {
            let names = membership.workers.prefix(Self.namesShown).map { "`\($0.name)`" }.joined(separator: ", ")
            return .refused("there is no worker `\(name)`; there " + (names.isEmpty ? "is none" : "are \(names)"))
        }
        var answers: [String] = []
        for worker in meant where !worker.isDraining {
            membership.drain(worker.name)
            persist(.workerDrained(name: worker.name))
            outbox.append(.retire(process: worker.hello.processIdentifier, host: worker.hello.host))
            let count = leaseCount(of: worker.name)
            let work = count == 0 ? "holds no lease" : "finishes \(Self.leases(count))"
            note(.info, "`\(worker.name)` is drained: it gets no new work, \(work) and leaves", of: worker.name)
            answers.append("`\(worker.name)` gets no new work, \(work) and leaves")
        }
        if answers.isEmpty { return .done("`\(name)` is leaving already") }
        let missing = WorkerRole.allCases.filter { role in
            meant.contains { $0.hello.roles.contains(role) } && !isPresent(role)
        }
        if !missing.isEmpty {
            let roles = missing.map(\.rawValue).joined(separator: ", ")
            answers.append("nobody else here is \(roles): the run waits for one who is")
        }
        return .done(answers.joined(separator: "; "))
    }

    private static func leases(_ count: Int) -> String { count == 1 ? "1 lease" : "\(count) leases" }

    private var openLeaseCount: Int {
        rollouts.book.heldCount + verification.book.heldCount + gradients.book.heldCount
            + (training.running == nil ? 0 : 1)
    }

    func leaseCount(of worker: String) -> Int {
        rollouts.book.heldCount(of: worker) + verification.book.heldCount(of: worker)
            + gradients.book.heldCount(of: worker) + (training.running?.lease.worker == worker ? 1 : 0)
    }

    /// Sends those who are drained and hold nothing any more on their way. A learner's optimizer state goes into a
    /// checkpoint first, so that the next learner goes on from there.
    mutating func advanceDraining() {
        if membership.draining.isEmpty { return }
        for worker in membership.members(at: membership.draining) where worker.isReachable {
            guard leaseCount(of: worker.name) == 0 else { continue }
            if progress.trainedStep > progress.checkpoint.step,
                let newest = publication.manifest(of: PolicyVersion(UInt64(progress.trainedStep))),
                worker.hasLearned(newest)
            {
                if training.running == nil { start(.save(step: progress.trainedStep), on: worker.name) }
                continue
            }
            if gradients.shared?.leader == worker.name { endGradients() }
            persist(.workerLeft(name: worker.name, reason: Self.drainedReason))
            send(.shutdown(reason: Self.drainedReason), toWorker: worker.name)
            note(.info, "`\(worker.name)` left: \(Self.drainedReason)", of: worker.name)
            membership.remove(worker.name)
        }
    }
}
