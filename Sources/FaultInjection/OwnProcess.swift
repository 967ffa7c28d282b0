// One process that we started: its words in a file, its end noticed.

import Foundation
import Runtime

package final class OwnProcess {
    package let name: String
    package let log: String
    private let process: Process
    package let identity: ProcessIdentity?

    /// - Parameters:
    ///   - name: what we call it; its words go to `NAME.log` in the folder, after those of an earlier one.
    ///   - command: program and arguments.
    package init(_ name: String, _ command: [String], folder: String) throws(FaultInjectionError) {
        self.name = name
        let log = "\(folder)/\(name).log"
        self.log = log
        process = try inOurWords { () throws(RuntimeError) in try ChildProgram.start(command, log: log) }
        identity = ProcessIdentity(process.processIdentifier)
    }

    package var isRunning: Bool { process.isRunning }
    /// Of one that has ended.
    package var status: Int32 { process.terminationStatus }
    /// It ended by itself, as it should: a worker that was told that the run is complete.
    package var isContent: Bool { !process.isRunning && !endedBySignal && status == 0 }
    package var endedBySignal: Bool { process.terminationReason == .uncaughtSignal }

    @discardableResult package func signal(_ number: Int32) -> Bool {
        process.isRunning && identity?.signal(number) ?? false
    }

    /// Waits for an end that was asked for.
    /// - Returns: whether it came in time.
    @discardableResult package func waitForEnd(_ limit: Duration) -> Bool {
        let deadline = ContinuousClock.now + limit
        while process.isRunning, ContinuousClock.now < deadline { usleep(2_000) }  // bounded by the deadline
        return !process.isRunning
    }

    /// Kills it and what it started. It is stopped first, so that it starts nothing between the look and the end.
    /// - Returns: whether it was there to be killed.
    @discardableResult package func killWithChildren() -> Bool {
        guard signal(SIGSTOP) else { return false }
        let children = identity?.children ?? []
        signal(SIGKILL)
        waitForEnd(.seconds(10))
        // A stopped process is killed as well as any.
        for child in children { child.signal(SIGKILL) }
        return endedBySignal
    }
}

/// The programs beside this one.
package struct Programs: Sendable {
    package let coordinator: String
    package let worker: String

    package init() throws(FaultInjectionError) {
        coordinator = try inOurWords { () throws(RuntimeError) in try ChildProgram.path("coordinator") }
        worker = try inOurWords { () throws(RuntimeError) in try ChildProgram.path("worker") }
    }
}

private func inOurWords<Result>(
    _ body: () throws(RuntimeError) -> Result
) throws(FaultInjectionError) -> Result {
    do throws(RuntimeError) { return try body() } catch { throw FaultInjectionError("\(error)") }
}
