// How much does the coordinator itself compute, beside the workers' work?

import Foundation
import Rollouts

/// Processor time of this process, all its threads, its children left out, since it was made.
package struct ProcessorUse: Equatable, Sendable {
    private let startedAt = MonotonicTime.now
    private let usedBefore = ProcessorUse.seconds

    package init() {}

    package var seconds: Double { Self.seconds - usedBefore }

    /// Of one core.
    package func share(at now: MonotonicTime) -> Double {
        let elapsed = (now - startedAt).inSeconds
        return elapsed > 0 ? seconds / elapsed : 0
    }

    /// - Parameter steps: made meanwhile.
    func words(steps: Int, at now: MonotonicTime) -> String {
        let elapsed = (now - startedAt).inSeconds
        let perStep = steps > 0 ? ", \(rounded(1000 * seconds / Double(steps))) ms a step" : ""
        return "the coordinator's own processor time: \(rounded(seconds)) s in \(rounded(elapsed)) s, "
            + "\(rounded(100 * share(at: now))) % of one core" + perStep
    }

    private func rounded(_ value: Double) -> String { String(format: "%.3g", value) }

    private static var seconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
