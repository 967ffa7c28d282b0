// Where a worker's work is done: the loops know this protocol, not the engine behind it.

import Rollouts

/// Owns all tensors of a worker. Every method is called on the compute thread.
package protocol Workbench: AnyObject {
    /// Called before anything else, and again when the welcome changed. Within the same run (same name, options and
    /// bundle: its coordinator restarted) policies, learner and work in hand stay; another run voids them.
    /// - Parameter bundle: the model's shape and tokenizer, verified bytes.
    func configure(_ welcome: Welcome, bundle: [UInt8], blobDirectory: String) throws
    /// Takes a policy whose blobs are in the blob directory, and returns the hash it computed over the weights.
    func load(_ manifest: PolicyManifest) throws -> Digest
    /// The next training starts from the policy held, with the optimizer state of this manifest (or a fresh one).
    func restartLearner(_ manifest: PolicyManifest)
    /// Queues work; cheap.
    func start(_ lease: LeaseIdentifier, _ order: WorkOrder)
    func cancel(_ lease: LeaseIdentifier)
    /// Nothing is queued or in progress: the compute thread may sleep.
    var isIdle: Bool { get }
    /// Does a bounded slice of work (one decode step, one group's verification, one training step) and reports
    /// what came of it, possibly several times.
    func advance(report: (WorkOutcome) -> Void)
}

package enum WorkOutcome: Sendable {
    case progress(LeaseIdentifier, unitsDone: UInt64)
    /// `blobs` are in the worker's blob directory and must reach the coordinator before the report does.
    case finished(LeaseIdentifier, WorkReport, blobs: [BlobReference])
    /// Text sampled so far (conversations only).
    case partialText(LeaseIdentifier, String)
}
