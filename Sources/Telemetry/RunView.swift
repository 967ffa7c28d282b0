// What the screen shows of a run: plain values, filled by the coordinator's shell.

import Cluster
import Rollouts

package struct RunView: Equatable, Sendable {
    package var run = ""
    /// The last trained step.
    package var step = 0
    package var totalSteps = 0
    /// What is going on: "sampling".
    package var phase = ""
    /// Groups of the phase that have ended, of how many; shown when there are any.
    package var groupsDone = 0
    package var groupsNeeded = 0
    package var elapsedSeconds: Double?
    /// Nil until it can be told.
    package var remainingSeconds: Double?

    // Of the last trained step.
    package var reward: Double?
    package var accuracy: Double?
    /// Nats per token.
    package var kl: Double?
    package var tokensPerSecond: Double?
    package var completionTokensMean: Double?
    package var truncatedShare: Double?

    /// Before training.
    package var heldOutBase: HeldOut?
    /// After the last evaluated step.
    package var heldOut: HeldOut?

    package var workers: [WorkerCount] = []
    package var note: Note?

    package struct HeldOut: Equatable, Sendable {
        package var step: Int
        package var right: Int
        package var judged: Int
        package init(step: Int, right: Int, judged: Int) {
            self.step = step
            self.right = right
            self.judged = judged
        }
        /// Nil when nothing was judged.
        package var accuracy: Double? { judged == 0 ? nil : Double(right) / Double(judged) }
    }

    package struct WorkerCount: Equatable, Sendable {
        package var role: WorkerRole
        package var count: Int
        package init(_ role: WorkerRole, _ count: Int) {
            self.role = role
            self.count = count
        }
    }

    package init(run: String = "", totalSteps: Int = 0) {
        self.run = run
        self.totalSteps = totalSteps
    }

    /// Shows a trained step.
    package mutating func take(_ metrics: StepMetrics) {
        step = metrics.step
        reward = metrics["reward_mean"]
        accuracy = metrics["accuracy"]
        kl = metrics["kl_mean"]
        tokensPerSecond = metrics["rollout_tokens_per_second"]
        completionTokensMean = metrics["completion_tokens_mean"]
        truncatedShare = metrics["truncated_share"]
    }

    /// Shows an evaluation; that of step 0 is the base to compare with.
    package mutating func take(_ report: EvaluationReport) {
        let found = HeldOut(step: report.step, right: report.right, judged: report.right + report.wrong)
        if report.step == 0 { heldOutBase = found }
        heldOut = found
    }
}

/// What the terminal can show.
package struct ViewStyle: Equatable, Sendable {
    package var hasColor: Bool
    package var hasUnicode: Bool
    package init(hasColor: Bool, hasUnicode: Bool) {
        self.hasColor = hasColor
        self.hasUnicode = hasUnicode
    }

    package static let plain = ViewStyle(hasColor: false, hasUnicode: true)

    /// `NO_COLOR` (any value that is not empty) turns colors off; a locale that is not UTF-8 turns line drawing off.
    package init(environment: [String: String]) {
        hasColor = (environment["NO_COLOR"] ?? "").isEmpty
        let names = ["LC_ALL", "LC_CTYPE", "LANG"]
        let locale = names.compactMap { environment[$0] }.first { !$0.isEmpty } ?? ""
        let word = locale.lowercased()
        hasUnicode = word.contains("utf-8") || word.contains("utf8")
    }

    enum Ink: String {
        case bold = "1"
        case dim = "2"
        case red = "31"
        case green = "32"
        case yellow = "33"
        case cyan = "36"
    }

    func ink(_ ink: Ink, _ text: String) -> String {
        hasColor && !text.isEmpty ? "\u{1b}[\(ink.rawValue)m\(text)\u{1b}[0m" : text
    }
}
