// `coordinator start`: from a recipe to a finished run.

import Cluster
import Datasets
import Foundation
import Recipes
import Rollouts
import RunStore
import Telemetry
import Transport
import Weights

package struct StartJob {
    var recipe: String
    var name: String?
    var overrides: [String]
    var local: String?
    var listen: [String]
    var resume: Bool
    var encrypt: Bool
    var insecure: Bool
    var plain: Bool
    var runs: String

    package init(
        recipe: String, name: String?, overrides: [String], local: String?, listen: [String], resume: Bool,
        encrypt: Bool, insecure: Bool, plain: Bool, runs: String
    ) {
        self.recipe = recipe
        self.name = name
        self.overrides = overrides
        self.local = local
        self.listen = listen
        self.resume = resume
        self.encrypt = encrypt
        self.insecure = insecure
        self.plain = plain
        self.runs = runs
    }

    /// - Returns: the exit status.
    package func run() throws -> Int32 {
        var options = try RecipeReader.load(path: recipe, overrides: overrides)
        if let name { options.name = name }
        try RunDirectory.check(name: options.name)
        let layout = try LocalLayout(local, options: options.cluster, shards: options.optimizer.shards)
        let listening = try ListenPlan(listen, encrypt: encrypt, insecure: insecure)
        if layout.isEmpty && listening.isEmpty {
            throw RuntimeError("with --local none nobody can work: give --listen, so that workers can join")
        }
        let directory = RunDirectory(runs: runs, name: options.name)
        if directory.exists {
            if let finished = try finishedOutcome(directory, stepCount: options.schedule.steps) { return finished }
            guard resume else {
                throw RuntimeError(
                    "the run `\(options.name)` exists: go on with --resume, give another --name, "
                        + "or delete \(directory.shown)/")
            }
            options = try resumedOptions(options, directory)
        }
        return try RunSession(
            options: options, directory: directory, layout: layout, listen: listening, plain: plain
        ).run()
    }

    /// A run that is complete is shown again, not run again, unless it is to have more steps.
    private func finishedOutcome(_ directory: RunDirectory, stepCount: Int) throws -> Int32? {
        let store = try RunStore(reading: directory.store)
        guard case .completed(let step)? = try store.outcome() else { return nil }
        if resume, stepCount > step { return nil }
        try UnsaidReports.write(ofComplete: directory)
        Output.line(
            "The run `\(directory.name)` is complete: give it more steps (--resume --set schedule.steps=N), "
                + "or start it again under another --name.")
        for line in beforeAndAfter(try store.evaluations()) { Output.line(line) }
        return 0
    }

    /// A resumed run keeps its recipe; only what does not change the steps that are trained may differ. Another number
    /// of steps may: a learning rate that decays does so towards the new end from here on.
    private func resumedOptions(_ given: RunOptions, _ directory: RunDirectory) throws -> RunOptions {
        let kept = try Subject.readOptions(directory)
        var comparable = given
        comparable.cluster = kept.cluster
        comparable.checkpoint = kept.checkpoint
        comparable.evaluation = kept.evaluation
        comparable.schedule.steps = kept.schedule.steps
        guard comparable == kept else {
            throw RuntimeError(
                "the recipe differs from the one the run `\(directory.name)` was started with "
                    + "(\(directory.shown)/recipe.yaml): \(StartJob.difference(comparable, kept)); resume with "
                    + "that recipe, or start another --name; only schedule.steps, evaluation, checkpoint and cluster "
                    + "may change")
        }
        let trained = try RunStore(reading: directory.store).stepMetrics().last?.step ?? 0
        guard given.schedule.steps >= trained else {
            throw RuntimeError(
                "schedule.steps is \(given.schedule.steps), but the run `\(directory.name)` has trained \(trained) "
                    + "steps: give at least as many")
        }
        return given
    }

    /// The first line in which two recipes differ.
    static func difference(_ given: RunOptions, _ kept: RunOptions) -> String {
        func lines(_ options: RunOptions) -> [String] {
            RecipeReader.render(options).split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
        }
        let pair = zip(lines(given), lines(kept)).first { $0 != $1 }
        return pair.map { "expected `\($0.1)`, found `\($0.0)`" } ?? "one has keys that the other has not"
    }
}

/// `rollout=N,verifier=N,learner=N` or `none`.
package struct LocalLayout: Equatable, Sendable {
    package var rollout: Int
    package var verifier: Int
    package var learner: Int

    /// - Parameter shards: of a step's gradient: so many learners can share it.
    package init(_ text: String?, options: ClusterOptions, shards: Int = 1) throws(RuntimeError) {
        rollout = options.localRollout
        verifier = options.localVerifier
        learner = options.localLearner
        guard let text else { return }
        (rollout, verifier, learner) = (0, 0, 0)
        if text == "none" { return }
        for part in text.split(separator: ",") {
            let pair = part.split(separator: "=", maxSplits: 1)
            guard pair.count == 2, let count = Int(pair[1]), (0...64).contains(count) else {
                throw RuntimeError(
                    "--local \(text): `\(part)` is not ROLE=NUMBER (0 to 64), e.g. rollout=2,verifier=1,learner=1")
            }
            switch pair[0] {
            case "rollout": rollout = count
            case "verifier": verifier = count
            case "learner": learner = count
            default: throw RuntimeError("--local \(text): unknown role `\(pair[0])`: rollout, verifier or learner")
            }
        }
        guard learner <= shards else {
            throw RuntimeError(
                "--local \(text): \(shards == 1 ? "one learner" : "\(shards) learners") at most, as the recipe's "
                    + "optimizer.shards says")
        }
    }

    package var isEmpty: Bool { rollout + verifier + learner == 0 }

    /// Roles and threads of each process. Sampling and learning take turns (lag 0), so each may use every core.
    package func processes(cores: Int) -> [(roles: [WorkerRole], threads: Int)] {
        var list: [(roles: [WorkerRole], threads: Int)] = []
        for _ in 0..<rollout { list.append(([.rollout], max(1, cores / max(1, rollout)))) }
        for _ in 0..<verifier { list.append(([.verifier], 1)) }
        for _ in 0..<learner { list.append(([.learner], max(1, cores / max(1, learner)))) }
        return list
    }
}
