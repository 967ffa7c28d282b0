// How a worker with a token has its key let in.

import Rollouts

/// One thread makes, uses and drops it.
package struct JoinClient: ~Copyable {
    package struct Limits: Equatable, Sendable {
        /// How long each address may take to answer.
        package var answer = Duration.seconds(5)
        package init() {}
    }

    package enum Outcome: Equatable, Sendable {
        /// - Parameter reached: the join address that answered.
        case admitted(JoinAdmission, reached: Address)
        case refused(reason: String, mayRetry: Bool)
        /// Nobody answered: the coordinator is not there, or it is another one than the token's.
        case unanswered
        case cancelled
    }

    /// Asks once at each address, until one answers.
    /// - Parameters:
    ///   - keys: the worker's own; they are let in, whoever holds the token.
    ///   - wake: ends a wait early, so that `isCancelled` is looked at.
    package static func ask(
        _ context: Context, token: JoinToken, keys: KeyPair, name: String, wake: WakePipe,
        limits: Limits = Limits(), isCancelled: () -> Bool = { false }
    ) throws(TransportError) -> Outcome {
        let proof = token.secret.verifier.proof(
            worker: keys.publicKey, server: token.server, identifier: token.identifier)
        let request = JoinFrame.encode(JoinRequest(identifier: token.identifier, proof: proof, name: name))
        let clock = ContinuousClock()
        for address in token.addresses {
            var socketLimits = ControlClient.Limits()
            socketLimits.frameBytes = JoinFrame.mostBytes
            socketLimits.queuedFrames = 4
            socketLimits.sendWait = .milliseconds(250)
            socketLimits.linger = .zero
            var client = try ControlClient(
                context, connect: address, curve: CurveClient(keys: keys, server: token.server), limits: socketLimits)
            let deadline = clock.now + limits.answer
            var isSent = false
            while clock.now < deadline {
                if isCancelled() { return .cancelled }
                if !isSent {
                    isSent = client.send(request) == .sent
                    if !isSent { continue }
                }
                if let frame = client.receive() {
                    switch try JoinFrame.decodeAnswer(frame) {
                    case .admitted(let admission): return .admitted(admission, reached: address)
                    case .refused(let reason, let mayRetry): return .refused(reason: reason, mayRetry: mayRetry)
                    }
                }
                _ = client.wait(timeout: deadline - clock.now, wake: wake)
            }
        }
        return isCancelled() ? .cancelled : .unanswered
    }
}
