// The world of a transcript: a coordinator's core, its store as a list of records, and workers that do what a command
// says.

import Cluster
import Rollouts
import Simulation

struct TranscriptError: Error, CustomStringConvertible {
    var description: String
}

struct TranscriptWorld {
    private var options = RunOptions()
    private var fresh: RunStart?
    private var coordinator: Coordinator?
    private var records: [Record] = []
    private var startCount: UInt64 = 0
    private var now = MonotonicTime.zero
    private var lines: [String] = []
    private var workers: [TranscriptWorker] = []
    private var peerCount: UInt8 = 0
    private var isMute = false

    struct TranscriptWorker {
        var name: String
        var hello: Hello
        var peer: PeerIdentifier
        var inbox: [Message] = []
        var policy: PolicyManifest?
        var learner: ScriptedLearner?
        /// Its arithmetic is another one.
        var differs = false
        var groups: [CompletionGroup] = []
    }

    /// Runs one command; returns what the core said.
    mutating func run(_ command: String) throws -> [String] {
        lines = []
        let words = command.split(separator: " ").map(String.init)
        guard let verb = words.first else { throw TranscriptError(description: "empty command") }
        let arguments = Array(words.dropFirst())
        switch verb {
        case "run": try create(arguments)
        case "start": handle(.start)
        case "restart": restart()
        case "hello": try hello(arguments)
        case "ready": try ready(arguments)
        case "rollout", "verify", "train", "fail": try answer(verb, arguments)
        case "work": try work(arguments)
        case "heartbeat": try heartbeat(arguments)
        case "disconnect": handle(.disconnected(workers[try index(arguments)].peer))
        case "goodbye": receive(.goodbye(reason: "asked to"), from: try index(arguments))
        case "advance": advance(by: Double(arguments.first ?? "") ?? 0, hearing: Array(arguments.dropFirst()))
        case "interrupt": handle(.interrupt)
        case "abandon": handle(.abandon)
        case "pause": handle(.pause)
        case "resume": handle(.resume)
        case "storefailed": handle(.storeFailed(reason: arguments.joined(separator: " ")))
        case "status": status()
        default: throw TranscriptError(description: "unknown command `\(verb)`")
        }
        return lines
    }

    // MARK: the coordinator

    private mutating func handle(_ event: Event) {
        guard var core = coordinator else { return }
        var events = [event]
        while !events.isEmpty {
            for effect in core.handle(events.removeFirst(), at: now) {
                if !isMute {
                    lines.append(TranscriptWords.words(effect) { peer in
                        workers.last { $0.peer == peer }?.name ?? "peer \(peer)"
                    })
                }
                switch effect {
                case .send(let message, let peer):
                    if let index = workers.lastIndex(where: { $0.peer == peer }) { workers[index].inbox.append(message) }
                case .persist(let record): records.append(record)
                case .drawPrompts(let purpose, let step, let ordinals, let position):
                    events.append(
                        .promptsDrawn(
                            ScriptedWork.prompts(purpose, step: step, ordinals: ordinals, position: position)))
                default: break
                }
            }
            core.checkInvariants()
        }
        coordinator = core
    }

    private mutating func receive(_ message: Message, from index: Int) {
        handle(.received(message, from: workers[index].peer))
    }

    private mutating func create(_ arguments: [String]) throws {
        options.rollout.promptsPerStep = 2
        options.rollout.groupSize = 2
        options.schedule.steps = 2
        options.evaluation.everySteps = 0
        options.checkpoint.everySteps = 0
        var evaluationCount = 0
        var pretraining: PretrainingAssignment?
        for argument in arguments {
            let parts = argument.split(separator: "=").map(String.init)
            guard parts.count == 2, let number = Double(parts[1]) else {
                throw TranscriptError(description: "expected key=number, found `\(argument)`")
            }
            switch parts[0] {
            case "steps": options.schedule.steps = Int(number)
            case "lag": options.schedule.lag = Int(number)
            case "prompts": options.rollout.promptsPerStep = Int(number)
            case "group": options.rollout.groupSize = Int(number)
            case "checkpoint": options.checkpoint.everySteps = Int(number)
            case "attempts": options.cluster.verificationAttempts = Int(number)
            case "share": options.cluster.noVerdictShareLimit = number
            case "lease": options.cluster.leaseSeconds = number
            case "drop": options.algorithm.dropEqualGroups = number == 1
            case "refill": options.algorithm.refillLimit = Int(number)
            case "shuffle": options.verifier.shuffle = number == 1
            case "evaluate":
                options.evaluation.everySteps = Int(number)
                options.evaluation.temperature = 0
                evaluationCount = 3
            case "pretrain":
                pretraining = PretrainingAssignment(
                    sequences: Array(repeating: [1, 2], count: Int(number)), sequencesPerStep: 1, learningRate: 0.1)
            default: throw TranscriptError(description: "unknown option `\(parts[0])`")
            }
        }
        let blob = BlobReference(digest: Fingerprint(9).digest, byteCount: 1)
        let start = RunStart(
            run: "test",
            checkpoint: Checkpoint(step: 0, manifest: ScriptedWork.basePolicy, nextPosition: 0),
            welcome: Welcome(
                run: "test", options: options, modelBundle: blob, blobAddress: "inproc://blobs", blobDirectory: "",
                blobDirectoryProof: ""),
            pretraining: pretraining,
            evaluationPrompts: ScriptedWork.prompts(
                .evaluation, step: 0, ordinals: 0..<evaluationCount, position: 500))
        fresh = start
        coordinator = Coordinator(options: options, start: start)
    }

    /// The coordinator is gone and another one starts from the records.
    private mutating func restart() {
        guard let fresh else { return }
        startCount += 1
        let start = RunHistory(records).resumed(fresh, leaseEpoch: startCount)
        coordinator = Coordinator(options: options, start: start)
        handle(.start)
    }

    /// Moves time, ticking at every deadline; the workers named are heard once a second.
    private mutating func advance(by seconds: Double, hearing names: [String]) {
        let end = now + .nanoseconds(Int64(seconds * 1e9))
        var nextBeat = now
        while now < end {
            nextBeat = nextBeat + .seconds(1)
            while let deadline = coordinator?.nextDeadline, deadline <= min(nextBeat, end) {
                now = deadline
                handle(.tick)
            }
            now = min(nextBeat, end)
            for name in names {
                guard let index = workers.lastIndex(where: { $0.name == name }) else { continue }
                isMute = true
                receive(.heartbeat(progress: []), from: index)
                isMute = false
            }
        }
    }

    private mutating func status() {
        guard let status = coordinator?.status else { return }
        lines.append(
            "step \(status.step)/\(status.stepCount), \(status.phase), groups \(status.groupsDone)/\(status.groupsNeeded)")
        for worker in status.workers {
            let version = worker.version.map { "\($0.rawValue)" } ?? "none"
            lines.append(
                "\(worker.name)\(worker.isReachable ? "" : " (unreachable)"): version \(version), "
                    + "\(worker.leaseCount) leases, \(worker.completionCount) completions")
        }
        lines.append(
            "no verdicts \(status.counters.noVerdictCount), releases \(status.counters.releaseCount), "
                + "duplicates \(status.counters.duplicateCount), faults \(status.counters.faultCount)")
    }

    // MARK: workers

    private func index(_ arguments: [String]) throws -> Int {
        guard let name = arguments.first, let index = workers.lastIndex(where: { $0.name == name }) else {
            throw TranscriptError(description: "no worker named `\(arguments.first ?? "")`")
        }
        return index
    }

    private mutating func hello(_ arguments: [String]) throws {
        guard let name = arguments.first else { throw TranscriptError(description: "hello needs a name") }
        var roles: [WorkerRole] = [.rollout, .verifier, .learner]
        var slots = 4
        var version = ProtocolVersion.current
        for argument in arguments.dropFirst() {
            let parts = argument.split(separator: "=").map(String.init)
            switch parts[0] {
            case "roles": roles = parts[1].split(separator: ",").compactMap { WorkerRole(rawValue: String($0)) }
            case "slots": slots = Int(parts[1]) ?? 4
            case "protocol": version = ProtocolVersion(major: UInt16(parts[1]) ?? 0, minor: 0)
            default: throw TranscriptError(description: "unknown option `\(argument)`")
            }
        }
        peerCount += 1
        let known = workers.last { $0.name == name }
        let hello = Hello(
            protocolVersion: version, worker: name, host: "host", processIdentifier: 1, roles: roles, threads: 1,
            rolloutSlots: slots, verificationSlots: slots, kernel: "scalar", held: known?.policy)
        workers.append(
            TranscriptWorker(
                name: name, hello: hello, peer: PeerIdentifier(bytes: [peerCount]), policy: known?.policy,
                learner: known?.learner))
        receive(.hello(hello), from: workers.count - 1)
    }

    private mutating func ready(_ arguments: [String]) throws {
        let worker = try index(arguments)
        let policy = workers[worker].inbox.lastIndex { if case .policy = $0 { true } else { false } }
        guard let policy, case .policy(let manifest) = workers[worker].inbox.remove(at: policy) else {
            throw TranscriptError(description: "`\(arguments[0])` was sent no policy")
        }
        if arguments.contains("wrong") {
            return receive(.policyReady(manifest.version, weightsHash: Fingerprint(666).digest), from: worker)
        }
        workers[worker].policy = manifest
        receive(.policyReady(manifest.version, weightsHash: manifest.weightsHash), from: worker)
    }

    private mutating func heartbeat(_ arguments: [String]) throws {
        let progress = arguments.dropFirst().compactMap { argument -> LeaseProgress? in
            let parts = argument.split(separator: "=").compactMap { UInt64($0) }
            return parts.count == 2 ? LeaseProgress(lease: LeaseIdentifier(parts[0]), unitsDone: parts[1]) : nil
        }
        receive(.heartbeat(progress: progress), from: try index(arguments))
    }

    /// Does everything asked of a worker (or of `all`), in order, until nothing is left; with `quiet` only records,
    /// reports and the end are shown, with `once` only what is there now is done, with `until=n` nothing after step n.
    private mutating func work(_ arguments: [String]) throws {
        let before = lines.count
        if arguments.contains("differs") { workers[try index(arguments)].differs = true }
        let lastStep = arguments.last.flatMap { $0.hasPrefix("until=") ? Int($0.dropFirst(6)) : nil }
        func isPast() -> Bool {
            guard let lastStep else { return false }
            return records.contains { if case .stepTrained(let metrics, _, _, _) = $0 { metrics.step >= lastStep } else { false } }
        }
        var isBusy = true
        while isBusy, !isPast() {
            isBusy = false
            for worker in workers.indices where arguments[0] == "all" || workers[worker].name == arguments[0] {
                var inbox = workers[worker].inbox
                workers[worker].inbox = []
                while !inbox.isEmpty, !isPast() {
                    if let answer = answer(to: inbox.removeFirst(), by: worker) {
                        isBusy = !arguments.contains("once")
                        receive(answer, from: worker)
                    }
                }
                workers[worker].inbox = inbox + workers[worker].inbox
            }
        }
        if arguments.contains("quiet") {
            lines = lines[..<before] + lines[before...].filter { line in
                ["persist step", "persist checkpoint", "report evaluation", "note", "finish", "rewind"].contains {
                    line.hasPrefix($0)
                }
            }
        }
    }

    /// What a worker without faults answers.
    private mutating func answer(to message: Message, by worker: Int) -> Message? {
        switch message {
        case .policy(let manifest):
            workers[worker].policy = manifest
            return .policyReady(manifest.version, weightsHash: manifest.weightsHash)
        case .rollout(let lease, let assignment):
            guard let policy = workers[worker].policy else { return nil }
            let completions = ScriptedWork.completions(for: assignment, weights: policy.weightsHash)
            return .rolloutResult(lease: lease, completions: completions, seconds: 0.5)
        case .verify(let lease, let assignment):
            return .verificationResult(lease: lease, verdicts: ScriptedWork.verdicts(for: assignment), seconds: 0.1)
        case .trainingGroup(_, let group):
            workers[worker].groups.append(group)
            return nil
        case .train(let lease, let assignment):
            let groups = workers[worker].groups
            workers[worker].groups = []
            if workers[worker].learner?.version != assignment.base {
                workers[worker].learner = workers[worker].policy.map(ScriptedLearner.init(from:))
            }
            var differing = assignment
            if workers[worker].differs { differing.learningRate += 1 }
            return workers[worker].learner?.train(differing, groups).message(for: lease)
        case .pretrain(let lease, let assignment):
            var learner = workers[worker].policy.map(ScriptedLearner.init(from:))
            return learner?.pretrain(assignment).message(for: lease)
        case .saveCheckpoint(let lease):
            guard let learner = workers[worker].learner else { return nil }
            return learner.report(step: Int(learner.version.rawValue), checkpoint: true).message(for: lease)
        default:
            return nil
        }
    }

    /// `rollout w 3`, `rollout w 3 short`, `verify w 4 right none`, `train w 5 wrongstep`, `fail w 3 final out of memory`
    private mutating func answer(_ verb: String, _ arguments: [String]) throws {
        let worker = try index(arguments)
        guard arguments.count > 1, let lease = UInt64(arguments[1]).map(LeaseIdentifier.init(_:)) else {
            throw TranscriptError(description: "expected `\(verb) worker lease`")
        }
        var rest = Array(arguments.dropFirst(2))
        if verb == "fail" {
            let isFinal = rest.first == "final"
            if isFinal { rest.removeFirst() }
            return receive(
                .failed(lease: lease, reason: rest.joined(separator: " "), retryable: !isFinal), from: worker)
        }
        let message = workers[worker].inbox.first { message in
            switch message {
            case .rollout(lease, _), .verify(lease, _), .train(lease, _): true
            default: false
            }
        }
        guard let message else { throw TranscriptError(description: "`\(arguments[0])` has no lease \(lease.rawValue)") }
        if case .train = message {
            for case .trainingGroup(lease, let group) in workers[worker].inbox { workers[worker].groups.append(group) }
        }
        guard var answer = answer(to: message, by: worker) else {
            throw TranscriptError(description: "`\(arguments[0])` cannot do this")
        }
        switch answer {
        case .rolloutResult(_, let completions, let seconds) where rest.first == "short":
            answer = .rolloutResult(lease: lease, completions: Array(completions.dropLast()), seconds: seconds)
        case .verificationResult where !rest.isEmpty:
            let verdicts = rest.map { word -> Verdict in
                switch word {
                case "right": .right("matches")
                case "wrong": .wrong("differs")
                default: .noVerdict("timed out")
                }
            }
            answer = .verificationResult(lease: lease, verdicts: verdicts, seconds: 0.1)
        default: break
        }
        receive(answer, from: worker)
    }
}

extension TrainingReport {
    func message(for lease: LeaseIdentifier) -> Message { .trainingResult(lease: lease, self, seconds: 1) }
}
