// `coordinator evaluate`: held-out accuracy of a policy on a data file, through the same workers as a run.

import Cluster
import Foundation
import Recipes
import Rollouts
import Telemetry

package struct EvaluateJob {
    var subject: String
    var data: String
    var limit: Int
    var samples: Int
    var overrides: [String]
    var json: Bool
    var runs: String

    package init(
        subject: String, data: String, limit: Int, samples: Int, overrides: [String], json: Bool, runs: String
    ) {
        self.subject = subject
        self.data = data
        self.limit = limit
        self.samples = samples
        self.overrides = overrides
        self.json = json
        self.runs = runs
    }

    package func run() throws -> Int32 {
        guard samples >= 1, limit >= 0 else { throw RuntimeError("--samples at least 1, --limit at least 0") }
        let found = try Subject.find(subject, runs: runs)
        let folder = URL(fileURLWithPath: NSTemporaryDirectory())
            .appendingPathComponent("rookery-evaluate-\(getuid())-\(getpid())", isDirectory: true)
        defer {
            // A temporary folder of this process's own; what is left of it is the system's to clear.
            try? FileManager.default.removeItem(at: folder)  // see the line above
        }
        let options = try resolve(found)
        let session = RunSession(
            options: options, directory: RunDirectory(path: folder, name: "evaluate"),
            layout: try LocalLayout("rollout=1,verifier=1", options: options.cluster), listen: .nowhere,
            plain: true, quiet: true, asksEveryRow: true, subject: found)
        let result = try session.execute()
        switch result.outcome {
        case .completed: break
        case .interrupted: return 2
        case .failed(_, let reason): throw RuntimeError(reason)
        }
        guard let report = result.evaluations.last else {
            throw RuntimeError("no problem of \(data) could be evaluated")
        }
        show(report)
        return 0
    }

    /// The run's recipe (or the defaults) with the file as the only source, all of it held out, and no training.
    private func resolve(_ found: Subject) throws -> RunOptions {
        var options = RunOptions()
        if case .run(_, let stored, _) = found { options = stored } else {
            options.verifier.kind = .numeric
            options.verifier.extract = .lastNumber
        }
        var source = DataSource()
        // Prompt field, template and the like are kept where the run's recipe read a file itself.
        if let first = options.data.sources.first(where: { $0.path != nil }) { source = first }
        source.task = nil
        source.path = data
        options.data.sources = [source]
        options.model.pretrain = nil
        if case .model(let path) = found { options.model.path = path }
        options = try RecipeReader.apply(overrides, to: options)
        // Nothing is trained: every row of the file is asked.
        options.data.heldOutShare = 0
        options.schedule.steps = 0
        options.evaluation.everySteps = 1
        options.evaluation.prompts = limit == 0 ? Int(Int32.max) : limit
        options.evaluation.samplesPerPrompt = samples
        options.checkpoint.everySteps = 0
        return options
    }

    private func show(_ report: EvaluationReport) {
        let judged = report.right + report.wrong
        let interval = wilsonInterval(right: report.right, of: judged)
        if json {
            Output.line(
                JSONText.object([
                    ("right", .integer(report.right)), ("wrong", .integer(report.wrong)),
                    ("no_verdict", .integer(report.noVerdict)), ("accuracy", .number(report.accuracy)),
                    ("accuracy_low", .number(interval.lowerBound)), ("accuracy_high", .number(interval.upperBound)),
                    ("completion_tokens_mean", .number(report.completionTokensMean)),
                ]))
            return
        }
        let percent = DisplayText.percent
        Output.line(
            "\(report.right) of \(judged) right: \(percent(report.accuracy)), 95 % interval "
                + "\(percent(interval.lowerBound)) to \(percent(interval.upperBound)); "
                + "\(report.noVerdict) without a verdict; "
                + String(format: "%.1f tokens a completion", report.completionTokensMean))
    }
}
