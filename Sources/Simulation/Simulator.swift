// One seed from start to end: a loop over occurrences in simulated time, on one thread.

import Cluster
import Rollouts

package struct SimulationResult: Equatable, Sendable {
    package var seed: UInt64
    /// What went wrong; nil for a run that completed with the undisturbed run's weights.
    package var failure: String?
    package var finalWeights: Digest?
    /// Over everything that happened: equal for two simulations of one seed.
    package var traceHash: UInt64
    package var eventCount: Int
    /// Workers and units that the last coordinator's decisions looked at.
    package var workCount: Int
    package var simulatedTime: Duration
    package var marks: Marks
    package var made: Reference
}

/// Deliberate faults of the simulation's own shell, to see that the checkers notice.
package enum Sabotage: String, CaseIterable, Sendable {
    /// A crash loses the last records although later effects were performed.
    case forgetRecords = "forget-records"
    /// Messages are sent before the records that they promise.
    case sendBeforePersist = "send-before-persist"
    /// The learner gets its groups in order of arrival.
    case trainUnordered = "train-unordered"
    /// A worker samples with the weights it held before.
    case sampleStale = "sample-stale"
    /// A restarted learner starts with fresh optimizer state.
    case forgetOptimizer = "forget-optimizer"
}

package struct Simulator {
    enum Occurrence: Sendable {
        case coordinatorStarts
        case coordinatorTicks(epoch: UInt64)
        case operatorResumes(epoch: UInt64)
        case disconnected(PeerIdentifier, epoch: UInt64)
        indirect case arrivesUp(connection: Int, Message)
        indirect case arrivesDown(connection: Int, Message)
        case workerStarts(Int)
        case workerConnects(Int, incarnation: Int)
        /// The socket makes its connection anew by itself.
        case socketReconnects(Int, incarnation: Int, former: Int)
        case workerTicks(Int, incarnation: Int)
        indirect case stepDone(Int, incarnation: Int, SimulatedWorker.Step)
        case weather
    }

    /// Workers up to which the invariants are checked after every event, and how many more there are for each event
    /// between two checks.
    static let smallWorld = (workers: 64, more: 8)
    /// After the world has healed, the run must complete within this.
    static let healingLimit = Duration.seconds(900)
    static let eventLimit = 2_000_000

    let scenario: Scenario
    let sabotage: Sabotage?
    var dice: SimulationDice
    /// Which messages come in bursts; its own, so that everything else stays a seed's own too.
    var burstDice: SimulationDice
    var queue = EventQueue<Occurrence>()
    var now = MonotonicTime.zero
    var network = SimulatedNetwork()
    var workers: [SimulatedWorker]
    var coordinator: CoordinatorProcess?
    /// Events since the invariants were checked.
    var uncheckedCount = 0
    var coordinatorTickAt: MonotonicTime?
    /// The coordinator's process: how many were started before.
    var epoch: UInt64 = 0
    var isFirstStart = true
    var records: [Record] = []
    /// Blobs of versions before this one are gone.
    var forgottenBefore = PolicyVersion.base
    /// Parts of gradients, by the blobs that they lie in.
    var gradients: [Digest: Digest] = [:]
    /// Attempt and first shard of each part of a gradient that was given out.
    var sharedParts: Set<[UInt64]> = []
    var ledger: Ledger
    var marks = Marks()
    var trace: Fingerprint
    var eventCount = 0
    var isHealed = false
    var healedAt = MonotonicTime.zero
    var outcome: RunOutcome?
    var violation: String?
    /// Steps whose prompts this coordinator's process asked for.
    var drawnSteps: [Int] = []
    /// Workers, with their incarnations, that a coordinator was told to drain; a restarted one knows them too.
    var drained: Set<[Int]> = []
    var duplicateCount = 0
    /// How often work on this group was made to fail: fewer times than would change the result.
    var failureCounts: [GroupKey: Int] = [:]

    /// Told what happens, line by line.
    let narrate: (@Sendable (String) -> Void)?

    package init(
        _ scenario: Scenario, reference: Reference?, sabotage: Sabotage? = nil,
        narrate: (@Sendable (String) -> Void)? = nil
    ) {
        self.narrate = narrate
        self.scenario = scenario
        self.sabotage = sabotage
        dice = SimulationDice(seed: scenario.seed ^ 0x5EED)
        burstDice = SimulationDice(seed: scenario.seed ^ 0xB057)
        ledger = Ledger(scenario: scenario, reference: reference)
        trace = Fingerprint(scenario.seed)
        workers = scenario.workers.enumerated().map {
            SimulatedWorker(index: $0, roles: $1, shardCount: scenario.options.optimizer.shards)
        }
    }

    /// A seed: first the undisturbed run, then the disturbed one, which must make the same.
    package static func run(
        seed: UInt64, size: Scenario.Size, sabotage: Sabotage? = nil, narrate: (@Sendable (String) -> Void)? = nil
    ) -> SimulationResult {
        let scenario = Scenario(seed: seed, size: size)
        guard !scenario.options.schedule.inflight else {
            // Who is how fast decides which weights sample: there is nothing to compare with.
            var simulator = Simulator(scenario, reference: nil, sabotage: sabotage, narrate: narrate)
            return simulator.run()
        }
        var calm = Simulator(scenario.undisturbed, reference: nil)
        let undisturbed = calm.run()
        if undisturbed.failure != nil { return undisturbed }
        var simulator = Simulator(scenario, reference: undisturbed.made, sabotage: sabotage, narrate: narrate)
        return simulator.run()
    }

    package mutating func run() -> SimulationResult {
        queue.schedule(.coordinatorStarts, at: now)
        for index in workers.indices {
            queue.schedule(.workerStarts(index), at: now + dice.duration(0...500_000))
        }
        queue.schedule(.weather, at: now + .seconds(1))
        while outcome == nil, failure == nil, let (time, occurrence) = queue.next() {
            now = max(now, time)
            eventCount += 1
            trace.absorb(UInt64(bitPattern: now.nanoseconds))
            occur(occurrence)
            checkLiveness()
        }
        return SimulationResult(
            seed: scenario.seed, failure: failure, finalWeights: ledger.steps.last?.metrics.weightsHash,
            traceHash: trace.word, eventCount: eventCount, workCount: coordinator?.core.workCount ?? 0,
            simulatedTime: now - .zero, marks: marks, made: ledger.made)
    }

    func say(_ text: @autoclosure () -> String) {
        if let narrate { narrate("\(now - .zero) \(text())") }
    }

    private var failure: String? { violation ?? ledger.violation }

    private mutating func checkLiveness() {
        if isHealed, now - healedAt > Self.healingLimit {
            let status = coordinator.map { "\($0.core.status)" } ?? "no coordinator"
            fail("the run did not complete within \(Self.healingLimit) after the world healed: \(status)")
        }
        if eventCount > Self.eventLimit { fail("more than \(Self.eventLimit) events") }
    }

    mutating func fail(_ text: String) {
        if violation == nil { violation = text }
    }

    private mutating func occur(_ occurrence: Occurrence) {
        switch occurrence {
        case .coordinatorStarts:
            startCoordinator()
        case .coordinatorTicks(let epoch):
            guard epoch == self.epoch, coordinator != nil, coordinatorTickAt == now else { return }
            coordinatorTickAt = nil
            tell(.tick)
        case .operatorResumes(let epoch):
            if epoch == self.epoch { tell(.asked(.resume, number: 0)) }
        case .disconnected(let peer, let epoch):
            if epoch == self.epoch { tell(.disconnected(peer)) }
        case .arrivesUp(let connection, let message):
            guard network[connection].isOpen, network[connection].epoch == epoch, coordinator != nil else { return }
            let peer = network.peer(connection)
            ledger.received(message, from: peer)
            tell(.received(message, from: peer))
        case .arrivesDown(let connection, let message):
            let link = network[connection]
            guard link.isOpen, workers[link.worker].connection == connection else { return }
            tell(link.worker, .received(message))
        case .workerStarts(let index):
            guard !workers[index].isAlive else { return }
            workers[index].start(slots: scenario.slots, at: now)
            connect(index)
        case .workerConnects(let index, let incarnation):
            if isAlive(index, incarnation) { connect(index) }
        case .socketReconnects(let index, let incarnation, let former):
            guard isAlive(index, incarnation), workers[index].connection == former, coordinator != nil else { return }
            marks.hit(.connectionMadeAnew)
            workers[index].connection = network.connect(index, incarnation, epoch: epoch)
        case .workerTicks(let index, let incarnation):
            guard isAlive(index, incarnation), workers[index].tickAt == now else { return }
            workers[index].tickAt = nil
            tell(index, .tick)
        case .stepDone(let index, let incarnation, let step):
            if isAlive(index, incarnation) { finish(step, of: index) }
        case .weather:
            weather()
        }
    }

    func isAlive(_ index: Int, _ incarnation: Int) -> Bool {
        workers[index].isAlive && workers[index].incarnation == incarnation
    }
}
