// One model served by one local worker: what `score` and `sample` talk to.

import Cluster
import Foundation
import Rollouts
import Tokenization
import Transport
import Weights
import Wire

/// Starts a worker on this host, gives it the model, and asks it one thing at a time. Main thread only.
package final class ModelSession {
    package let tokenizer: Tokenizer
    package let config: ModelConfig
    private let folder: URL
    private var link: ControlServer
    private let blobServer: BlobServer
    private let workers: LocalWorkers
    private let wake: WakePipe
    private let manifest: PolicyManifest
    private let welcome: Welcome
    private var worker: PeerIdentifier?
    private var nextLease: UInt64 = 1
    private var conversation = Conversation.coordinator(run: "session")
    /// What has arrived and was not looked at yet.
    private var received: [(Message, from: PeerIdentifier)] = []
    private var closed = false

    /// - Parameter options: what the worker is welcomed with; its verifier and algorithm are not used.
    package init(_ subject: Subject, options: RunOptions) throws {
        folder = URL(fileURLWithPath: NSTemporaryDirectory())
            .appendingPathComponent("rookery-session-\(getuid())-\(getpid())", isDirectory: true)
        let directory = RunDirectory(path: folder, name: "session")
        try directory.create()
        let blobs = try BlobStore(directory: directory.blobs)
        let model = try ModelPreparation.prepare(subject, blobs: blobs)
        tokenizer = model.tokenizer
        config = model.config
        manifest = model.base
        wake = try WakePipe()
        Signals.install(wake: wake.descriptor)
        let context = try Context()
        let control = try directory.socketAddress("control")
        let blobAddress = try directory.socketAddress("blobs")
        link = try ControlServer(context, listen: [try Address(control)])
        blobServer = try BlobServer(
            context, listen: [try Address(blobAddress)], storage: StoredBlobs(blobs))
        let proof = ".seen-\(getpid())"
        _ = FileManager.default.createFile(atPath: directory.blobs + "/" + proof, contents: nil)
        welcome = Welcome(
            run: "session", options: options, modelBundle: model.bundle, blobAddress: blobAddress,
            blobDirectory: directory.blobs, blobDirectoryProof: proof)
        workers = try LocalWorkers(address: control, logFolder: directory.logs)
        try workers.start(roles: [.rollout], threads: WorkerProcess.coreCount)
        do {
            try waitUntilReady()
        } catch {
            close()
            throw error
        }
    }

    deinit { close() }

    package func close() {
        guard !closed else { return }
        closed = true
        if let worker { send(.shutdown(reason: "done"), to: worker) }
        workers.stop(grace: .seconds(3))
        blobServer.stop()
        // A temporary folder of this process's own; what is left of it is the system's to clear.
        try? FileManager.default.removeItem(at: folder)  // see the line above
    }

    package func score(_ tokens: [Int32]) throws -> [Float] {
        let lease = try ask { .score(lease: $0, ScoreAssignment(version: .base, tokens: tokens)) }
        while true {
            switch try next() {
            case .scoreResult(lease, let logProbs): return logProbs
            case .failed(lease, let reason, _): throw RuntimeError(reason)
            default: continue
            }
        }
    }

    /// One completion; `partial` gets its text as it is sampled.
    /// - Returns: nil when interrupted.
    package func sample(
        _ tokens: [Int32], turn: Int, sampling: SamplingOptions, seed: UInt64, partial: (String) -> Void
    ) throws -> Completion? {
        let key = GroupKey(purpose: .conversation, step: 0, ordinal: turn)
        let prompt = Prompt(key: key, tokens: tokens, text: "", answer: "", source: "conversation")
        let lease = try ask {
            .rollout(
                lease: $0,
                RolloutAssignment(prompt: prompt, groupSize: 1, version: .base, sampling: sampling, seed: seed))
        }
        let signals = Signals.received
        while true {
            switch try next(until: { Signals.received > signals }) {
            case nil:
                if let worker { send(.cancel(lease: lease), to: worker) }
                return nil
            case .partialText(lease, let text)?: partial(text)
            case .rolloutResult(lease, let completions, _)?:
                guard let completion = completions.first else { throw RuntimeError("the worker sent no completion") }
                return completion
            case .failed(lease, let reason, _)?: throw RuntimeError(reason)
            default: continue
            }
        }
    }

    // MARK: messages

    private func ask(_ message: (LeaseIdentifier) -> Message) throws(RuntimeError) -> LeaseIdentifier {
        guard let worker else { throw RuntimeError("the local worker is gone") }
        let lease = LeaseIdentifier(nextLease)
        nextLease += 1
        send(message(lease), to: worker)
        return lease
    }

    private func send(_ message: Message, to peer: PeerIdentifier) {
        if link.send(conversation.seal(message), to: peer) != .sent { worker = nil }
    }

    private func waitUntilReady() throws {
        while true {
            guard case .policyReady(.base, let hash) = try next() else { continue }
            guard hash == manifest.weightsHash else {
                throw RuntimeError(
                    "the worker loaded other weights than it was given: \(hash), not \(manifest.weightsHash)")
            }
            return
        }
    }

    private func next() throws -> Message {
        let signals = Signals.received
        guard let message = try next(until: { Signals.received > signals }) else { throw RuntimeError("interrupted") }
        return message
    }

    /// The next message that is not about joining, of those that have arrived.
    private func nextReceived() throws -> Message? {
        while !received.isEmpty {
            let (message, peer) = received.removeFirst()
            switch message {
            case .hello:
                worker = peer
                send(.welcome(welcome), to: peer)
                send(.policy(manifest), to: peer)
            case .heartbeat: send(.acknowledge(lease: LeaseIdentifier(0)), to: peer)
            case .policyFailed(_, let reason): throw RuntimeError("the worker cannot load the model: \(reason)")
            case .goodbye(let reason): throw RuntimeError("the local worker left: \(reason)")
            case .rolloutResult(let lease, _, _), .scoreResult(let lease, _):
                send(.acknowledge(lease: lease), to: peer)
                return message
            default: return message
            }
        }
        return nil
    }

    /// The next message that is not about joining; nil when `stop` says so.
    private func next(until stop: () -> Bool) throws -> Message? {
        while true {
            if stop() { return nil }
            if let message = try nextReceived() { return message }
            while let arrival = link.receive() {
                guard case .frame(let frame, let peer, _) = arrival else { continue }
                // Another connection (the worker restarted) begins another conversation.
                if peer != worker { conversation = .coordinator(run: "session") }
                received += try conversation.open(frame).messages.map { ($0, from: peer) }
                if let message = try nextReceived() { return message }
            }
            try workers.reap(now: .now)
            if let note = workers.takeNotes().first { throw RuntimeError(note) }
            _ = link.wait(timeout: .milliseconds(500), wake: wake)
        }
    }
}
