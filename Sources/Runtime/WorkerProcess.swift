// `worker join`: threads, socket and core put together.

import Cluster
import Foundation
import Rollouts
import Transport

package struct WorkerProcess {
    private let address: Address
    private let roles: [WorkerRole]
    private let threads: Int
    private let local: Bool
    private let kernel: String
    private let makeWorkbench: @Sendable () -> any Workbench

    /// Processors this process may use.
    package static var coreCount: Int { ProcessInfo.processInfo.activeProcessorCount }

    /// - Parameters:
    ///   - local: started by a coordinator on this host: Ctrl-C is left to it, and its end is this worker's end.
    ///   - kernel: which kernels the workbench computes with, as the hello says it.
    ///   - makeWorkbench: called on the compute thread.
    package init(
        address: String, roles: String, threads: Int, insecure: Bool, local: Bool, kernel: String,
        makeWorkbench: @escaping @Sendable () -> any Workbench
    ) throws {
        self.address = try Address(address)
        guard self.address.isLoopback || insecure else {
            throw RuntimeError("\(address) is reached without encryption or keys: accept that with --insecure")
        }
        self.roles = try WorkerProcess.parse(roles)
        guard (1...1024).contains(threads) else {
            throw RuntimeError("--threads \(threads): give a number from 1 to 1024")
        }
        self.threads = threads
        self.local = local
        self.kernel = kernel
        self.makeWorkbench = makeWorkbench
    }

    package static func parse(_ roles: String) throws(RuntimeError) -> [WorkerRole] {
        var list: [WorkerRole] = []
        for part in roles.split(separator: ",") {
            guard let role = WorkerRole(rawValue: String(part)) else {
                throw RuntimeError("unknown role `\(part)`: rollout, verifier or learner")
            }
            if !list.contains(role) { list.append(role) }
        }
        guard !list.isEmpty else { throw RuntimeError("--role is empty: rollout, verifier, learner") }
        return list.sorted()
    }

    /// - Returns: the exit status.
    package func run() throws -> Int32 {
        let wake = try WakePipe()
        let parent = local ? getppid() : nil
        Signals.install(wake: wake.descriptor, ignoreInterrupt: local)
        let context = try Context()
        let answers = Mailbox<ComputeAnswer>(wake: { wake.wake() })
        let blobAnswers = Mailbox<BlobAnswer>(wake: { wake.wake() })
        let compute = try ComputeThread(answers: answers, makeWorkbench: makeWorkbench)
        let cache = NSTemporaryDirectory() + "/rookery-worker-\(getuid())-\(getpid())"
        let blobs = try BlobThread(
            answers: blobAnswers, context: context, coordinatorAddress: address, cacheDirectory: cache,
            isLearner: roles.contains(.learner))
        defer {
            // The cache is this process's own; a folder that was never made cannot be removed.
            try? FileManager.default.removeItem(atPath: cache)  // see the line above
        }
        var loop = WorkerLoop(
            link: try ControlClient(context, connect: address), core: WorkerCore(hello: hello()), wake: wake,
            compute: compute, answers: answers, blobs: blobs, blobAnswers: blobAnswers, log: WorkerProcess.log)
        let clean = loop.run(parent: parent)
        Output.note(loop.exitReason)
        // A decode step or a training step in progress is not waited for: nothing here outlives the process.
        blobs.stop()
        compute.stop()
        return clean ? 0 : 1
    }

    private func hello() -> Hello {
        let host = ProcessInfo.processInfo.hostName
        let suffix = String(UInt32.random(in: 0 ..< .max), radix: 36)
        // Enough groups to fill the batch while others are verified, few enough that a slow worker hoards nothing.
        return Hello(
            protocolVersion: .current, worker: "\(host)-\(getpid())-\(suffix)", host: host,
            processIdentifier: getpid(), roles: roles, threads: threads,
            rolloutSlots: roles.contains(.rollout) ? 8 : 0, verificationSlots: roles.contains(.verifier) ? 16 : 0,
            kernel: kernel)
    }

    private static func log(_ note: Note) {
        let level = switch note.level {
        case .debug: "debug"
        case .info: "info"
        case .warning: "warning"
        case .error: "error"
        }
        if note.level != .debug { Output.note("\(Date().formatted(.iso8601)) \(level) \(note.text)") }
    }
}
