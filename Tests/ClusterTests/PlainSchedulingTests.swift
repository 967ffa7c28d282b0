// The schedulers decide as if they had looked at every worker.

import Rollouts
import Simulation
import Testing

@testable import Cluster

@Suite struct PlainSchedulingTests {
    private static let now = Samples.time(100)

    private func workers(_ dice: inout SimulationDice) -> [Worker] {
        (0..<dice.integer(1...12)).map { number in
            let name = "a\(number / 2):\(number)"
            var worker = Samples.worker(name, dice.chance(0.85) ? [.rollout] : [.learner], slots: dice.integer(1...3))
            worker.peer = dice.chance(0.9) ? Samples.peer(UInt8(number)) : nil
            worker.isDraining = dice.chance(0.1)
            let policy = Samples.policy(UInt64(dice.integer(0...3)))
            switch dice.integer(0...5) {
            case 0: worker.policy = .none
            case 1: worker.policy = .loading(policy, since: .zero)
            case 2: worker.policy = .failed(policy, retryAt: Samples.time(dice.chance(0.5) ? 99 : 101))
            default: worker.policy = .ready(policy)
            }
            if dice.chance(0.3) { worker.restUntil = Samples.time(dice.chance(0.5) ? 99 : 101) }
            return worker
        }
    }

    private func scheduler(_ dice: inout SimulationDice, _ workers: [Worker], newer: Bool) -> RolloutScheduler {
        var scheduler = RolloutScheduler()
        for ordinal in 0..<dice.integer(1...15) {
            var assignment = Samples.assignment(dice.integer(1...2), ordinal, version: UInt64(dice.integer(0...3)))
            assignment.newer = newer
            if dice.chance(0.25) {
                let excluded = dice.element(of: workers).map { [Membership.account(of: $0.name)] } ?? []
                scheduler.addCheck(assignment, excluding: excluded)
            } else {
                scheduler.add(assignment)
            }
        }
        for slot in scheduler.book.slotsInOrder {
            let avoided = workers.filter { _ in dice.chance(0.1) }.map(\.name)
            let wait = dice.chance(0.2) ? Samples.time(dice.chance(0.5) ? 99 : 101) : .zero
            scheduler.book.change(slot) { ($0.avoided, $0.notBefore) = (avoided, wait) }
        }
        return scheduler
    }

    @Test(arguments: 1...300 as ClosedRange<UInt64>) func `groups go to the same workers`(_ seed: UInt64) {
        var dice = SimulationDice(seed: seed)
        let workers = workers(&dice)
        var scheduler = scheduler(&dice, workers, newer: seed % 3 == 0)
        let reserved = dice.chance(0.3) ? dice.element(of: workers)?.name : nil
        var leases = LeaseMaker(epoch: 0, length: .seconds(9))
        // The second round finds some of the slots filled, and leases given back.
        for _ in 0..<2 {
            let expected = scheduler.plainGrants(to: workers, except: reserved, at: Self.now) {
                Samples.policy($0.rawValue)
            }
            let grants = scheduler.assign(
                to: workers, except: reserved, at: Self.now, leases: &leases
            ) { Samples.policy($0.rawValue) }
            let found = grants.map { grant in
                guard case .live(let slot) = scheduler.book.place(of: grant.lease) else { return "nowhere" }
                return "\(grant.worker) \(slot)"
            }
            #expect(found == expected)
            for slot in scheduler.book.slotsInOrder where dice.chance(0.4) { scheduler.book.release(slot) }
        }
    }

    @Test(arguments: 1...300 as ClosedRange<UInt64>) func `the same workers load the same policies`(_ seed: UInt64) {
        var dice = SimulationDice(seed: seed ^ 0x10AD)
        let workers = workers(&dice)
        var scheduler = scheduler(&dice, workers, newer: false)
        var leases = LeaseMaker(epoch: 0, length: .seconds(9))
        if dice.chance(0.5) {
            _ = scheduler.assign(
                to: workers, except: nil, at: Self.now, leases: &leases
            ) { Samples.policy($0.rawValue) }
        }
        var publication = PolicyPublication(known: [])
        for version in 0...3 as ClosedRange<UInt64> {
            publication.becomeDurable(PolicyVersion(version))
            publication.publish(Samples.policy(version), at: .zero)
        }
        let ahead = dice.chance(0.8) ? publication.newest : nil
        let kept = dice.element(of: workers)?.name
        let expected = publication.plainLoads(
            for: workers,
            idle: { $0.takesWork && $0.mayLoad(at: Self.now) && !scheduler.needsItsPolicy($0.name) && $0.name != kept },
            demand: scheduler.demand(at: Self.now), checks: scheduler.checkDemand(at: Self.now), ahead: ahead)
        let found = publication.loads(
            for: workers, holding: scheduler, isFree: { $0.name != kept }, demand: scheduler.demand(at: Self.now),
            checks: scheduler.checkDemand(at: Self.now), ahead: ahead, at: Self.now)
        #expect(found == expected)
    }
}
