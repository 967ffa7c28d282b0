// One run by the real programs, from outside: its metrics, its time, the memory of all its processes.

import Foundation
import Measurement
import Rollouts

struct WholeRun {
    static let groups = 8
    static let groupSize = 8
    /// Of every prompt under SmolLM2's chat template.
    static let promptTokens = 44
    private static let recipe = "benchmarks/recipes/step.yaml"

    let coordinator: String
    let options: CommonOptions
    let precision: Precision
    let steps: Int
    let newTokens: Int

    func measure(seed: Int) throws -> Readings {
        let folder = NSTemporaryDirectory() + "rookery-benchmark-run-\(getpid())-\(seed)"
        // A leftover in the temporary folder harms nobody.
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var process = MeasuringProcess(
            executable: coordinator,
            arguments: [
                "start", Self.recipe, "--name", "step", "--runs", folder, "--plain", "--set", "seed=\(seed)", "--set",
                "model.path=\(options.model)", "--set", "model.precision=\(precision.rawValue)", "--set",
                "schedule.steps=\(steps)", "--set", "rollout.max_new_tokens=\(newTokens)",
            ])
        // Workers take all processors they may run on.
        if options.threads < ProcessInfo.processInfo.activeProcessorCount {
            process = MeasuringProcess(
                executable: "/usr/bin/taskset",
                arguments: ["--cpu-list", "0-\(options.threads - 1)", process.executable] + process.arguments)
        }
        var peak = 0.0
        let start = monotonicNanoseconds()
        _ = try process.output { identifier in peak = max(peak, ProcessMemory.treeBytes(root: identifier)) }
        let wall = seconds(since: start)
        var readings = try Self.readings(metrics: "\(folder)/step/metrics.jsonl")
        guard readings["seconds"].count == steps else {
            throw BenchmarkError("the run has metrics of \(readings["seconds"].count) steps, \(steps) expected")
        }
        readings["wall"] = [wall]
        readings["peak_bytes"] = [peak]
        return readings
    }

    /// One line a step: the fields that are used here.
    private struct Line: Decodable {
        var step: Int
        var reward_mean, completion_tokens_mean, seconds, seconds_rollout, seconds_learn, tokens_learned: Double?
        var importance_ratio_max: Double?
    }

    static func readings(metrics path: String) throws -> Readings {
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let lines = try text.split(separator: "\n").map { try JSONDecoder().decode(Line.self, from: Data($0.utf8)) }
            .filter { $0.reward_mean != nil }
        let completions = Double(groups * groupSize)
        let lengths = lines.compactMap(\.completion_tokens_mean)
        let times = lines.compactMap(\.seconds)
        let rewards = lines.compactMap(\.reward_mean)
        guard let first = rewards.first, lengths.count == rewards.count, times.count == rewards.count else {
            throw BenchmarkError("`\(path)` lacks a step's reward_mean, completion_tokens_mean or seconds")
        }
        let tokens = lengths.map { $0 * completions }
        let last = rewards.suffix(3)
        return Readings([
            "seconds": times, "reward": rewards, "length": lengths,
            "completion_tokens": tokens, "tokens_learned": lines.compactMap(\.tokens_learned),
            "seconds_rollout": lines.compactMap(\.seconds_rollout),
            "seconds_learn": lines.compactMap(\.seconds_learn),
            "importance_ratio_max": [lines.compactMap(\.importance_ratio_max).max() ?? 0],
            "completion_tokens_per_second": [tokens.reduce(0, +) / times.reduce(0, +)],
            "reward_first_step": [first], "reward_last_three_steps": [last.reduce(0, +) / Double(last.count)],
            "length_first_step": [lengths[0]], "length_last_step": [lengths[lengths.count - 1]],
        ])
    }
}
