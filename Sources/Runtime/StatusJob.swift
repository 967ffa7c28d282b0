// `coordinator status`: how a run stands, from its own files.

import Cluster
import Foundation
import Rollouts
import RunStore
import Telemetry

package struct StatusJob {
    private static let faultsShown = 10

    var name: String?
    var json: Bool
    var runs: String

    /// - Parameter name: nil takes the run whose files changed last.
    package init(name: String?, json: Bool, runs: String) {
        self.name = name
        self.json = json
        self.runs = runs
    }

    package func run() throws -> Int32 {
        let directory = RunDirectory(runs: runs, name: try name ?? newest())
        guard directory.exists else {
            throw RuntimeError("there is no run `\(directory.name)` in `\(runs)/`")
        }
        let store = try RunStore(reading: directory.store)
        let live = StatusFile(path: directory.status).read()
        let running = store.writerProcess != nil
        let outcome = try store.outcome()
        let steps = try store.stepMetrics()
        let evaluations = try store.evaluations()
        if json {
            Output.line(
                jsonObject(
                    directory, live: running ? live : nil, outcome: outcome, last: steps.last,
                    evaluation: evaluations.last))
            return 0
        }
        Output.line("run \(directory.name): \(state(running: running, outcome: outcome, live: live))")
        if let last = steps.last {
            let shown = ["reward_mean", "accuracy", "completion_tokens_mean", "rollout_tokens_per_second", "seconds"]
            let values = shown.compactMap { name in last[name].map { "\(name) \(rounded($0))" } }
            Output.line("  last step \(last.step): " + values.joined(separator: ", "))
            Output.line("  weights \(last.weightsHash)")
        }
        if let evaluation = evaluations.last {
            let percent = DisplayText.percent
            let interval = wilsonInterval(right: evaluation.right, of: evaluation.right + evaluation.wrong)
            Output.line(
                "  held-out accuracy after step \(evaluation.step): \(percent(evaluation.accuracy)) "
                    + "(\(percent(interval.lowerBound)) to \(percent(interval.upperBound)))")
        }
        if running, let live { for line in workerLines(live) { Output.line(line) } }
        if let live { for line in faultLines(live) { Output.line(line) } }
        return 0
    }

    private func state(running: Bool, outcome: RunOutcome?, live: [String: Any]?) -> String {
        if running, let live {
            return "running, step \(live["step"] ?? 0) of \(live["steps"] ?? 0), \(live["phase"] ?? "")"
        }
        switch outcome {
        case .completed(let step)?: return "complete after \(step) steps"
        case .interrupted(let step)?: return "interrupted after step \(step); --resume goes on"
        case .failed(let step, let reason)?: return "stopped after step \(step): \(reason)"
        case nil: return "not running and not complete (killed?); --resume goes on"
        }
    }

    private func workerLines(_ live: [String: Any]) -> [String] {
        guard let workers = live["workers"] as? [[String: Any]] else { return [] }
        var rows = [["worker", "roles", "policy", "leases", "completions", "share", "tokens/s", "verdicts", "heard"]]
        for worker in workers {
            var name = worker["name"] as? String ?? ""
            if worker["reachable"] as? Bool == false { name += " (unreachable)" }
            if worker["draining"] as? Bool == true { name += " (draining)" }
            rows.append([
                name, (worker["roles"] as? [String] ?? []).joined(separator: "+"),
                (worker["version"] as? Int).map { "\($0)" } ?? "none", "\(worker["leases"] ?? 0)",
                "\(worker["completions"] ?? 0)", (worker["token_share"] as? Double).map(DisplayText.percent) ?? "",
                rounded(worker["tokens_per_second"] as? Double ?? 0), "\(worker["verdicts"] ?? 0)",
                "\(rounded(worker["silent_seconds"] as? Double ?? 0)) s ago",
            ])
        }
        var lines = ["  workers: \(workers.count)"]
        if !workers.isEmpty { lines += DisplayText.aligned(rows, gap: 2).map { "    " + $0 } }
        if let share = live["coordinator_processor_share"] as? Double {
            lines.append("  the coordinator itself: \(rounded(100 * share)) % of a core")
        }
        let counters = ["no_verdict_count", "released_leases", "duplicate_results", "faults"]
        lines.append("  " + counters.map { "\($0) \(live[$0] ?? 0)" }.joined(separator: ", "))
        return lines
    }

    /// The newest last; `--json` and the log have more.
    private func faultLines(_ last: [String: Any]) -> [String] {
        guard let faults = last["last_faults"] as? [[String: Any]], !faults.isEmpty else { return [] }
        let rows = faults.suffix(Self.faultsShown).map { fault -> [String] in
            let lease = (fault["lease"] as? String).map { " [\($0)]" } ?? ""
            return [
                fault["at"] as? String ?? "", "step \(fault["step"] ?? 0)", fault["kind"] as? String ?? "",
                DisplayText.printable(fault["text"] as? String ?? "") + lease,
            ]
        }
        return ["  last faults:"] + DisplayText.aligned(rows, gap: 2).map { "    " + $0 }
    }

    private func jsonObject(
        _ directory: RunDirectory, live: [String: Any]?, outcome: RunOutcome?, last: StepMetrics?,
        evaluation: EvaluationReport?
    ) -> String {
        var object = live ?? ["run": directory.name]
        object["running"] = live != nil
        object["state"] = state(running: live != nil, outcome: outcome, live: live)
        if let last {
            var metrics: [String: Any] = ["step": last.step, "weights_hash": last.weightsHash.description]
            for value in last.values where value.value.isFinite { metrics[value.name] = value.value }
            object["last_step"] = metrics
        }
        if let evaluation {
            object["heldout"] = [
                "step": evaluation.step, "right": evaluation.right, "wrong": evaluation.wrong,
                "no_verdict": evaluation.noVerdict, "accuracy": evaluation.accuracy,
            ] as [String: Any]
        }
        do {
            let data = try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys])
            return String(decoding: data, as: UTF8.self)
        } catch {
            preconditionFailure("only numbers and text are in it: \(error)")
        }
    }

    private func newest() throws(RuntimeError) -> String {
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: runs)
        } catch {
            throw RuntimeError("there is no folder `\(runs)`: nothing was run here yet")
        }
        let dated = names.compactMap { name -> (String, Date)? in
            let store = RunDirectory(runs: runs, name: name).store
            // A folder without a store is no run.
            guard let attributes = try? FileManager.default.attributesOfItem(atPath: store),  // see the line above
                let date = attributes[.modificationDate] as? Date
            else { return nil }
            return (name, date)
        }
        guard let newest = dated.max(by: { $0.1 < $1.1 }) else { throw RuntimeError("there is no run in `\(runs)/`") }
        return newest.0
    }

    private func rounded(_ value: Double) -> String { String(format: "%.4g", value) }
}
