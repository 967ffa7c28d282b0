// The other end of `dispatch` and `join`: many workers' sockets in one process, so that theirs is the least work.

import ArgumentParser
import CZeroMQ
import Foundation
import Measurement

struct ScriptedWorkers: ParsableCommand {
    static let name = "scripted-workers"
    static let configuration = CommandConfiguration(commandName: name, shouldDisplay: false)

    enum Manner: String, ExpressibleByArgument {
        /// Answers each frame with 4 KB.
        case echo
        /// Rookery's protocol.
        case work
        /// Says hello and lives on, but proves no policy, so that it gets no work.
        case idle
    }

    @Option var manner: Manner
    @Option var address: String
    @Option var workers: Int
    @Option var slots = 1
    /// Seconds between heartbeats.
    @Option var heartbeat = 5.0
    /// Z85; none: no encryption.
    @Option var serverKey = ""
    /// Ends by itself after so many seconds.
    @Option var seconds = 120.0

    func run() throws {
        let start = monotonicNanoseconds()
        BareContext.raiseDescriptorLimit()
        let context = try BareContext(socketLimit: workers + 64)
        let sockets = try (0..<workers).map { _ in
            let socket = try BareSocket(context, ZMQ_DEALER)
            if !serverKey.isEmpty { socket.encrypt(to: serverKey, as: try BareKeys()) }
            try socket.connect(address)
            return socket
        }
        switch manner {
        case .echo: echo(sockets, since: start)
        case .work, .idle: try work(sockets, since: start)
        }
    }

    private func echo(_ sockets: [BareSocket], since start: UInt64) {
        let answer = [UInt8](repeating: 65, count: DispatchLoad.resultBytes)
        // The server learns who is there.
        for socket in sockets { socket.send([1]) }
        while elapsed(since: start) < seconds {
            for index in BareSocket.wait(sockets, milliseconds: 100) {
                while let frame = sockets[index].receive() {
                    if frame.count == 1 { return }
                    sockets[index].send(answer)
                }
            }
        }
    }

    private func work(_ sockets: [BareSocket], since start: UInt64) throws {
        var peers = sockets.indices.map {
            ScriptedPeer(
                index: $0, roles: $0 == 0 ? [.rollout, .verifier, .learner] : [.rollout, .verifier], slots: slots,
                isIdle: manner == .idle)
        }
        for index in sockets.indices { sockets[index].send(peers[index].hello()) }
        var nextHello = elapsed(since: start) + 2
        var nextBeat = elapsed(since: start) + heartbeat
        while elapsed(since: start) < seconds {
            for index in BareSocket.wait(sockets, milliseconds: 10) {
                while let frame = sockets[index].receive() {
                    if let answer = try peers[index].answer(frame) { sockets[index].send(answer) }
                }
                if peers[index].isDismissed { return }
            }
            let now = elapsed(since: start)
            if now > nextHello {
                for index in peers.indices where !peers[index].isWelcome { sockets[index].send(peers[index].hello()) }
                nextHello = now + 2
            }
            if now > nextBeat {
                for index in peers.indices where peers[index].isWelcome {
                    sockets[index].send(peers[index].heartbeat())
                }
                nextBeat = now + heartbeat
            }
        }
    }
}

/// Beside an option that is called `seconds`.
private func elapsed(since start: UInt64) -> Double { seconds(since: start) }
