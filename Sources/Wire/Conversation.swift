// Which frames belong to this connection, and did one go missing?

import Cluster

/// One side's view of one connection: numbers what it sends, and checks the numbers of what it receives.
/// A worker starts one each time it makes its socket; a coordinator one for each peer that it first hears from.
///
///     worker                                         coordinator
///     epoch chosen, run unknown (0)  ── hello ──▶    epoch taken from the first frame
///     run taken from the first frame ◀─ welcome ──   run known
///
/// Numbers only tell what happened. A missing message is made good by leases: work without a result is given again,
/// and a result without an acknowledgement is sent again.
package struct Conversation: Equatable, Sendable {
    package struct Received: Equatable, Sendable {
        /// In the order in which they were said; never none.
        package var messages: [Message]
        /// Frames that the other side sent before this one and that never came.
        package var missed: UInt64
    }

    /// 0: not known yet.
    package private(set) var run: UInt64
    /// 0: not known yet.
    package private(set) var epoch: UInt64
    private var lastSent: UInt64 = 0
    private var lastReceived: UInt64 = 0
    /// The highest of our frames that the other side is known to have received.
    package private(set) var acknowledged: UInt64 = 0
    private let isWorker: Bool
    /// Whether the other side has shown, in a frame, a version that knows several messages in one.
    private var readsBundles = false

    /// - Parameter epoch: random, not 0, new for each connection.
    package static func worker(epoch: UInt64) -> Conversation {
        precondition(epoch != 0, "Conversation: a worker's epoch is not 0")
        return Conversation(run: 0, epoch: epoch, isWorker: true)
    }

    package static func coordinator(run: String) -> Conversation {
        Conversation(run: Envelope.runIdentifier(run), epoch: 0, isWorker: false)
    }

    private init(run: UInt64, epoch: UInt64, isWorker: Bool) {
        self.run = run
        self.epoch = epoch
        self.isWorker = isWorker
    }

    package mutating func seal(_ message: Message) -> [UInt8] {
        MessageBundle.frame([WireCodec.PackableMessage(message)], nextHeader(flags: 0))
    }

    /// As few frames as the other side understands, in order.
    /// - Parameter send: whether the frame left; if not, the rest is not sealed.
    /// - Returns: whether all left.
    package mutating func seal(_ messages: [Message], send: ([UInt8]) -> Bool) -> Bool {
        guard readsBundles else { return messages.allSatisfy { send(seal($0)) } }
        return MessageBundle.seal(messages, header: { nextHeader(flags: $0) }, send: send)
    }

    private mutating func nextHeader(flags: UInt32) -> Envelope.Header {
        lastSent += 1
        return Envelope.Header(
            flags: flags, run: run, epoch: epoch, sequence: lastSent, acknowledged: lastReceived)
    }

    /// An error leaves everything as it was: drop the frame and count a strike against the peer.
    package mutating func open(
        _ frame: [UInt8], payloadLimitBytes: Int = WireLimits.maximumPayloadBytes
    ) throws(WireError) -> Received {
        let (header, payload) = try opened(frame, payloadLimitBytes)
        guard header.epoch != 0, epoch == 0 || header.epoch == epoch else {
            throw WireError(.stray, "epoch", expected: "\(epoch)", found: "\(header.epoch)")
        }
        guard header.sequence > lastReceived else {
            throw WireError(.stray, "sequence", expected: "more than \(lastReceived)", found: "\(header.sequence)")
        }
        let isBundle = header.flags & Envelope.severalMessages != 0
        let messages = isBundle ? try MessageBundle.open(frame[payload]) : [try WireCodec.decode(frame[payload])]
        try checkRun(header.run, messages)
        run = header.run == 0 ? run : header.run
        epoch = header.epoch
        let missed = header.sequence - lastReceived - 1
        lastReceived = header.sequence
        readsBundles = header.version.minor >= 1
        // A side that restarted has sent less than its predecessor, whom the other side acknowledges.
        acknowledged = max(acknowledged, min(header.acknowledged, lastSent))
        return Received(messages: messages, missed: missed)
    }

    /// Whoever has spoken our version does not change it within a connection: then it is bytes that are damaged, which
    /// is nobody's fault, and no other version, after which nobody tries again.
    private func opened(
        _ frame: [UInt8], _ payloadLimitBytes: Int
    ) throws(WireError) -> (header: Envelope.Header, payload: Range<Int>) {
        do throws(WireError) {
            return try Envelope.open(frame, payloadLimitBytes: payloadLimitBytes)
        } catch {
            guard case .version = error.kind, lastReceived > 0 else { throw error }
            throw WireError(
                .envelope, error.subject, expected: error.expected, found: error.found + " (damaged on the way)")
        }
    }

    private func checkRun(_ found: UInt64, _ messages: [Message]) throws(WireError) {
        if found == run && found != 0 { return }
        // Only a worker that says hello may not know the run, and only it may learn it.
        if isWorker, run == 0, found != 0 { return }
        if !isWorker, found == 0, case .hello? = messages.first { return }
        throw WireError(
            .stray, "run", expected: String(run, radix: 16), found: String(found, radix: 16) + " (of another run)")
    }
}
