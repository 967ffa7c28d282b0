// What the workers of a transcript do when a command says so.

import Cluster
import Rollouts
import Simulation

extension TranscriptWorld {
    func index(_ arguments: [String]) throws -> Int {
        guard let name = arguments.first, let index = workers.lastIndex(where: { $0.name == name }) else {
            throw TranscriptError(description: "no worker named `\(arguments.first ?? "")`")
        }
        return index
    }

    mutating func hello(_ arguments: [String]) throws {
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

    mutating func ready(_ arguments: [String]) throws {
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

    mutating func heartbeat(_ arguments: [String]) throws {
        let progress = arguments.dropFirst().compactMap { argument -> LeaseProgress? in
            let parts = argument.split(separator: "=").compactMap { UInt64($0) }
            return parts.count == 2 ? LeaseProgress(lease: LeaseIdentifier(parts[0]), unitsDone: parts[1]) : nil
        }
        receive(.heartbeat(progress: progress), from: try index(arguments))
    }

    /// Does everything asked of a worker (or of `all`), in order, until nothing is left; with `quiet` only records,
    /// reports and the end are shown, with `once` only what is there now is done, with `until=n` nothing after step n.
    mutating func work(_ arguments: [String]) throws {
        let before = lines.count
        if arguments.contains("differs") { workers[try index(arguments)].differs = true }
        let lastStep = arguments.last.flatMap { $0.hasPrefix("until=") ? Int($0.dropFirst(6)) : nil }
        func isPast() -> Bool {
            guard let lastStep else { return false }
            return records.contains {
                if case .stepTrained(let metrics, _, _, _) = $0 { metrics.step >= lastStep } else { false }
            }
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
            lines =
                lines[..<before]
                + lines[before...].filter { line in
                    ["persist step", "persist checkpoint", "report evaluation", "note", "finish", "rewind"].contains {
                        line.hasPrefix($0)
                    }
                }
        }
    }

    mutating func dispute(_ arguments: [String]) throws {
        let worker = try index(arguments)
        let keys = arguments.dropFirst(2).compactMap { word -> GroupKey? in
            let parts = word.split(separator: "/").compactMap { Int($0) }
            return parts.count == 2 ? GroupKey(purpose: .training, step: parts[0], ordinal: parts[1]) : nil
        }
        guard arguments.count > 2, let lease = UInt64(arguments[1]) else {
            throw TranscriptError(description: "expected `dispute worker lease step/ordinal …`")
        }
        workers[worker].groups = []
        workers[worker].learner = nil
        receive(.disputed(lease: LeaseIdentifier(lease), keys, reason: "other log-probs"), from: worker)
    }

    /// What a worker without faults answers.
    mutating func answer(to message: Message, by worker: Int) -> Message? {
        switch message {
        case .policy(let manifest):
            workers[worker].policy = manifest
            return .policyReady(manifest.version, weightsHash: manifest.weightsHash)
        case .rollout(let lease, let assignment):
            guard let policy = workers[worker].policy else { return nil }
            var completions = ScriptedWork.completions(for: assignment, weights: policy.weightsHash)
            for index in completions.indices where assignment.newer {
                completions[index].versions = completions[index].tokens.map { _ in policy.version }
            }
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
                workers[worker].learner = workers[worker].policy.map {
                    ScriptedLearner(from: $0, shardCount: shardCount)
                }
            }
            if !assignment.parts.isEmpty {
                return workers[worker].learner?.train(assignment) { gradients[$0] }?.message(for: lease)
            }
            var differing = assignment
            if workers[worker].differs { differing.learningRate += 1 }
            return workers[worker].learner?.train(differing, groups).message(for: lease)
        case .gradient(let lease, let assignment): return gradient(lease, assignment, by: worker)
        case .pretrain(let lease, let assignment):
            var learner = workers[worker].policy.map { ScriptedLearner(from: $0) }
            return learner?.pretrain(assignment).message(for: lease)
        case .saveCheckpoint(let lease):
            guard let learner = workers[worker].learner else { return nil }
            return learner.report(step: Int(learner.version.rawValue), checkpoint: true).message(for: lease)
        default:
            return nil
        }
    }

    private mutating func gradient(
        _ lease: LeaseIdentifier, _ assignment: GradientAssignment, by worker: Int
    ) -> Message? {
        let groups = workers[worker].groups
        workers[worker].groups = []
        let gradient = ScriptedGradient.of(groups, shards: assignment.shards, shardCount: shardCount)
        var part = GradientPart(shards: assignment.shards, blob: nil, sums: [])
        if assignment.keep {
            if workers[worker].learner?.version != assignment.base {
                workers[worker].learner = workers[worker].policy.map {
                    ScriptedLearner(from: $0, shardCount: shardCount)
                }
            }
            workers[worker].learner?.keep(gradient, of: assignment.shards)
        } else {
            var print = Fingerprint(lease.rawValue)
            print.absorb(gradient)
            part.blob = BlobReference(digest: print.digest, byteCount: 32)
            gradients[print.digest] = gradient
        }
        return .gradientResult(lease: lease, step: assignment.step, part, seconds: 1)
    }

    /// `rollout w 3`, `rollout w 3 short` (or `strange`, `certain`, `other`), also for a lease that was given to another;
    /// `verify w 4 right none`, `train w 5`, `gradient w 5`, `fail w 3 final out of memory`
    mutating func answer(_ verb: String, _ arguments: [String]) throws {
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
        let message = (workers[worker].inbox + workers.flatMap(\.inbox)).first { message in
            switch message {
            case .rollout(lease, _), .verify(lease, _), .train(lease, _), .gradient(lease, _): true
            default: false
            }
        }
        guard let message else {
            throw TranscriptError(description: "`\(arguments[0])` has no lease \(lease.rawValue)")
        }
        var needsGroups = false
        if case .train = message { needsGroups = true }
        if case .gradient = message { needsGroups = true }
        if needsGroups {
            for case .trainingGroup(lease, let group) in workers[worker].inbox { workers[worker].groups.append(group) }
        }
        guard var answer = answer(to: message, by: worker) else {
            throw TranscriptError(description: "`\(arguments[0])` cannot do this")
        }
        switch answer {
        case .rolloutResult(_, var completions, let seconds):
            switch rest.first {
            case "short": completions.removeLast()
            case "strange": completions[1].tokens[0] = Int32(TranscriptWorld.vocabularyCount)
            case "other":
                guard case .rollout(_, var assignment) = message, let policy = workers[worker].policy else { break }
                assignment.prompt.tokens[0] += 1
                completions = ScriptedWork.completions(for: assignment, weights: policy.weightsHash)
            case "swapped":
                completions[0].tokens[0] = (completions[0].tokens[0] + Int32(rest.count)) % 100
            case "certain": completions[0].policyLogProbs[0] = 0.25
            default: break
            }
            answer = .rolloutResult(lease: lease, completions: completions, seconds: seconds)
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
