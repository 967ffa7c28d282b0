// What a seed stands for: a run, a cluster, and how badly the world treats it.

import Cluster
import Rollouts

package struct Scenario: Equatable, Sendable {
    package enum Size: String, CaseIterable, Sendable {
        /// A few workers, a few steps.
        case small
        /// Short runs, few heartbeats, an eighth of the time until the world heals, faults eight times as often:
        /// most seeds per second.
        case brief
        /// Many workers.
        case wide
        /// Many steps, sparse checkpoints.
        case long
        /// Ten thousand workers, one step, a world that only delays: does the core's work stay bearable?
        case vast
    }

    package var seed: UInt64
    package var options: RunOptions
    package var evaluationPromptCount: Int
    package var isPretrained: Bool
    package var replayTokensLimit: Int
    /// The roles of each worker; every role appears.
    package var workers: [[WorkerRole]]
    package var slots: Int
    /// A worker in this place answers with other tokens than the policy samples, and log-probs to match.
    package var liar: Int?
    package var faults: FaultRates
    /// How long the world is bad before it heals.
    package var badTime: Duration

    package init(seed: UInt64, size: Size) {
        var dice = SimulationDice(seed: seed)
        self.seed = seed
        var options = RunOptions()
        options.seed = dice.word()
        options.rollout.promptsPerStep = dice.integer(1...4)
        options.rollout.groupSize = dice.integer(2...3)
        options.schedule.steps = size == .long ? dice.integer(8...16) : dice.integer(1...5)
        options.schedule.lag = dice.integer(0...2)
        options.algorithm.dropEqualGroups = dice.chance(0.4)
        options.algorithm.refillLimit = dice.integer(1...3)
        options.verifier.shuffle = dice.chance(0.2)
        options.evaluation.everySteps = dice.integer(0...2)
        options.checkpoint.everySteps = size == .long ? dice.integer(0...5) : dice.integer(0...2)
        options.optimizer.decay = OptimizerOptions.Decay.allCases[dice.integer(0...2)]
        options.cluster.leaseSeconds = 20
        options.cluster.verificationAttempts = 4
        options.cluster.noVerdictShareLimit = 1
        // Dice of their own: what the others show stays as it is.
        var learnerDice = SimulationDice(seed: seed ^ 0x1EA2)
        options.optimizer.shards = 1 << learnerDice.integer(0...3)
        if learnerDice.chance(0.15) {
            options.schedule.inflight = true
            options.schedule.lag = 0
            options.schedule.maxStalenessVersions = learnerDice.integer(1...3)
        }
        self.options = options
        evaluationPromptCount = dice.integer(1...4)
        isPretrained = dice.chance(0.25)
        replayTokensLimit = dice.chance(0.5) ? dice.integer(1...20) : 1_000_000
        workers = Self.workers(size, &dice)
        if options.optimizer.shards > 1 {
            for _ in 0..<learnerDice.integer(0...3) {
                workers.append(learnerDice.chance(0.2) ? [.learner, .rollout] : [.learner])
            }
        }
        slots = dice.integer(1...4)
        faults = FaultRates(&dice)
        badTime = .seconds(dice.integer(20...200))
        faults.drained = dice.chance(0.5) ? 0 : dice.share() * 0.06
        let spotCheck = dice.chance(0.7) ? 0 : dice.share()
        self.options.cluster.spotCheck = options.schedule.inflight ? 0 : spotCheck
        if size == .brief { makeBrief() }
        if size == .vast { makeVast(workerCount: 10_000) }
    }

    private mutating func makeBrief() {
        // Dice of their own again.
        var briefDice = SimulationDice(seed: seed ^ 0xB21E)
        options.rollout.promptsPerStep = min(options.rollout.promptsPerStep, 2)
        options.rollout.groupSize = 2
        options.schedule.steps = min(options.schedule.steps, 2)
        options.cluster.heartbeatSeconds = Double(briefDice.integer(6...10))
        options.cluster.heartbeatsMissed = 2
        evaluationPromptCount = 1
        badTime = badTime / 8
        faults.quicken(8)
    }

    /// A minute between heartbeats, as many workers need (ARCHITECTURE.md, section 8).
    package mutating func makeVast(workerCount: Int) {
        options.rollout.promptsPerStep = workerCount / 5
        options.schedule.steps = 1
        options.schedule.lag = 0
        options.schedule.inflight = false
        options.algorithm.dropEqualGroups = false
        options.evaluation.everySteps = 0
        options.cluster.heartbeatSeconds = 60
        options.cluster.leaseSeconds = 120
        options.cluster.spotCheck = 0
        isPretrained = false
        let learnerCount = max(1, workerCount / 1000)
        let verifierCount = workerCount / 5 - learnerCount
        workers =
            Array(repeating: [.rollout], count: workerCount - verifierCount - learnerCount)
            + Array(repeating: [.verifier], count: verifierCount)
            + Array(repeating: [.learner], count: learnerCount)
        slots = 1
        faults = .none
        badTime = .zero
    }

    private static func workers(_ size: Size, _ dice: inout SimulationDice) -> [[WorkerRole]] {
        if dice.chance(0.15) { return Array(repeating: [.rollout, .verifier, .learner], count: dice.integer(1...3)) }
        let most = size == .wide ? 12 : 3
        var workers: [[WorkerRole]] = []
        for _ in 0..<dice.integer(1...most) {
            workers.append(dice.chance(0.3) ? [.rollout, .verifier] : [.rollout])
        }
        for _ in 0..<dice.integer(1...max(2, most / 2)) { workers.append([.verifier]) }
        for _ in 0..<dice.integer(1...2) { workers.append(dice.chance(0.2) ? [.learner, .rollout] : [.learner]) }
        return workers
    }

    /// The same run in a world without faults, on one worker, or as few as can do it.
    package var undisturbed: Scenario {
        var scenario = self
        // One alone would need longer for the prompts of thousands than a run may take.
        let count = max(1, options.rollout.promptsPerStep / 50)
        scenario.workers = Array(repeating: [.rollout, .verifier, .learner], count: count)
        scenario.faults = .none
        scenario.badTime = .zero
        scenario.replayTokensLimit = 1_000_000
        return scenario
    }

    /// The start of the fresh run.
    package var start: RunStart {
        let blob = BlobReference(digest: Fingerprint(7).digest, byteCount: 1)
        let sequences = (0..<4).map { [Int32($0), Int32(seed % 1000)] }
        return RunStart(
            run: "simulation", checkpoint: Checkpoint(step: 0, manifest: ScriptedWork.basePolicy, nextPosition: 0),
            welcome: Welcome(
                run: "simulation", options: options, modelBundle: blob, blobAddress: "inproc://blobs",
                blobDirectory: "", blobDirectoryProof: ""),
            pretraining: isPretrained
                ? PretrainingAssignment(sequences: sequences, sequencesPerStep: 2, learningRate: 0.01) : nil,
            evaluationPrompts: ScriptedWork.prompts(
                .evaluation, step: 0, ordinals: 0..<evaluationPromptCount, position: 100_000),
            replayTokensLimit: replayTokensLimit)
    }
}

/// Probabilities per message or piece of work, and per second of the whole cluster. Each seed has its own mix, many of
/// them 0, so that every combination turns up.
package struct FaultRates: Equatable, Sendable {
    // per message
    package var broken = 0.0
    package var duplicated = 0.0
    package var delayed = 0.0
    package var delayLimit = Duration.milliseconds(5)
    // per piece of work
    package var workFailed = 0.0
    package var noVerdict = 0.0
    package var malformed = 0.0
    package var hung = 0.0
    package var long = 0.0
    package var loadFailed = 0.0
    package var wrongHash = 0.0
    // per event of the coordinator, per record
    package var coordinatorCrashed = 0.0
    package var storeFailed = 0.0
    // per second
    package var workerCrashed = 0.0
    package var clogged = 0.0
    package var interrupted = 0.0
    package var paused = 0.0
    package var drained = 0.0

    package static let none = FaultRates()
    private init() {}

    /// As many times more faults a second, at most one of a kind.
    mutating func quicken(_ factor: Double) {
        for rate in [\FaultRates.workerCrashed, \.clogged, \.interrupted, \.paused, \.drained] {
            self[keyPath: rate] = min(1, factor * self[keyPath: rate])
        }
    }

    init(_ dice: inout SimulationDice) {
        func rate(_ most: Double) -> Double { dice.chance(0.35) ? 0 : dice.share() * most }
        broken = rate(0.04)
        duplicated = rate(0.3)
        delayed = rate(0.2)
        delayLimit = .milliseconds(dice.integer(1...3000))
        workFailed = rate(0.1)
        noVerdict = rate(0.2)
        malformed = rate(0.1)
        hung = rate(0.05)
        long = rate(0.1)
        loadFailed = rate(0.1)
        wrongHash = rate(0.1)
        coordinatorCrashed = rate(0.02)
        storeFailed = rate(0.01)
        workerCrashed = rate(0.25)
        clogged = rate(0.2)
        interrupted = rate(0.06)
        paused = rate(0.05)
    }
}
