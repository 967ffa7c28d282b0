// What may go out before the disk has answered, and what may not?

import Cluster
import Foundation
import Rollouts
import Simulation
import Synchronization
import Testing
import Transport
import Wire

@testable import Runtime

/// A worker of one connection that answers at once, with one slot of each kind, and remembers what it was told.
private final class PromptWorker: Sendable {
    struct Heard {
        var rollouts: [LeaseIdentifier: GroupKey] = [:]
        var verifications: [LeaseIdentifier: GroupKey] = [:]
        var acknowledged: [LeaseIdentifier] = []
        /// Acknowledgements of what the journal did not have.
        var early: [GroupKey] = []
    }

    private let heard = Mutex(Heard())
    private let thread = Mutex<NamedThread?>(nil)

    /// - Parameter onRollout: called with how many rollouts came so far.
    init(_ network: MemoryNetwork, journal: ScriptedJournal, onRollout: @escaping @Sendable (Int) -> Void) throws {
        let started = try NamedThread("prompt") { [self] in
            do {
                try work(network.client(), journal, onRollout)
            } catch {
                preconditionFailure("prompt worker: \(error)")
            }
        }
        thread.withLock { $0 = started }
    }

    /// All that it heard, once it was told to go.
    func join() -> Heard {
        thread.withLock { $0 }?.join()
        return heard.withLock { $0 }
    }

    private func work(
        _ link: consuming MemoryClientLink, _ journal: ScriptedJournal, _ onRollout: (Int) -> Void
    ) throws {
        var conversation = Conversation.worker(epoch: 5)
        let wake = try WakePipe()
        var held = ScriptedWork.basePolicy
        var learner: ScriptedLearner?
        var groups: [CompletionGroup] = []
        let hello = Hello(
            protocolVersion: .current, worker: "prompt", host: "elsewhere", processIdentifier: 1,
            roles: [.rollout, .verifier, .learner], threads: 1, rolloutSlots: 1, verificationSlots: 1, kernel: "")
        _ = link.send(conversation.seal(.hello(hello)))
        while true {
            guard let frame = link.receive() else {
                _ = link.wait(timeout: .milliseconds(100), wake: wake)
                _ = link.send(conversation.seal(.heartbeat(progress: [])))
                continue
            }
            var answers: [Message] = []
            for message in try conversation.open(frame).messages {
                switch message {
                case .policy(let manifest):
                    held = manifest
                    answers.append(.policyReady(manifest.version, weightsHash: manifest.weightsHash))
                case .rollout(let lease, let assignment):
                    let count = heard.withLock {
                        $0.rollouts[lease] = assignment.prompt.key
                        return $0.rollouts.count
                    }
                    onRollout(count)
                    let completions = ScriptedWork.completions(for: assignment, weights: held.weightsHash)
                    answers.append(.rolloutResult(lease: lease, completions: completions, seconds: 1))
                case .verify(let lease, let assignment):
                    heard.withLock { $0.verifications[lease] = assignment.key }
                    let verdicts = ScriptedWork.verdicts(for: assignment)
                    answers.append(.verificationResult(lease: lease, verdicts: verdicts, seconds: 1))
                case .trainingGroup(_, let group): groups.append(group)
                case .train(let lease, let assignment):
                    if learner == nil { learner = ScriptedLearner(from: held) }
                    if let report = learner?.train(assignment, groups) {
                        answers.append(.trainingResult(lease: lease, report, seconds: 1))
                    }
                    groups = []
                case .acknowledge(let lease): acknowledge(lease, journal.records)
                case .shutdown: return
                default: break
                }
            }
            // A coordinator that has gone needs no answer.
            _ = conversation.seal(answers) { link.send($0) == .sent }
        }
    }

    private func acknowledge(_ lease: LeaseIdentifier, _ durable: [Record]) {
        heard.withLock { heard in
            if let key = heard.rollouts[lease] {
                let isKept = durable.contains {
                    if case .completionsAccepted(let prompt, _) = $0 { prompt.key == key } else { false }
                }
                if !isKept { heard.early.append(key) }
            }
            if let key = heard.verifications[lease] {
                let isKept = durable.contains {
                    if case .verdictsAccepted(let judged, _) = $0 { judged == key } else { false }
                }
                if !isKept { heard.early.append(key) }
            }
            heard.acknowledged.append(lease)
        }
    }
}

@Suite(.timeLimit(.minutes(1)))
struct CommitTests {
    private func run(
        _ journal: ScriptedJournal, onRollout: @escaping @Sendable (Int) -> Void = { _ in }
    ) throws -> (outcome: RunOutcome, shell: ScriptedShell, heard: PromptWorker.Heard) {
        let folder = try ScriptedRun.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }  // the system clears what stays
        let network = MemoryNetwork()
        let link = try network.server()
        let worker = try PromptWorker(network, journal: journal, onRollout: onRollout)
        let shell = ScriptedShell(journal: journal)
        var loop = try CoordinatorLoop(
            link: link, core: ScriptedRun.core(ScriptedRun.options(), folder: folder), shell: shell,
            wake: try WakePipe(), run: "scripted")
        let outcome = loop.run()
        loop.linger(.milliseconds(300))
        return (outcome, shell, worker.join())
    }

    @Test func `a worker gets its next group while the disk keeps its last one, and the acknowledgement after`() throws {
        let next = DispatchSemaphore(value: 0)
        let isFirst = Mutex(true)
        let journal = ScriptedJournal { records in
            guard records.contains(where: { if case .completionsAccepted = $0 { true } else { false } }) else { return }
            let waits = isFirst.withLock { first in
                defer { first = false }
                return first
            }
            // Without a next group this never ends.
            if waits { next.wait() }
        }
        let (outcome, shell, heard) = try run(journal) { if $0 == 2 { next.signal() } }
        #expect(outcome == .completed(step: 3))
        #expect(shell.steps.map(\.weightsHash) == ScriptedRun.predictedHashes(ScriptedRun.options()))
        #expect(shell.records == journal.records)
        #expect(heard.early.isEmpty)
        for lease in heard.rollouts.keys { #expect(heard.acknowledged.contains(lease)) }
    }

    @Test func `a disk that fails ends the run, and what it does not have is not acknowledged`() throws {
        struct Full: Error, CustomStringConvertible { let description = "no room" }
        let journal = ScriptedJournal { records in
            if records.contains(where: { if case .verdictsAccepted = $0 { true } else { false } }) { throw Full() }
        }
        let (outcome, shell, heard) = try run(journal)
        guard case .failed(0, let reason) = outcome else {
            Issue.record("the run ended as \(outcome)")
            return
        }
        #expect(reason.contains("no room"))
        #expect(heard.early.isEmpty)
        #expect(!heard.verifications.isEmpty)
        #expect(heard.verifications.keys.allSatisfy { !heard.acknowledged.contains($0) })
        #expect(shell.steps.isEmpty)
        #expect(shell.records == journal.records)
    }
}

struct GroupCommitTests {
    private let peer = PeerIdentifier(bytes: [1])
    private let other = PeerIdentifier(bytes: [2])
    private var record: Record { .workerLeft(name: "w", reason: "r") }
    private func order(_ peer: PeerIdentifier) -> Effect {
        let prompt = Prompt(
            key: GroupKey(purpose: .training, step: 1, ordinal: 0), tokens: [1], text: "", answer: "", source: "")
        let assignment = RolloutAssignment(
            prompt: prompt, groupSize: 1, version: .base, sampling: SamplingOptions(), seed: 1)
        return .send(.rollout(lease: LeaseIdentifier(1), assignment), to: peer)
    }

    @Test func `an order overtakes an acknowledgement, and nothing else that its worker is to be told`() {
        var commit = GroupCommit()
        commit.add(record)
        commit.hold(.send(.acknowledge(lease: LeaseIdentifier(4)), to: peer))
        #expect(commit.mayOvertake(order(peer)))
        #expect(!commit.mayOvertake(.send(.acknowledge(lease: LeaseIdentifier(5)), to: other)))
        #expect(!commit.mayOvertake(.send(.shutdown(reason: ""), to: other)))
        commit.hold(.send(.cancel(lease: LeaseIdentifier(1)), to: peer))
        #expect(!commit.mayOvertake(order(peer)))
        #expect(commit.mayOvertake(order(other)))
        // Under way, and with others gathering behind it, the same.
        #expect(commit.begin() == [record])
        #expect(!commit.mayOvertake(order(peer)))
        commit.add(record)
        #expect(!commit.mayOvertake(order(peer)))
        _ = commit.end()
        #expect(commit.mayOvertake(order(peer)))
    }

    @Test func `what comes after a record waits for it, and no longer`() {
        var commit = GroupCommit()
        #expect(commit.isIdle && !commit.hasNext)
        let notes = (0..<3).map { Effect.note(Note(.info, "\($0)")) }
        commit.add(record)
        commit.hold(notes[0])
        #expect(commit.hasNext)
        _ = commit.begin()
        #expect(!commit.hasNext && !commit.isIdle)
        // Nothing new is to be stored: it waits for what is under way.
        commit.hold(notes[1])
        commit.add(record)
        commit.hold(notes[2])
        #expect(commit.end().waiting == Array(notes[..<2]))
        #expect(!commit.isIdle)
        _ = commit.begin()
        #expect(commit.end().waiting == [notes[2]])
        #expect(commit.isIdle)
    }
}
