// What went wrong lately: when, what, who.

import Rollouts

package struct Fault: Equatable, Sendable {
    package enum Kind: String, CaseIterable, Sendable {
        case disconnected
        case workerLost = "worker lost"
        /// By itself: it says why.
        case workerLeft = "worker left"
        case workerRefused = "worker refused"
        case leaseExpired = "lease expired"
        case unusableAnswer = "unusable answer"
        case rolloutFailed = "rollout failed"
        case verificationFailed = "verification failed"
        case spotCheckDiffers = "spot check differs"
        case noVerdict = "no verdict"
        case policyRefused = "policy refused"
        case trainingFailed = "training failed"
        case steppedBack = "stepped back"
        case paused
    }
    package var at: MonotonicTime
    package var kind: Kind
    /// The step in the making.
    package var step: Int
    package var worker: String?
    package var lease: LeaseIdentifier?
    package var text: String
}

/// The newest of them; older ones are in the log file.
struct FaultLog: Equatable, Sendable {
    static let limit = 64
    /// Oldest first.
    private(set) var recent: [Fault] = []

    mutating func add(_ fault: Fault) {
        if recent.count == Self.limit { recent.removeFirst() }
        recent.append(fault)
    }
}

extension Coordinator {
    /// The step that is being made; after the last one, that.
    private var currentStep: Int { min(progress.trainedStep + 1, max(progress.trainedStep, progress.stepCount)) }

    mutating func note(_ level: Note.Level, _ text: String, of worker: String? = nil, lease: LeaseIdentifier? = nil) {
        outbox.append(.note(Note(level, text, step: currentStep, worker: worker, lease: lease)))
    }

    /// A warning that is also shown among the last faults.
    mutating func fault(_ kind: Fault.Kind, _ text: String, of worker: String? = nil, lease: LeaseIdentifier? = nil) {
        note(.warning, text, of: worker, lease: lease)
        faults.add(Fault(at: now, kind: kind, step: currentStep, worker: worker, lease: lease, text: text))
    }
}

extension LeaseIdentifier {
    /// "7", or "2.7" after the run was started again twice: how many starts before, then a count.
    package var words: String {
        let epoch = rawValue >> 40
        return (epoch > 0 ? "\(epoch)." : "") + "\(rawValue & 0xFF_FFFF_FFFF)"
    }
}
