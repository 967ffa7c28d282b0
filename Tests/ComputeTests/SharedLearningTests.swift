// Do several learners that share a step's gradient make the weights and the metrics of one learner alone?
@testable import Compute
import Cluster
import Engine
import Foundation
import Rollouts
import Testing
import Weights

/// Steps of one run, each made by a leading learner and helpers that hold nothing but its snapshots.
private final class Team {
    let ground = try! Ground()  // a temporary folder: the test cannot go on without it
    let leader: Host
    let helpers: [Host]
    let options: RunOptions
    private(set) var manifest: PolicyManifest
    private var attempt: UInt64 = 0

    init(helpers count: Int, _ options: RunOptions) throws {
        self.options = options
        leader = try Host(ground, options)
        // Another number of threads: no part depends on it.
        var made: [Host] = []
        for _ in 0..<count { made.append(try Host(ground, options, threads: 1)) }
        helpers = made
        manifest = ground.base
        _ = try leader.policies.load(manifest, samplingApart: false)
    }

    var reference: PolicyManifest? { options.algorithm.klCoefficient == 0 ? nil : ground.base }

    func groups(step: Int) throws -> [CompletionGroup] {
        let sampler = try Host(ground, options)
        _ = try sampler.policies.load(manifest, samplingApart: false)
        return try sampler.sample(step: step)
    }

    /// - Parameter order: which part is computed first, second, ….
    func train(_ step: Int, _ groups: [CompletionGroup], order: ([Int]) -> [Int] = { $0 }) throws -> TrainingReport {
        attempt += 1
        var assignment = TrainingAssignment(
            step: step, base: manifest.version, groupCount: groups.count, learningRate: 1e-2, checkpoint: false,
            reference: reference)
        if !helpers.isEmpty {
            assignment.groupCount = 0
            assignment.parts = try parts(step, groups, order: order)
        }
        let report = try leader.work.train(assignment, groups: helpers.isEmpty ? groups : [], progress: { _ in })
        manifest = report.manifest
        return report
    }

    func parts(_ step: Int, _ groups: [CompletionGroup], order: ([Int]) -> [Int]) throws -> [GradientPart] {
        let ranges = ShardRange.parts(of: options.optimizer.shards, count: helpers.count + 1)
        var parts: [Int: GradientPart] = [:]
        for place in order(Array(ranges.indices)) {
            let host = place == 0 ? leader : helpers[(place - 1) % helpers.count]
            if place > 0 { _ = try host.policies.load(manifest, samplingApart: false) }
            parts[place] = try host.work.gradient(
                GradientAssignment(
                    step: step, base: manifest.version, groupCount: groups.count, shards: ranges[place],
                    keep: place == 0, attempt: attempt, reference: reference),
                groups: groups, lease: LeaseIdentifier(attempt * 100 + UInt64(place)), progress: { _ in })
        }
        return ranges.indices.map { parts[$0]! }
    }
}

@Suite struct SharedLearningTests {
    private static func options(_ shards: Int, _ change: (inout RunOptions) -> Void = { _ in }) -> RunOptions {
        var options = Ground.options()
        options.lora = nil
        options.optimizer.shards = shards
        change(&options)
        return options
    }

    private static func numbers(_ report: TrainingReport) -> [StepMetrics.Value] {
        report.metrics.filter { !$0.name.hasSuffix("per_second") }
    }

    static let recipes: [(String, @Sendable (inout RunOptions) -> Void)] = [
        ("all weights", { _ in }),
        ("float32", { $0.model.precision = .float32 }),
        ("adapters", { $0.lora = Ground.options().lora }),
        ("KL in the loss", { $0.algorithm.klCoefficient = 0.1 }),
        ("KL in the reward", { ($0.algorithm.klCoefficient, $0.algorithm.klPlacement) = (0.1, .reward) }),
        ("an entropy bonus", { $0.algorithm.entropyCoefficient = 0.01 }),
        ("small passes", { $0.optimizer.tokenBudget = 300 }),
    ]

    @Test(arguments: recipes)
    func `one, two, three and four learners agree on every bit`(
        _ name: String, _ change: @Sendable (inout RunOptions) -> Void
    ) throws {
        let options = Self.options(4, change)
        let alone = try Team(helpers: 0, options)
        var reports: [TrainingReport] = []
        var batches: [[CompletionGroup]] = []
        for step in 1...3 {
            batches.append(try alone.groups(step: step))
            reports.append(try alone.train(step, batches[step - 1]))
        }
        #expect(Set(reports.map(\.manifest.weightsHash)).count == 3)
        for count in 1...3 {
            let team = try Team(helpers: count, options)
            for step in 1...3 {
                let report = try team.train(step, batches[step - 1], order: step == 2 ? { $0.reversed() } : { $0 })
                #expect(report.manifest == reports[step - 1].manifest, "\(count) helpers, step \(step)")
                #expect(Self.numbers(report) == Self.numbers(reports[step - 1]))
            }
        }
    }

    @Test func `the number of shards is a part of the result, and one shard is a plain sum`() throws {
        var hashes: Set<Digest> = []
        for shards in [1, 2, 4, 8] {
            let team = try Team(helpers: 0, Self.options(shards))
            hashes.insert(try team.train(1, try team.groups(step: 1)).manifest.weightsHash)
        }
        #expect(hashes.count == 4)
    }

    @Test func `a helper disputes a group of its shards, and the leader is as it was`() throws {
        let team = try Team(helpers: 1, Self.options(2))
        let good = try team.groups(step: 1)
        let expected = try Team(helpers: 0, Self.options(2)).train(1, good)
        var groups = good
        let last = try #require(groups.indices.last { Set(groups[$0].rewards).count == 2 })
        groups[last].completions[3].policyLogProbs[20] = groups[last].completions[3].policyLogProbs[20].nextDown
        #expect {
            _ = try team.train(1, groups)
        } throws: { error in
            guard case .disputed(let keys, _)? = error as? ComputeError else { return false }
            return keys == [groups[last].prompt.key]
        }
        #expect(try team.train(1, good).manifest == expected.manifest)
    }

    @Test func `a part that is missing, or another one's, is refused in words`() throws {
        let team = try Team(helpers: 1, Self.options(2))
        let groups = try team.groups(step: 1)
        let parts = try team.parts(1, groups, order: { $0 })
        func train(_ parts: [GradientPart]) -> String {
            do {
                _ = try team.leader.work.train(
                    TrainingAssignment(
                        step: 1, base: .base, groupCount: 0, learningRate: 1e-2, checkpoint: false, parts: parts),
                    groups: [], progress: { _ in })
                return "no error"
            } catch {
                return "\(error)"
            }
        }
        #expect(train([parts[0]]).contains("no part of the gradient has shard 1"))
        var swapped = parts[1]
        swapped.shards = parts[0].shards
        #expect(train([swapped, parts[1]]).contains("gradient_shards"))
        var lost = parts[1]
        lost.blob = nil
        #expect(train([parts[0], lost]).contains("not in this learner's memory"))
        var unnamed = parts[1]
        unnamed.sums.removeAll { $0.name == "loss" }
        #expect(train([parts[0], unnamed]).contains("`loss`"))
    }
}
