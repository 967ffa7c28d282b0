// What has arrived, who may say it, and what is answered to those who may not.

import Cluster
import Rollouts
import Transport
import Wire

extension CoordinatorLoop where Link: ~Copyable {
    /// Everything that has arrived, but not so much that time stands still: nothing is sent meanwhile.
    mutating func receiveAll() {
        let end = MonotonicTime.now + .milliseconds(20)
        // One look at who gets work next serves all of it.
        defer { if core.isUnsettled, outcome == nil { handle(.tick) } }
        for _ in 0..<1024 {
            guard let arrival = link.receive() else { return }
            switch arrival {
            case .frame(let frame, let peer, let key): receive(frame, from: peer, key)
            case .malformed(let peer):
                if connections[peer] == nil {
                    refusals.add("a stranger's message was dropped: it is not one frame", at: .now)
                } else {
                    handle(.misbehaved(peer, reason: "sent a message that is not one frame"))
                }
            }
            drainPending()
            if outcome != nil || MonotonicTime.now >= end { return }
        }
    }

    /// A peer that was not heard from before may only say hello, and only briefly.
    private mutating func receive(_ frame: [UInt8], from peer: PeerIdentifier, _ key: PublicKey?) {
        let now = MonotonicTime.now
        let isKnown = connections[peer] != nil
        var connection = connection(to: peer, key: key)
        guard !connection.isRefused else { return }
        connection.lastHeard = now
        if isKnown {
            guard take(1, of: &connection, peer, at: now) else { return }
        } else if key == nil ? !strangers.take(at: now) : !newcomers.take(at: now) {
            return refusals.add("strangers say more than can be read; some of it was dropped", at: now)
        }
        let limit = isKnown ? WireLimits.maximumPayloadBytes : WireLimits.payloadBytesBeforeAdmission
        do throws(WireError) {
            let received = try connection.conversation.open(frame, payloadLimitBytes: limit)
            if case .hello(let hello)? = received.messages.first {
                if let objection = shell.objection(to: hello, key: key) {
                    return refuse(peer, connection, objection)
                }
                if key == nil, hello.host == host { localPeers[hello.processIdentifier] = peer }
            } else if !isKnown {
                // Nothing is kept of it: it is to make its socket anew and say hello over that one.
                if case .goodbye? = received.messages.last { return }
                let answer = connection.conversation.seal(.refused(reason: Coordinator.unknownConnection))
                // If it does not arrive, the worker hears nothing and makes its socket anew all the same.
                _ = link.send(answer, to: peer)
                return
            }
            guard take(received.messages.count - 1, of: &connection, peer, at: now) else { return }
            if received.missed > 0 {
                let worker = core.name(of: peer)
                let who = worker.map { "`\($0)`" } ?? "\(peer)"
                let what = received.missed == 1 ? "a frame" : "\(received.missed) frames"
                let text = "\(what) from \(who) did not arrive; leases make that good"
                shell.note(Note(.warning, text, worker: worker))
            }
            for message in received.messages {
                perform(core.handle(.received(message, from: peer), at: now, isMoreComing: true))
                drainPending()
                if outcome != nil || connections[peer]?.isRefused == true { return }
            }
        } catch {
            drop(error, from: peer, connection, isKnown: isKnown)
        }
    }

    /// Keeps the connection, less so many messages of its budget.
    /// - Returns: false, and a strike, if there were not so many left.
    private mutating func take(
        _ count: Int, of connection: inout PeerConnection, _ peer: PeerIdentifier, at now: MonotonicTime
    ) -> Bool {
        let isWithin = connection.budget.take(count, at: now)
        // One strike for all of them.
        if !isWithin { connection.budget.grant(PeerConnection.burst) }
        connections[peer] = connection
        if !isWithin { handle(.misbehaved(peer, reason: "sent more than it was asked for")) }
        return isWithin
    }

    /// Damage on the way and frames of an earlier connection are nobody's fault; what is no message is.
    private mutating func drop(
        _ error: WireError, from peer: PeerIdentifier, _ connection: PeerConnection, isKnown: Bool
    ) {
        switch error.kind {
        case .version(let theirs):
            let ours = ProtocolVersion.current
            refuse(
                peer, connection,
                "a worker speaks protocol \(theirs.major).\(theirs.minor), this coordinator "
                    + "\(ours.major).\(ours.minor); install the same version on both hosts")
        case .message where isKnown, .tooLarge where isKnown:
            handle(.misbehaved(peer, reason: "sent what is no message: \(error)"))
        default:
            let who = isKnown ? "a worker" : "a stranger"
            refusals.add("a message of \(who) was dropped: \(error)", at: .now)
        }
    }

    /// Says why not, and hears nothing more over this connection.
    private mutating func refuse(_ peer: PeerIdentifier, _ connection: PeerConnection, _ reason: String) {
        var connection = connection
        outbox.forget(peer)
        refusals.add("refused: \(reason)", at: .now)
        // If it does not arrive, the worker hears nothing and asks again.
        _ = link.send(connection.conversation.seal(.refused(reason: reason)), to: peer)
        connection.isRefused = true
        connections[peer] = connection
    }

    /// What these workers were doing is given to others.
    mutating func withdraw(_ key: PublicKey) {
        for peer in connections.peers(with: key) {
            guard var connection = connections[peer], !connection.isRefused else { continue }
            outbox.forget(peer)
            let reason = "the admission of this worker was revoked; it needs a new invitation"
            _ = link.send(connection.conversation.seal(.shutdown(reason: reason)), to: peer)
            connection.isRefused = true
            connections[peer] = connection
            handle(.received(.goodbye(reason: "its admission was revoked"), from: peer))
        }
    }
}
