// `coordinator pause`, `resume`, `stop` and `drain`: asks a running coordinator and says what came of it.

import Cluster
import Foundation
import Rollouts
import RunStore

package struct OperateJob {
    private static let patience = Duration.seconds(30)
    private static let longestText = 1024

    var run: String
    var request: OperatorRequest
    var runs: String

    package init(run: String, request: OperatorRequest, runs: String) {
        self.run = run
        self.request = request
        self.runs = runs
    }

    /// - Returns: the exit status.
    package func execute() throws -> Int32 {
        try RunDirectory.check(name: run)
        if case .pause(let reason?) = request, reason.utf8.count > Self.longestText {
            throw RuntimeError("--reason has \(reason.utf8.count) bytes, at most \(Self.longestText)")
        }
        if case .drain(let worker) = request, worker.utf8.count > Self.longestText {
            throw RuntimeError("a worker's name has at most \(Self.longestText) bytes, found \(worker.utf8.count)")
        }
        let directory = RunDirectory(runs: runs, name: run)
        guard directory.exists else { throw RuntimeError("there is no run `\(run)` in `\(runs)/`") }
        let store = try RunStore(reading: directory.store)
        guard store.writerProcess != nil else {
            throw RuntimeError("the run `\(run)` is not running: \(try ending(store))")
        }
        let file = try RequestFile(request, folder: directory.requests)
        guard let answer = try wait(for: file, store) else {
            let end = "the run `\(run)` ended before it answered: \(try ending(store))"
            guard case .stop = request else { throw RuntimeError(end) }
            Output.line(end)
            return 0
        }
        guard answer.isDone else { throw RuntimeError("the run `\(run)`: \(answer.text)") }
        Output.line("\(run): \(answer.text)")
        if case .stop = request {
            // It ends by itself; a step in flight may take its time.
            while store.writerProcess != nil { usleep(50_000) }
            Output.line("\(run): \(try ending(store))")
        }
        return 0
    }

    /// - Returns: nil when the run ended first.
    private func wait(for file: RequestFile, _ store: RunStore) throws -> OperatorAnswer? {
        let end = ContinuousClock.now + Self.patience
        while true {
            // In this order: a coordinator that answers and ends has answered.
            let isRunning = store.writerProcess != nil
            if let answer = file.takeAnswer() { return answer }
            guard isRunning else {
                _ = file.withdraw()
                return nil
            }
            if ContinuousClock.now >= end, file.withdraw() {
                throw RuntimeError(
                    "the run `\(run)` did not answer within \(Int(Self.patience.inSeconds)) s and was not asked: it is "
                        + "about to start, or stands still; try again")
            }
            usleep(20_000)  // polling another process
        }
    }

    private func ending(_ store: RunStore) throws -> String {
        switch try store.outcome() {
        case .completed(let step)?: "complete after \(step) steps"
        case .interrupted(let step)?: "stopped after step \(step); coordinator start … --resume goes on"
        case .failed(let step, let reason)?: "stopped after step \(step): \(reason)"
        case nil: "it did not end in order (killed?); coordinator start … --resume goes on"
        }
    }
}
