// The ground of one chaos command: its folder, its recipe, its programs, and the run that nobody disturbs.

import Foundation
import Recipes
import Rollouts
import Runtime
import Transport

package struct ChaosSettings: Sendable {
    package var recipe: String
    package var seed: UInt64
    package var steps: Int
    package var lag: Int?
    package var overrides: [String]
    package var keeps: Bool

    package init(recipe: String, seed: UInt64, steps: Int, lag: Int?, overrides: [String], keeps: Bool) {
        self.recipe = recipe
        self.seed = seed
        self.steps = steps
        self.lag = lag
        self.overrides = overrides
        self.keeps = keeps
    }
}

package final class ChaosGround {
    /// Of the disturbed runs: short, so that losses are noticed soon. They change no result.
    package static let lease = Duration.seconds(2)
    private static let clusterOverrides = [
        "cluster.lease_seconds=2", "cluster.heartbeat_seconds=0.2", "cluster.heartbeats_missed=5",
    ]

    package let settings: ChaosSettings
    package let programs: Programs
    package let folder: String
    package let wake: WakePipe
    private let overrides: [String]
    private let started = ContinuousClock.now
    private var processes: [OwnProcess] = []

    /// Checks the recipe before anything is started.
    package init(_ settings: ChaosSettings) throws {
        self.settings = settings
        programs = try Programs()
        var overrides = settings.overrides + ["schedule.steps=\(settings.steps)"]
        if let lag = settings.lag { overrides.append("schedule.lag=\(lag)") }
        let options = try RecipeReader.load(path: settings.recipe, overrides: overrides)
        guard options.model.precision == .bfloat16 else {
            throw FaultInjectionError(
                "`\(settings.recipe)` is in float32, where who works can change the last digits: "
                    + "give --set model.precision=bfloat16")
        }
        guard !options.schedule.inflight else {
            throw FaultInjectionError(
                "`\(settings.recipe)` changes weights between tokens, which gives no run the same bits twice: "
                    + "give --set schedule.inflight=false")
        }
        self.overrides = overrides
        wake = try WakePipe()
        Signals.install(wake: wake.descriptor)
        // Not TMPDIR: a socket's path has at most 107 bytes.
        var bytes = Array("/tmp/rookery-chaos-XXXXXX".utf8CString)
        guard mkdtemp(&bytes) != nil else { throw FaultInjectionError("cannot make a folder in /tmp") }
        folder = String(decoding: bytes.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        try FileManager.default.createDirectory(atPath: logs, withIntermediateDirectories: true)
    }

    package var runs: String { folder + "/runs" }
    package var logs: String { folder + "/logs" }
    package func metrics(of run: String) -> String { RunDirectory(runs: runs, name: run).metrics }
    package func store(of run: String) -> String { RunDirectory(runs: runs, name: run).store }
    package func record(of run: String) throws -> RunRecord { try RunRecord(path: metrics(of: run)) }

    /// What happens, for those who watch.
    package func say(_ text: String) {
        let seconds = (ContinuousClock.now - started).inSeconds
        Output.note(String(format: "%6.1f s  ", seconds) + text)
    }

    /// Ctrl-C ends the command, which then cleans up.
    package func checkInterruption() throws(FaultInjectionError) {
        if Signals.received > 0 { throw FaultInjectionError("interrupted") }
    }

    package func start(
        _ run: String, _ more: [String], inside prefix: [String] = []
    ) throws(FaultInjectionError) -> OwnProcess {
        var command = prefix + [programs.coordinator, "start", settings.recipe, "--name", run, "--runs", runs]
        command += ["--plain"] + (overrides + Self.clusterOverrides).flatMap { ["--set", $0] } + more
        return try launch("coordinator-\(run)", command)
    }

    package func launch(_ name: String, _ command: [String]) throws(FaultInjectionError) -> OwnProcess {
        let process = try OwnProcess(name, command, folder: logs)
        processes.removeAll { !$0.isRunning }
        processes.append(process)
        return process
    }

    /// Runs the recipe alone.
    package func runUndisturbed() throws -> RunRecord {
        say("the undisturbed run: \(settings.steps) steps")
        let coordinator = try start("undisturbed", [])
        while coordinator.isRunning {
            try checkInterruption()
            _ = wake.wait(timeout: .milliseconds(20))
        }
        guard coordinator.status == 0 else {
            throw FaultInjectionError(
                "the undisturbed run ended with status \(coordinator.status): see `\(coordinator.log)`")
        }
        return try record(of: "undisturbed")
    }

    /// Ends every process that is left, the coordinators' own workers included, and nobody else's.
    package func endProcesses() {
        for process in processes { process.killWithChildren() }
        processes = []
    }

    /// - Parameter keeping: whatever was asked for, because somebody will want to look.
    package func remove(keeping: Bool) {
        endProcesses()
        if settings.keeps || keeping {
            say("kept: \(folder)")
        } else {
            // What cannot be removed lies in /tmp and is harmless.
            try? FileManager.default.removeItem(atPath: folder)  // see the line above
        }
    }
}

/// The one line that a chaos command ends with.
package struct ChaosVerdict: Equatable, Sendable {
    package var undisturbed: String?
    package var disturbed: String?
    package var stepCount: Int
    /// The first thing that is not as it should be.
    package var difference: String?
    package var counts: FaultCounts

    package init(
        _ undisturbed: RunRecord, _ disturbed: RunRecord, counts: FaultCounts, failure: String?
    ) {
        self.undisturbed = undisturbed.lastHash
        self.disturbed = disturbed.lastHash
        stepCount = disturbed.steps.count
        difference = failure ?? undisturbed.difference(from: disturbed)
        self.counts = counts
        if difference == nil, undisturbed.lastHash == nil { difference = "no step was trained" }
    }

    package var isSame: Bool { difference == nil && counts.total > 0 }

    package var line: String {
        let hashes = "undisturbed \(undisturbed ?? "none"), disturbed \(disturbed ?? "none"), \(stepCount) steps"
        let faults = counts.total == 0 ? "no fault was injected" : "\(counts.total) faults (\(counts))"
        if let difference { return "different: \(hashes), \(faults): \(difference)" }
        return counts.total == 0 ? "different: nothing was tested: \(hashes), \(faults)" : "same: \(hashes), \(faults)"
    }
}
