// What another worker makes of the same prompt: in exact arithmetic the same bits, or somebody lies.

import Rollouts

/// none → open → passed; open → contested → passed, or the group is sampled again. A check that nobody can make is
/// none again.
enum SpotCheck: Equatable, Sendable {
    case none
    /// Another worker samples the group again.
    case open
    /// It got something else; a third worker decides.
    case contested(by: String, [Completion])
    case passed

    var isOpen: Bool {
        switch self {
        case .open, .contested: true
        case .none, .passed: false
        }
    }
}

extension Coordinator {
    /// The choice is the seed's, not the workers': nobody knows beforehand who samples a group.
    func isSpotChecked(_ key: GroupKey) -> Bool {
        let share = options.cluster.spotCheck
        return share > 0 && key.purpose == .training
            && KeyedRandom.uniform(seed: options.seed, use: .spotCheck, UInt64(key.step), UInt64(key.ordinal)) < share
    }

    /// - Parameter sampler: who must not check it; nil: not known any more.
    mutating func openCheck(_ prompt: Prompt, sampledBy sampler: String?) {
        guard isSpotChecked(prompt.key) else { return }
        changeGroup(prompt.key) { batch, ordinal in batch.groups[ordinal].check = .open }
        rollouts.addCheck(assignment(for: prompt), excluding: sampler.map { [Membership.account(of: $0)] } ?? [])
    }

    /// Checks that nobody here could make are let go, so that a run with one sampler goes on. A contested one stays
    /// open: of two answers one is a lie.
    mutating func advanceChecks() {
        // Two accounts at most are excluded from a check.
        guard rollouts.book.checkCount > 0, membership.samplerAccountCount <= 2 else { return }
        for index in rollouts.book.slotsInOrder.reversed() where rollouts.book.units[index].isCheck {
            let unit = rollouts.book.units[index]
            let hasCandidate = membership.workers.contains { worker in
                worker.isSampler && !worker.isDraining && !unit.excluded.contains(Membership.account(of: worker.name))
            }
            if unit.holder == nil, !hasCandidate, group(unit.key)?.check == .open { skipCheck(index) }
        }
    }

    mutating func skipCheck(_ index: Int) {
        let unit = rollouts.book.remove(index)
        counters.spotCheckSkippedCount += 1
        note(.debug, "\(unit.key.words) is not checked: nobody else can sample it")
        changeGroup(unit.key) { batch, ordinal in batch.groups[ordinal].check = .none }
    }

    /// A usable answer to a check.
    mutating func takeCheck(
        _ index: Int, _ lease: LeaseIdentifier, _ completions: [Completion], from worker: String
    ) {
        let unit = rollouts.book.units[index]
        let key = unit.key
        // What is made durable comes before it.
        defer { send(.acknowledge(lease: lease), toWorker: worker) }
        membership.update(worker) { $0.restUntil = nil }
        guard let group = group(key) else { preconditionFailure("\(key.words) is checked, but nobody tracks it") }
        counters.spotCheckCount += 1
        cancelOther(unit.holder, than: lease)
        if case .contested(let second, let other) = group.check {
            rollouts.book.remove(index)
            return decide(group, against: second, other, by: worker, completions)
        }
        if completions == group.completions {
            rollouts.book.remove(index)
            return changeGroup(key) { batch, ordinal in batch.groups[ordinal].check = .passed }
        }
        rollouts.book.release(index)
        // Late answers of the second worker are not the third one's.
        rollouts.book.forgetFormerLeases(index)
        rollouts.book.change(index) { $0.excluded.append(Membership.account(of: worker)) }
        changeGroup(key) { batch, ordinal in batch.groups[ordinal].check = .contested(by: worker, completions) }
        fault(
            .spotCheckDiffers,
            "`\(worker)` samples \(key.words) otherwise than \(group.sampler.map { "`\($0)`" } ?? "it is stored"); "
                + "a third worker decides", of: worker, lease: lease)
    }

    /// Two of three agree, or nobody does.
    private mutating func decide(
        _ group: TrackedGroup, against second: String, _ other: [Completion], by third: String,
        _ completions: [Completion]
    ) {
        let key = group.prompt.key
        if completions == group.completions {
            changeGroup(key) { batch, ordinal in batch.groups[ordinal].check = .passed }
            return expel(second, because: "samples \(key.words) otherwise than two others")
        }
        guard completions == other else {
            sampleAgain(group, of: key.step, because: "sampled in three ways", disputed: [])
            return pause(.spotCheck(key, workers: [group.sampler, second, third].compactMap(\.self)))
        }
        abandonUnits(of: key)
        persist(.groupDropped(key, reason: "two others sample it otherwise"))
        persist(.completionsAccepted(group.prompt, other))
        changeGroup(key) { batch, ordinal in
            batch.groups[ordinal].completions = other
            batch.groups[ordinal].verdicts = []
            batch.groups[ordinal].sampler = second
            batch.groups[ordinal].state = .verifying
            batch.groups[ordinal].check = .passed
        }
        verification.add(group.prompt, other)
        if let sampler = group.sampler { expel(sampler, because: "sampled \(key.words) otherwise than two others") }
    }

    /// One lie that two others witness is enough. What else the liar sampled and nobody has trained is sampled again.
    private mutating func expel(_ liar: String, because reason: String) {
        counters.faultCount += 1
        fault(.unusableAnswer, "`\(liar)` \(reason)", of: liar)
        membership.ban(liar)
        let account = Membership.account(of: liar)
        for worker in membership.workers where Membership.account(of: worker.name) == account {
            refuse(worker.name, because: reason)
        }
        var running = gradients.shared?.step
        if case .train(let step)? = training.running?.order { running = step }
        for batch in buffer.batches where batch.step > progress.trainedStep && batch.step != running {
            for group in batch.groups
            where group.sampler.map(Membership.account) == account && group.check != .passed
                && (group.state == .verifying || group.state == .judged)
            {
                sampleAgain(group, of: batch.step, because: "its sampler `\(liar)` lied", disputed: [])
            }
        }
    }
}
