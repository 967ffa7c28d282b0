// What the world does to the cluster: messages, links, processes, the operator. And how it heals.

import Cluster
import Rollouts

extension Simulator {
    /// A fault with this probability; never after the world has healed.
    mutating func chance(_ probability: Double) -> Bool {
        guard !isHealed, probability > 0 else { return false }
        return dice.chance(probability)
    }

    mutating func transmit(_ message: Message, on connection: Int, isUp: Bool) {
        guard network[connection].isOpen else { return }
        if chance(scenario.faults.broken) { return breakConnection(connection) }
        var delay = dice.duration(50...2_000)
        if chance(scenario.faults.delayed) {
            delay = delay + dice.duration(0...Int(scenario.faults.delayLimit.inSeconds * 1e6))
        }
        let copies = chance(scenario.faults.duplicated) ? 2 : 1
        if copies == 2 { marks.hit(.messageDuplicated) }
        for _ in 0..<copies {
            let time = network.arrival(on: connection, isUp: isUp, delay: delay, at: now)
            trace.absorb(connection)
            trace.absorb(UInt64(bitPattern: time.nanoseconds))
            queue.schedule(
                isUp ? .arrivesUp(connection: connection, message) : .arrivesDown(connection: connection, message),
                at: time)
        }
    }

    /// Everything in flight is lost. The socket may make another connection by itself.
    private mutating func breakConnection(_ connection: Int) {
        marks.hit(.connectionBroken)
        closeConnection(connection)
        let link = network[connection]
        if dice.chance(0.6) {
            let reconnects = Occurrence.socketReconnects(
                link.worker, incarnation: link.incarnation, former: connection)
            queue.schedule(reconnects, at: now + dice.duration(100_000...8_000_000))
        }
    }

    /// Once a second.
    mutating func weather() {
        if !isHealed, now - .zero >= scenario.badTime { heal() }
        queue.schedule(.weather, at: now + .seconds(1))
        resumeIfPaused()
        guard !isHealed else { return }
        let faults = scenario.faults
        if chance(faults.workerCrashed),
            let index = workers.indices.filter({ workers[$0].isAlive }).randomElement(&dice)
        {
            marks.hit(.workerCrashed)
            killWorker(index, restartingAfter: dice.duration(200_000...15_000_000))
        }
        if chance(faults.clogged), let connection = workers.compactMap(\.connection).randomElement(&dice) {
            marks.hit(.linkClogged)
            let direction = dice.integer(0...2)
            network.clog(
                connection, up: direction != 0, down: direction != 1, until: now + .seconds(dice.integer(1...15)))
        }
        if chance(faults.interrupted), coordinator != nil {
            marks.hit(.interrupted)
            tell(dice.chance(0.8) ? .interrupt : .abandon)
        }
        if chance(faults.drained), coordinator != nil,
            let worker = workers.filter({ $0.isAlive }).randomElement(&dice)
        {
            tell(.asked(.drain(worker: worker.name), number: 0))
        }
        if chance(faults.paused), coordinator != nil { tell(.asked(.pause(reason: nil), number: 0)) }
    }

    /// The operator mends what the run paused for.
    private mutating func resumeIfPaused() {
        guard coordinator?.seen.isPaused == true else { return }
        queue.schedule(.operatorResumes(epoch: epoch), at: now + dice.duration(100_000...5_000_000))
    }

    /// From here on nothing fails, every place has a process, and the run must complete.
    private mutating func heal() {
        isHealed = true
        healedAt = now
        network.unclogAll(at: now)
        for index in workers.indices {
            if workers[index].isAlive {
                // A banned worker is started again by its operator, under a new name.
                if workers[index].strikeCount > 0 { killWorker(index, restartingAfter: .seconds(1)) }
            } else {
                queue.schedule(.workerStarts(index), at: now + .seconds(1))
            }
        }
        if coordinator == nil { queue.schedule(.coordinatorStarts, at: now + .seconds(1)) }
    }
}

extension Array {
    fileprivate func randomElement(_ dice: inout SimulationDice) -> Element? { dice.element(of: self) }
}
