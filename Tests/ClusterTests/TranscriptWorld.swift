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
    var records: [Record] = []
    private var startCount: UInt64 = 0
    var now = MonotonicTime.zero
    var lines: [String] = []
    var workers: [TranscriptWorker] = []
    var peerCount: UInt8 = 0
    var isMute = false
    /// Parts of gradients, by the blobs that they lie in.
    var gradients: [Digest: Digest] = [:]
    var shardCount: Int { options.optimizer.shards }

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

    /// Scripted completions have tokens below this.
    static let vocabularyCount = 100

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
        case "rollout", "verify", "train", "gradient", "fail": try answer(verb, arguments)
        case "work": try work(arguments)
        case "heartbeat": try heartbeat(arguments)
        case "disconnect": handle(.disconnected(workers[try index(arguments)].peer))
        // `dispute w 5 1/0 1/2`: the learner says that it computes other log-probs for these groups.
        case "dispute": try dispute(arguments)
        case "misbehave":
            handle(
                .misbehaved(
                    workers[try index(arguments)].peer, reason: arguments.dropFirst().joined(separator: " ")))
        case "goodbye": receive(.goodbye(reason: "asked to"), from: try index(arguments))
        // Time passes and nobody tells the core.
        case "later": now = now + .nanoseconds(Int64((Double(arguments.first ?? "") ?? 0) * 1e9))
        case "advance": advance(by: Double(arguments.first ?? "") ?? 0, hearing: Array(arguments.dropFirst()))
        case "interrupt": handle(.interrupt)
        case "abandon": handle(.abandon)
        case "pause":
            let reason = arguments.isEmpty ? nil : arguments.joined(separator: " ")
            handle(.asked(.pause(reason: reason), number: 1))
        case "resume": handle(.asked(.resume, number: 2))
        case "stop": handle(.asked(.stop(savesCheckpoint: arguments.first != "now"), number: 3))
        case "drain": handle(.asked(.drain(worker: arguments.joined(separator: " ")), number: 4))
        case "storefailed": handle(.storeFailed(reason: arguments.joined(separator: " ")))
        case "status": status()
        case "faults": faults()
        case "ended": handle(.ended(workers[try index(arguments)].peer))
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
                    lines.append(
                        TranscriptWords.words(effect) { peer in
                            workers.last { $0.peer == peer }?.name ?? "peer \(peer)"
                        })
                }
                switch effect {
                case .send(let message, let peer):
                    if let index = workers.lastIndex(where: { $0.peer == peer }) {
                        workers[index].inbox.append(message)
                    }
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

    mutating func receive(_ message: Message, from index: Int) {
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
            case "check": options.cluster.spotCheck = number
            case "share": options.cluster.noVerdictShareLimit = number
            case "lease": options.cluster.leaseSeconds = number
            case "drop": options.algorithm.dropEqualGroups = number == 1
            case "refill": options.algorithm.refillLimit = Int(number)
            case "inflight":
                options.schedule.inflight = true
                options.schedule.maxStalenessVersions = Int(number)
            case "shards": options.optimizer.shards = Int(number)
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
                .evaluation, step: 0, ordinals: 0..<evaluationCount, position: 500),
            vocabularyCount: TranscriptWorld.vocabularyCount)
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
            "step \(status.step)/\(status.stepCount), \(status.phase), "
                + "groups \(status.groupsDone)/\(status.groupsNeeded)"
        )
        for worker in status.workers {
            let version = worker.version.map { "\($0.rawValue)" } ?? "none"
            let state = (worker.isReachable ? "" : " (unreachable)") + (worker.isDraining ? " (draining)" : "")
            lines.append(
                "\(worker.name)\(state): version \(version), "
                    + "\(worker.leaseCount) leases, \(worker.completionCount) completions")
        }
        lines.append(
            "no verdicts \(status.counters.noVerdictCount), releases \(status.counters.releaseCount), "
                + "duplicates \(status.counters.duplicateCount), faults \(status.counters.faultCount)")
    }

    private mutating func faults() {
        for fault in coordinator?.status.faults ?? [] {
            let lease = fault.lease.map { " [\($0.words)]" } ?? ""
            lines.append(
                "\((fault.at - .zero).inSeconds) s, step \(fault.step), \(fault.kind.rawValue), "
                    + "\(fault.worker ?? "nobody")\(lease): \(fault.text)")
        }
    }
}
