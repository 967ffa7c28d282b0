// `worker join`: threads, socket and core put together.

import Cluster
import Foundation
import Rollouts
import Transport

package struct WorkerProcess {
    /// What the user gave: where to connect, or a token that says so.
    private enum Target: Equatable {
        case address(Address)
        case token(JoinToken)
    }

    private let target: Target
    private let roles: [WorkerRole]?
    private let threads: Int
    private let coordinator: Int32?
    private let keyFile: String?
    private let kernel: String
    private let relay: RelayPlan?
    private let makeWorkbench: @Sendable () -> any Workbench

    /// Processors this process may use.
    package static var coreCount: Int { ProcessInfo.processInfo.activeProcessorCount }

    /// - Parameters:
    ///   - target: an address or a join token.
    ///   - roles: nil takes those of the invitation, without one rollout and verifier.
    ///   - coordinator: the process that started this one, where that is a coordinator: Ctrl-C is left to it, and its
    ///     end is this worker's end. Told, not asked for: by the time this process looks, its parent may be gone.
    ///   - keyFile: for joining with a token; nil takes the user's own.
    ///   - relay: how to serve other workers what this one fetched; nil: not at all.
    ///   - kernel: which kernels the workbench computes with, as the hello says it.
    ///   - makeWorkbench: called on the compute thread.
    package init(
        target: String, roles: String?, threads: Int, insecure: Bool, coordinator: Int32?, keyFile: String?,
        relay: RelayPlan?, kernel: String, makeWorkbench: @escaping @Sendable () -> any Workbench
    ) throws {
        if JoinToken.isMeant(by: target) {
            self.target = .token(try JoinToken(target))
        } else {
            let address = try Address(target)
            guard address.isLoopback || insecure else {
                throw RuntimeError(
                    "\(address) is another host: join with a token (coordinator invite), "
                        + "or without encryption and keys with --insecure")
            }
            guard keyFile == nil else { throw RuntimeError("--key-file is for joining with a token, not an address") }
            self.target = .address(address)
        }
        self.roles = try roles.map { text throws in try WorkerProcess.parse(text) }
        guard (1...1024).contains(threads) else {
            throw RuntimeError("--threads \(threads): give a number from 1 to 1024")
        }
        self.threads = threads
        self.coordinator = coordinator
        self.keyFile = keyFile
        self.kernel = kernel
        self.relay = relay
        self.makeWorkbench = makeWorkbench
    }

    /// The one line of a file.
    package static func token(inFile path: String) throws(RuntimeError) -> String {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw RuntimeError("cannot read the token file `\(path)`: \(errnoText())")
        }
        let text = String(decoding: data.prefix(4096), as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        guard JoinToken.isMeant(by: text) else { throw RuntimeError("`\(path)` does not hold a join token") }
        return text
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
        Signals.install(wake: wake.descriptor, ignoreInterrupt: coordinator != nil)
        let context = try Context()
        guard let admission = try admission(context, wake) else {
            Output.note("interrupted")
            return 0
        }
        let answers = Mailbox<ComputeAnswer>(wake: { wake.wake() })
        let blobAnswers = Mailbox<BlobAnswer>(wake: { wake.wake() })
        let compute = try ComputeThread(answers: answers, makeWorkbench: makeWorkbench)
        let cache = NSTemporaryDirectory() + "/rookery-worker-\(getuid())-\(getpid())"
        let blobs = try BlobThread(
            answers: blobAnswers, context: context, coordinatorAddress: admission.address, curve: admission.curve,
            cacheDirectory: cache, isLearner: admission.roles.contains(.learner), relay: relay)
        defer {
            // The cache is this process's own; a folder that was never made cannot be removed.
            try? FileManager.default.removeItem(atPath: cache)  // see the line above
        }
        var loop = WorkerLoop(
            link: try ControlClient(context, connect: admission.address, curve: admission.curve),
            core: WorkerCore(hello: hello(admission)), wake: wake, compute: compute, answers: answers,
            blobs: blobs, blobAnswers: blobAnswers, log: WorkerProcess.log)
        let clean = loop.run(parent: coordinator)
        Output.note(loop.exitReason)
        // A decode step or a training step in progress is not waited for: nothing here outlives the process.
        blobs.stop()
        compute.stop()
        return clean ? 0 : 1
    }

    /// nil when interrupted while asking.
    private func admission(_ context: Context, _ wake: WakePipe) throws -> WorkerAdmission? {
        switch target {
        case .address(let address):
            return WorkerAdmission(address: address, curve: nil, name: nil, roles: roles ?? [.rollout, .verifier])
        case .token(let token):
            return try WorkerAdmission.obtain(
                token, context: context, keyFile: try keyFile ?? WorkerAdmission.defaultKeyFile(), wanted: roles,
                wake: wake, isCancelled: { Signals.received > 0 })
        }
    }

    private func hello(_ admission: WorkerAdmission) -> Hello {
        let host = ProcessInfo.processInfo.hostName
        let process = "\(getpid())-\(String(UInt32.random(in: 0 ..< .max), radix: 36))"
        let roles = admission.roles
        // Enough groups to fill the batch while others are verified, few enough that a slow worker hoards nothing.
        return Hello(
            protocolVersion: .current, worker: admission.name.map { "\($0):\(process)" } ?? "\(host)-\(process)",
            host: host, processIdentifier: getpid(), roles: roles, threads: threads,
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
