// The workers `coordinator start` runs itself: child processes, restarted when they die.

import Foundation
import Rollouts

/// Starts, watches and ends local worker processes. Used on the loop thread only; a child's end is noticed by `reap`.
package final class LocalWorkers {
    private struct Child {
        var roles: [WorkerRole]
        var threads: Int
        var process: Process
        var restarts = 0
        var restartAt: MonotonicTime?
        /// It leaves for good and is not started again.
        var isRetired = false
    }

    private let executable: String
    private let address: String
    private let logFolder: String
    private var children: [Child] = []
    private var stopping = false
    /// One line per restart, for the log.
    package private(set) var notes: [String] = []
    private var ended: [Int32] = []

    /// - Parameter address: where the workers join.
    package init(address: String, logFolder: String) throws(RuntimeError) {
        executable = try ChildProgram.path("worker")
        self.address = address
        self.logFolder = logFolder
    }

    package func start(roles: [WorkerRole], threads: Int) throws(RuntimeError) {
        var child = Child(roles: roles, threads: threads, process: Process())
        try launch(&child, index: children.count)
        children.append(child)
    }

    /// Notices children that ended and starts them again, later each time (1, 2, 4 … 32 s).
    package func reap(now: MonotonicTime) throws(RuntimeError) {
        guard !stopping else { return }
        for index in children.indices where !children[index].process.isRunning {
            if children[index].isRetired { continue }
            if let due = children[index].restartAt {
                guard now >= due else { continue }
                children[index].restartAt = nil
                try launch(&children[index], index: index)
                continue
            }
            let names = children[index].roles.map(\.rawValue).joined(separator: "+")
            let code = children[index].process.terminationStatus
            ended.append(children[index].process.processIdentifier)
            children[index].restarts += 1
            let pause = Duration.seconds(1 << min(5, children[index].restarts - 1))
            children[index].restartAt = now + pause
            notes.append(
                "the local \(names) worker ended (status \(code)); it is started again in \(Int(pause.inSeconds)) s; "
                    + "its log is `\(logPath(index))`")
        }
    }

    /// This child is on its way out and is not started again; other processes are none of ours.
    package func retire(process: Int32) {
        for index in children.indices where children[index].process.processIdentifier == process {
            children[index].isRetired = true
        }
    }

    package func takeNotes() -> [String] {
        defer { notes = [] }
        return notes
    }

    /// Processes found dead since the last call.
    package func takeEnded() -> [Int32] {
        defer { ended = [] }
        return ended
    }

    /// When `reap` must be called next although nothing else happens.
    package var nextDeadline: MonotonicTime? { children.compactMap(\.restartAt).min() }
    package var isEmpty: Bool { children.isEmpty }
    package var processIdentifiers: [Int32] { children.map { $0.process.processIdentifier } }

    /// Waits for children to end by themselves (they were told to shut down), then ends them.
    package func stop(grace: Duration) {
        stopping = true
        let deadline = ContinuousClock.now + grace
        while ContinuousClock.now < deadline, children.contains(where: { $0.process.isRunning }) {
            usleep(20_000)  // not a race: the deadline above bounds it, and the processes end on their own
        }
        for child in children where child.process.isRunning { child.process.terminate() }
        for child in children where child.process.isRunning {
            let last = ContinuousClock.now + .seconds(2)
            while child.process.isRunning, ContinuousClock.now < last { usleep(20_000) }  // bounded, as above
            if child.process.isRunning { kill(child.process.processIdentifier, SIGKILL) }
        }
    }

    private func logPath(_ index: Int) -> String { "\(logFolder)/local-worker-\(index + 1).log" }

    private func launch(_ child: inout Child, index: Int) throws(RuntimeError) {
        child.process = try ChildProgram.start(
            [
                executable, "join", address, "--role", child.roles.map(\.rawValue).joined(separator: ","), "--threads",
                String(child.threads), "--coordinator", String(getpid()),
            ], log: logPath(index))
    }
}
