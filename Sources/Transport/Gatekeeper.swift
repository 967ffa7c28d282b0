// Who may connect: the answers to libzmq's questions about keys (ZAP, ZeroMQ RFC 27), on a thread of its own.

import CZeroMQ
import Synchronization

/// Asked once for each connection, before a frame of it is delivered, and one question at a time: an answer is a
/// look-up in memory and nothing else.
///
/// Must be made before any socket that enforces a domain listens, and live as long as they do: without it nobody new is
/// let in.
package final class Gatekeeper: Sendable {
    /// Who is let in under a domain; nobody under one that is not named here.
    package enum Rule: Sendable {
        case listed(AllowList)
        /// Any key, as long as it is proved: for the join socket, where the key is what is to be admitted.
        case anyKey
    }

    /// A connection that was not let in.
    package struct Refusal: Equatable, Sendable {
        /// As the kernel says it; "" where it did not.
        package var address: String
        /// nil for a connection without a key.
        package var key: PublicKey?
        package var reason: String
    }

    private let thread: ServingThread<Void>
    private let asked: Asked

    /// Questions since they were last taken, by address.
    private final class Asked: Sendable {
        private static let addressLimit = 10_000
        private let counts = Mutex<[String: Int]>([:])

        func add(_ address: String) {
            counts.withLock {
                if $0.count < Self.addressLimit || $0[address] != nil { $0[address, default: 0] += 1 }
            }
        }

        func take() -> [String: Int] {
            counts.withLock { counts in
                defer { counts = [:] }
                return counts
            }
        }
    }

    /// Answers questions when it returns.
    /// - Parameter report: called on the gatekeeper's thread; must not wait.
    package init(
        _ context: Context, rules: [String: Rule], report: @escaping @Sendable (Refusal) -> Void
    ) throws(TransportError) {
        let asked = Asked()
        self.asked = asked
        thread = try ServingThread("rookery-zap") { session throws(TransportError) in
            // Made, used and closed on this thread.
            let socket = try Socket(context, .reply)
            try socket.set([.linger(.zero)])
            try socket.bindGate()
            session.opened(())
            Gatekeeper.serve(socket, rules, session, asked, report)
        }
    }

    /// Ends the thread: from now on nobody is let in. Safe to call twice.
    package func stop() { thread.stop() }

    /// How many connections it was asked about since the last call, by address (`TCPTable.plain`).
    package func takeAsked() -> [String: Int] { asked.take() }

    private static func serve(
        _ socket: borrowing Socket, _ rules: [String: Rule], _ session: ServingThread<Void>.Session,
        _ asked: Asked, _ report: (Refusal) -> Void
    ) {
        while true {
            _ = socket.wait(timeout: nil, descriptors: [session.wake.descriptor])
            while !session.isStopping {
                let question: Question
                switch socket.receive(frameCount: Question.frameCount) {
                case .nothing: question = Question(frames: [])
                case .message(let frames, _): question = Question(frames: frames)
                case .tooManyFrames(let first): question = Question(frames: [first])
                }
                guard !question.frames.isEmpty else { break }
                asked.add(TCPTable.plain(question.address))
                let refusal = question.refusal(by: rules)
                socket.answer(question.answer(refusal))
                if let refusal { report(refusal) }
            }
            if session.isStopping { return }
        }
    }

    /// version, request, domain, address, routing id, mechanism, credentials: one 32-byte key under CURVE.
    struct Question {
        static let frameCount = 7
        static let version = Array("1.0".utf8)
        let frames: [[UInt8]]

        private func text(_ index: Int) -> String {
            index < frames.count ? String(decoding: frames[index].prefix(256), as: UTF8.self) : ""
        }
        var address: String { text(3) }
        private var key: PublicKey? { frames.count == 7 ? PublicKey(bytes: frames[6]) : nil }

        /// nil: let in.
        func refusal(by rules: [String: Rule]) -> Refusal? {
            func no(_ reason: String) -> Refusal { Refusal(address: address, key: key, reason: reason) }
            guard frames.count >= 6, frames[0] == Question.version else { return no("the question is not ZAP 1.0") }
            guard text(5) == "CURVE", let key else { return no("no proven key (\(text(5)))") }
            switch rules[text(2)] {
            case .anyKey?: return nil
            case .listed(let list)?: return list.contains(key) ? nil : no("the key is not admitted")
            case nil: return no("nobody is admitted under the domain `\(text(2))`")
            }
        }

        /// version, request, status, text, user id, metadata. The user id comes with every frame of the connection.
        func answer(_ refusal: Refusal?) -> [[UInt8]] {
            let request = frames.count > 1 ? frames[1] : []
            guard refusal == nil, let key else {
                return [Question.version, request, Array("400".utf8), Array("not admitted".utf8), [], []]
            }
            return [Question.version, request, Array("200".utf8), Array("OK".utf8), Array(key.hex.utf8), []]
        }
    }
}

extension Socket {
    /// libzmq's own name for the place where it asks.
    fileprivate func bindGate() throws(TransportError) {
        guard zmq_bind(handle, "inproc://zeromq.zap.01") == 0 else {
            throw .system("listen for", "questions about keys (a second gatekeeper in one context?)", zmq_errno())
        }
    }

    fileprivate func answer(_ frames: [[UInt8]]) {
        for (index, frame) in frames.enumerated() {
            // libzmq may have given up on the question (its connection ended); then nobody reads the answer.
            if sendFrame(frame, more: index < frames.count - 1) != nil { return }
        }
    }
}
