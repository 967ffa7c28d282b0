// Does a run's store give back exactly what was put in?

import Cluster
import Foundation
import GRDB
import Rollouts
import Testing

@testable import RunStore

@Suite struct `A run store` {
    @Test func `gives every record back in order, after reopening too`() throws {
        let folder = try Folder()
        do {
            let store = try RunStore(path: folder.store)
            try store.append(everyRecord)
            #expect(try store.records() == everyRecord)
        }
        #expect(try RunStore(path: folder.store).records() == everyRecord)
    }

    @Test func `gives the same records back whether they came one by one or together`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        for record in everyRecord { try store.append([record]) }
        #expect(try store.records() == everyRecord)
    }

    @Test func `answers what the coordinator and its status ask`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store, clock: { 1000 })
        #expect(try store.latestCheckpoint() == nil)
        #expect(try store.outcome() == nil)
        #expect(try store.recipe() == nil)
        try store.append(everyRecord)
        #expect(try store.latestCheckpoint()?.step == 1)
        #expect(try store.checkpoints().map(\.step) == [0, 1])
        #expect(try store.stepMetrics() == [metrics(1)])
        #expect(try store.evaluations() == [evaluation(0), evaluation(1)])
        #expect(try store.outcome() == .failed(step: 1, reason: "no learner"))
        #expect(try store.createdAt() == 1000)
        let groups = try store.acceptedGroups(ofStep: 1)
        #expect(groups.map(\.prompt.key) == [key(1, 0), key(1, 1)])
        #expect(groups[0].completions == completions())
        #expect(groups[0].verdicts == verdicts())
        #expect(groups.map(\.dropReason) == [nil, "all rewards equal"])
        #expect(try store.acceptedGroups(ofStep: 2).map(\.verdicts) == [nil])
        #expect(try store.groups(ofStep: 1, purpose: .evaluation).count == 1)
        let stay = WorkerStay(
            name: "host-1", host: "host", roles: [.rollout, .learner], joinedAt: 1000, leftAt: 1000, reason: "goodbye",
            isPresent: false)
        #expect(try store.workers() == [stay])
    }

    @Test func `keeps not-a-number and infinity in metrics`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        try store.append([trained(1, reward: .nan)])
        let values = try store.stepMetrics()[0]
        #expect(values["reward_mean"]?.isNaN == true)
        #expect(values["kl"] == -.infinity)
    }

    @Test func `keeps the recipe to the last bit of the seed`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        var options = RunOptions()
        options.seed = .max
        options.optimizer.learningRate = 1.0 / 3
        options.model.initialise = ModelInitialisation()
        try store.storeRecipe("seed: 1\n", options: options)
        let recipe = try #require(try store.recipe())
        #expect(recipe.yaml == "seed: 1\n")
        #expect(recipe.options == options)
    }

    @Test func `counts its openings`() throws {
        let folder = try Folder()
        for expected in 0..<3 {
            #expect(try RunStore(path: folder.store).leaseEpoch() == UInt64(expected))
        }
        #expect(try RunStore(reading: folder.store).leaseEpoch() == 3)
    }

    @Test func `shows a worker of an earlier start as gone`() throws {
        let folder = try Folder()
        let joined = Cluster.Record.workerJoined(name: "a", host: "h", roles: [.verifier])
        try RunStore(path: folder.store).append([joined])
        let store = try RunStore(path: folder.store)
        #expect(try store.workers().map(\.isPresent) == [false])
        try store.append([joined])
        #expect(try store.workers().map(\.isPresent) == [false, true])
    }

    @Test func `commits with a synced write-ahead log`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        let mode = try store.queue.inDatabase { try String.fetchOne($0, sql: "PRAGMA journal_mode") }
        let synchronous = try store.queue.inDatabase { try Int.fetchOne($0, sql: "PRAGMA synchronous") }
        #expect(mode == "wal")
        #expect(synchronous == 2)
    }
}

@Suite struct `A record that comes again` {
    @Test func `changes nothing when it is the same`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        try store.append(everyRecord)
        try store.append([.completionsAccepted(prompt(key(1, 0)), completions())])
        #expect(try store.records() == everyRecord)
    }

    @Test func `is refused when completions differ, in one bit too`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        try store.append([.completionsAccepted(prompt(key(3, 4)), completions())])
        var other = completions()
        other[1].policyLogProbs[0] = other[1].policyLogProbs[0].nextUp
        let error = #expect(throws: RunStoreError.self) {
            try store.append([.completionsAccepted(prompt(key(3, 4)), other)])
        }
        #expect(
            error?.description
                == "\(folder.store): training group 4 of step 3: other completions are stored under this name: "
                + "sampling it again did not give the same tokens")
        #expect(try store.acceptedGroups(ofStep: 3).map(\.completions) == [completions()])
    }

    @Test func `is refused when a step trained again has other weights, and the whole transaction with it`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        try store.append([trained(1), trained(2)])
        try store.rewind(toStep: 1)
        let error = #expect(throws: RunStoreError.self) {
            try store.append([.evaluated(evaluation(2)), trained(2, hash: 0xcd)])
        }
        #expect(
            error?.description.contains("step 2: training it again gave other weights (stored abababababab") == true)
        #expect(try store.evaluations().isEmpty)
        try store.append([trained(2, reward: 0.75)])
        #expect(try store.stepMetrics() == [metrics(1), metrics(2, reward: 0.75)])
    }

    @Test func `replaces an evaluation and verdicts`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        try store.append([.evaluated(evaluation(0, right: 1)), .completionsAccepted(prompt(key(1, 0)), completions())])
        try store.append([.verdictsAccepted(key(1, 0), [.noVerdict("a"), .noVerdict("b")])])
        try store.append([.evaluated(evaluation(0, right: 2)), .verdictsAccepted(key(1, 0), verdicts())])
        #expect(try store.evaluations() == [evaluation(0, right: 2)])
        #expect(try store.acceptedGroups(ofStep: 1)[0].verdicts == verdicts())
    }

    @Test func `takes a dropped group up again`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        let accepted = Cluster.Record.completionsAccepted(prompt(key(1, 0)), completions())
        try store.append([accepted, .groupDropped(key(1, 0), reason: "r"), accepted])
        #expect(try store.records() == [accepted])
    }

    @Test func `takes a dropped group up again with other completions, and another one not`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        var other = completions()
        other[0].tokens[0] += 1
        other[0].text += "!"
        let first = Cluster.Record.completionsAccepted(prompt(key(1, 0)), completions())
        let second = Cluster.Record.completionsAccepted(prompt(key(1, 0)), other)
        try store.append([first])
        #expect(throws: RunStoreError.self) { try store.append([second]) }
        try store.append([.verdictsAccepted(key(1, 0), verdicts()), .groupDropped(key(1, 0), reason: "r"), second])
        #expect(try store.records() == [second])
    }

    @Test func `of verdicts without a group is refused`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        let error = #expect(throws: RunStoreError.self) { try store.append([.verdictsAccepted(key(1, 0), [])]) }
        #expect(error?.description.hasSuffix("verdicts for a group whose completions were never stored") == true)
    }
}

@Suite struct `Going back` {
    @Test func `hides later steps, evaluations and checkpoints, and keeps groups and policies`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        let accepted = Cluster.Record.completionsAccepted(prompt(key(3, 0)), completions())
        try store.append([
            trained(1), .evaluated(evaluation(1)), checkpointed(1), trained(2), accepted, .evaluated(evaluation(2)),
            checkpointed(2), .finished(.completed(step: 2)),
        ])
        try store.rewind(toStep: 1)
        #expect(try store.stepMetrics().map(\.step) == [1])
        #expect(try store.evaluations().map(\.step) == [1])
        #expect(try store.latestCheckpoint()?.step == 1)
        #expect(try store.outcome() == nil)
        #expect(
            try store.records() == [trained(1), .evaluated(evaluation(1)), checkpointed(1), trained(2), accepted])
    }

    @Test func `skips a checkpoint that does not verify`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        try store.append([checkpointed(0), checkpointed(5)])
        try store.removeCheckpoint(step: 5)
        #expect(try store.latestCheckpoint()?.step == 0)
    }

    @Test func `after compacting needs the tokens again, and takes them`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        let all: [Cluster.Record] = [
            .completionsAccepted(prompt(key(1, 0)), completions()),
            .completionsAccepted(prompt(key(1, 0, .evaluation)), completions()),
            .completionsAccepted(prompt(key(2, 0)), completions()),
        ]
        try store.append(all)
        try store.append([.verdictsAccepted(key(1, 0), verdicts())])
        try store.compact(throughStep: 1)
        #expect(try store.records() == Array(all[1...]))
        let compacted = try store.acceptedGroups(ofStep: 1)[0]
        #expect(compacted.isCompacted)
        #expect(compacted.completions.map(\.text) == completions().map(\.text))
        #expect(compacted.completions.map(\.tokens) == [[], []])
        #expect(compacted.verdicts == verdicts())
        try store.append([all[0]])
        #expect(try store.records() == [all[1], all[2], all[0]])
        #expect(throws: RunStoreError.self) {
            try store.append([.completionsAccepted(prompt(key(1, 0)), completions(text: "6"))])
        }
    }
}

@Suite struct `Token bytes` {
    @Test func `are little-endian and come back`() {
        #expect(Array(TokenBlob.bytes([Int32(1), -2])) == [1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff])
        #expect(TokenBlob.integers([1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff], as: Int32.self) == [1, -2])
        #expect(TokenBlob.integers([1, 0, 0], as: Int32.self) == nil)
    }

    @Test func `of versions are runs`() {
        let versions = [5, 5, 5, 6].map { PolicyVersion($0) }
        #expect(TokenBlob.runs(versions) == [5, 3, 6, 1])
        #expect(TokenBlob.versions([5, 3, 6, 1], limit: 4) == versions)
        #expect(TokenBlob.versions([5, 3, 6, 1], limit: 3) == nil)
        #expect(TokenBlob.versions([.max, .max], limit: 1000) == nil)
        #expect(TokenBlob.versions([5], limit: 1000) == nil)
    }

    @Test func `that differ in one bit have other checksums, wherever it is`() {
        let bytes = (0..<29).map { UInt8(truncatingIfNeeded: $0 &* 37) }
        func checksum(_ bytes: [UInt8]) -> UInt64 { bytes.withUnsafeBytes { TokenBlob.checksum($0[...]) } }
        #expect(checksum([]) == 0xcbf2_9ce4_8422_2325)
        // Fewer than eight bytes: test vectors of FNV-1a's authors.
        #expect(checksum(Array("a".utf8)) == 0xaf63_dc4c_8601_ec8c)
        #expect(checksum(Array("foobar".utf8)) == 0x8594_4171_f739_67e8)
        var found: Set<UInt64> = [checksum(bytes)]
        for bit in 0..<8 * bytes.count {
            var other = bytes
            other[bit / 8] ^= 1 << UInt8(bit % 8)
            found.insert(checksum(other))
        }
        #expect(found.count == 8 * bytes.count + 1)
    }
}

@Suite struct `A group's bytes` {
    @Test func `come back, empty and with every value of a float`() {
        let odd = Completion(
            index: 0, tokens: [1, -1], sampledLogProbs: [-0.0, .signalingNaN], policyLogProbs: [.infinity, 0],
            entropies: [.leastNonzeroMagnitude, -.nan], versions: [PolicyVersion(1), PolicyVersion(2)], text: "",
            finish: .length)
        let bytes = [UInt8](GroupBlob.bytes([odd]))
        let (found, isDamaged) = GroupBlob.completions(bytes)
        #expect(!isDamaged)
        #expect(found.count == 1)
        #expect(found.first?.sampledLogProbs.map(\.bitPattern) == odd.sampledLogProbs.map(\.bitPattern))
        #expect(found.first?.entropies.map(\.bitPattern) == odd.entropies.map(\.bitPattern))
        #expect([UInt8](GroupBlob.bytes(found)) == bytes)
        #expect(GroupBlob.completions([]) == ([], false))
        #expect(GroupBlob.verdicts([UInt8](GroupBlob.bytes([Verdict]()))) == [])
        #expect(GroupBlob.verdicts([UInt8](GroupBlob.bytes(verdicts()))) == verdicts())
    }

    @Test func `that are cut off or differ in one bit are damaged, and what is before is read`() {
        let bytes = [UInt8](GroupBlob.bytes(completions()))
        let first = GroupBlob.bytes([completions()[0]]).count
        for length in 1..<bytes.count where length != first {
            let (found, isDamaged) = GroupBlob.completions(Array(bytes[..<length]))
            #expect(isDamaged)
            #expect(found == (length < first ? [] : [completions()[0]]))
        }
        for bit in 0..<8 * bytes.count {
            var other = bytes
            other[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(GroupBlob.completions(other).isDamaged, "bit \(bit)")
        }
        let judged = [UInt8](GroupBlob.bytes(verdicts()))
        for bit in 0..<8 * judged.count {
            var other = judged
            other[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(GroupBlob.verdicts(other) == nil, "bit \(bit)")
        }
        for length in 0..<judged.count { #expect(GroupBlob.verdicts(Array(judged[..<length])) == nil) }
    }
}
