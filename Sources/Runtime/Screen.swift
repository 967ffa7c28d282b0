// What the person in front of a run sees: the live view on a terminal, plain lines elsewhere.

import Cluster
import Foundation
import Rollouts
import Telemetry

/// Loop thread only.
package final class Screen {
    private let live: LiveView
    private var view: RunView
    private let quiet: Bool
    private let startedAt = MonotonicTime.now
    /// When the steps of this process began, and from which one: the remaining time is told from these.
    private var firstStep: (step: Int, at: MonotonicTime)?

    package init(options: RunOptions, run: String, plain: Bool, quiet: Bool) {
        live = LiveView(isPlain: plain)
        view = RunView(run: run, totalSteps: options.schedule.steps)
        self.quiet = quiet
    }

    package func close() { live.finish() }

    package func show(_ metrics: StepMetrics) {
        view.take(metrics)
        remember(step: metrics.step)
        if !quiet { live.stepTrained(view) }
    }

    package func show(_ report: EvaluationReport) {
        view.take(report)
        if !quiet, let heldOut = view.heldOut { live.evaluated(heldOut) }
    }

    package func show(_ status: CoordinatorStatus, at now: MonotonicTime) {
        view.step = status.step
        view.phase = status.phase
        view.groupsDone = status.groupsDone
        view.groupsNeeded = status.groupsNeeded
        view.workers = WorkerRole.allCases.map { role in
            RunView.WorkerCount(role, status.workers.count { $0.isReachable && $0.roles.contains(role) })
        }
        view.elapsedSeconds = (now - startedAt).inSeconds
        view.remainingSeconds = remaining(step: status.step, at: now)
        if !quiet { live.update(view) }
    }

    /// Warnings and errors are printed; the rest shows in the live view alone.
    package func show(_ note: Note) {
        view.note = note
        switch note.level {
        case .warning, .error: live.print("\(note.level == .error ? "error" : "warning"): \(note.text)")
        case .info: if !quiet { live.update(view) }
        case .debug: break
        }
    }

    /// A line that stays.
    package func say(_ line: String) { if !quiet { live.print(line) } }

    private func remember(step: Int) {
        if let first = firstStep, first.step <= step { return }
        firstStep = (step, .now)
    }

    private func remaining(step: Int, at now: MonotonicTime) -> Double? {
        guard let first = firstStep, step > first.step else { return nil }
        return (now - first.at).inSeconds / Double(step - first.step) * Double(view.totalSteps - step)
    }
}
