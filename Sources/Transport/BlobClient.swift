// Fetches blobs from a blob server and stores them there. One thread makes, uses and drops it.

import Rollouts

package struct BlobClient: ~Copyable {
    package struct Limits: Equatable, Sendable {
        /// Requests under way: 4 MiB of chunks.
        package var requests = 4
        /// Silence of this long loses what is under way.
        package var reply = Duration.seconds(10)
        /// Failures in a row, without any byte of progress, that end the transfer.
        package var attempts = 8
        /// Wait after the first failure; doubled for each one that follows.
        package var backoffFirst = Duration.milliseconds(100)
        package var backoffMost = Duration.seconds(5)
        /// How long the server may work on a difference, or on what is made of it.
        package var work = Duration.seconds(300)
        package init() {}
    }

    package var address: Address { control.address }
    /// How often silence or damage made a new socket.
    package var recreations: Int { control.recreations }
    private var control: ControlClient
    let limits: Limits
    private var lastRequest: UInt64 = 0
    private let clock = ContinuousClock()

    /// - Parameter curve: nil connects without encryption.
    package init(
        _ context: Context, connect address: Address, curve: CurveClient? = nil, limits: Limits = Limits()
    ) throws(TransportError) {
        var socket = ControlClient.Limits()
        socket.frameBytes = BlobFrame.frameBytes
        socket.queuedFrames = 2 * limits.requests
        socket.sendWait = min(limits.reply, .seconds(1))
        socket.linger = .zero
        control = try ControlClient(context, connect: address, curve: curve, limits: socket)
        self.limits = limits
    }

    /// Resumes what storage has of it. Returns when the blob is stored and verified.
    /// - Parameter progress: called with the bytes that are safe so far.
    package mutating func download(
        _ blob: BlobReference, into storage: some BlobStorage, cancel: CancelFlag,
        progress: (Int) -> Void = { _ in }
    ) throws(TransportError) {
        var transfer = try BlobDownload(blob, into: storage)
        try run(&transfer, "download", "blob \(blob.digest) from \(address)", cancel, progress)
    }

    /// Resumes what the server has of it. Returns when the server has stored and verified the blob.
    /// - Parameter progress: called with the bytes that are safe so far.
    package mutating func upload(
        _ blob: BlobReference, from storage: some BlobStorage, cancel: CancelFlag,
        progress: (Int) -> Void = { _ in }
    ) throws(TransportError) {
        var transfer = try BlobUpload(blob, from: storage)
        try run(&transfer, "upload", "blob \(blob.digest) to \(address)", cancel, progress)
    }

    mutating func run(
        _ transfer: inout some BlobTransfer, _ operation: String, _ subject: String, _ cancel: CancelFlag,
        _ progress: (Int) -> Void
    ) throws(TransportError) {
        var underWay: [BlobFrame] = []
        var failures = 0
        while !transfer.isComplete {
            let before = transfer.doneBytes
            let trouble = try exchange(&transfer, &underWay, cancel)
            if cancel.isCancelled {
                throw TransportError(
                    .cancelled, operation, subject, reason: "cancelled at byte \(transfer.doneBytes)")
            }
            if transfer.doneBytes > before {
                failures = 0
                progress(transfer.doneBytes)
            }
            guard let trouble else { continue }
            failures += 1
            guard failures < limits.attempts else {
                throw TransportError(
                    .timedOut, operation, subject,
                    reason: "\(failures) attempts failed at byte \(transfer.doneBytes), the last with: \(trouble)",
                    advice: "check that the coordinator runs and that its blob port is reachable")
            }
            transfer.rewind()
            underWay = []
            let backoff = min(limits.backoffMost, limits.backoffFirst * (1 << min(failures - 1, 16)))
            _ = cancel.wake.wait(timeout: backoff)
            // Answers to what was under way die with the old socket.
            try control.recreate()
        }
    }

    /// Keeps the requests under way full, and takes what answers there are.
    /// - Returns: what went wrong, where the requests under way are lost.
    private mutating func exchange(
        _ transfer: inout some BlobTransfer, _ underWay: inout [BlobFrame], _ cancel: CancelFlag
    ) throws(TransportError) -> String? {
        while underWay.count < limits.requests, !cancel.isCancelled, var request = try transfer.nextRequest() {
            lastRequest += 1
            request.request = lastRequest
            guard control.send(request.encoded()) == .sent else { return "no connection to \(address)" }
            underWay.append(request)
        }
        let deadline = clock.now + limits.reply
        while !cancel.isCancelled {
            var answered = false
            while let frame = control.receive() {
                let reply: BlobFrame
                do throws(TransportError) {
                    reply = try BlobFrame(decoding: frame)
                } catch {
                    return error.reason
                }
                // Not under way: an answer to a request that was given up.
                guard let index = underWay.firstIndex(where: { $0.request == reply.request }) else { continue }
                let request = underWay.remove(at: index)
                guard reply.digest == request.digest else { return "an answer about another blob" }
                if case .again(let reason) = try transfer.accept(reply, to: request) { return reason }
                answered = true
            }
            if answered { return nil }
            let left = deadline - clock.now
            guard left > .zero else { return "no answer for \(limits.reply)" }
            _ = control.wait(timeout: left, wake: cancel.wake)
        }
        return nil
    }
}
