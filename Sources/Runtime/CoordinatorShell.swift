// What surrounds the coordinator's loop: a store, files, a screen, processes, an operator.

import Cluster
import Rollouts
import Transport

/// What the loop's shell does with the effects that are not messages.
package protocol CoordinatorShell: AnyObject {
    /// What makes records durable, on a thread of its own: only the loop's `CommitThread` may call it.
    var journal: any RecordJournal { get }
    /// Called before the journal has the records: what they name must be durable before they are.
    func prepare(_ records: [Record]) throws
    /// Called when they are durable, before any effect that waited for them.
    func recorded(_ records: [Record]) throws
    func drawPrompts(
        _ purpose: Purpose, step: Int, ordinals: Range<Int>, position: Int
    ) throws -> [Prompt]
    func report(_ metrics: StepMetrics) throws
    func report(_ evaluation: EvaluationReport) throws
    func rewind(toStep step: Int) throws
    func forgetBlobs(before version: PolicyVersion)
    func removeBlobs(_ blobs: [BlobReference])
    func note(_ note: Note)
    /// Called about once a second and whenever something was decided.
    func observe(_ coordinator: Coordinator, at now: MonotonicTime)
    /// Child processes that ended, log lines, and when to look again.
    func tend(at now: MonotonicTime) -> MonotonicTime?
    /// Why a worker may not be who it says under the key that its connection proved (nil: none was); nil: it may.
    func objection(to hello: Hello, key: PublicKey?) -> String?
    /// Keys that are not admitted any more, each once.
    func takeRevokedKeys() -> [PublicKey]
    /// Processes of this host that are known to have ended since the last call: their silence need not be waited for.
    func takeEndedProcesses() -> [Int32]
    /// What an operator asked for since the last call; each is answered under its number, unless the run ends first.
    func takeRequests(at now: MonotonicTime) -> [(number: UInt64, request: OperatorRequest)]
    func answer(_ answer: OperatorAnswer, number: UInt64)
    /// This worker process leaves for good.
    func retire(process: Int32, host: String)
}

extension CoordinatorShell {
    package func prepare(_ records: [Record]) throws {}
    package func recorded(_ records: [Record]) throws {}
    package func objection(to hello: Hello, key: PublicKey?) -> String? { nil }
    package func takeRevokedKeys() -> [PublicKey] { [] }
    package func takeRequests(at now: MonotonicTime) -> [(number: UInt64, request: OperatorRequest)] { [] }
    package func answer(_ answer: OperatorAnswer, number: UInt64) {}
    package func retire(process: Int32, host: String) {}
}
