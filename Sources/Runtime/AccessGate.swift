// The doors of a run that other hosts can reach: gatekeeper, join server, and what they have to say.

import Cluster
import Foundation
import Rollouts
import RunStore
import Transport

/// Loop thread only; the two threads behind it leave their words in `tally` and `notes`.
package final class AccessGate {
    package let access: RunAccess
    private let context: Context
    private let gatekeeper: Gatekeeper
    private var joinServer: JoinServer?
    private let tally: SharedTally
    private let notes: Mailbox<Note>
    private let domain: String
    private let joinDomain: String
    private var revoked: [PublicKey] = []
    private var nextLook = MonotonicTime.zero
    private var nextSighting = MonotonicTime.zero
    private var strangers = StrangerWatch(after: [])
    private let ended = EndedConnections()
    /// Where strangers can knock.
    private var doors: [Address] = []
    /// Questions about keys since the table of connections was read.
    private var asked: [String: Int] = [:]
    private var nextWatch = MonotonicTime.zero
    /// Admitted names that were there at the last look, sorted.
    private var present: [String] = []

    /// The gatekeeper answers when it returns, so that sockets may listen.
    /// - Parameter wake: written to when there is something to say.
    package init(_ directory: RunDirectory, context: Context, wake: WakePipe) throws {
        access = try RunAccess(directory)
        self.context = context
        domain = "run/\(directory.name)"
        joinDomain = "join/\(directory.name)"
        let tally = SharedTally()
        self.tally = tally
        notes = Mailbox(wake: { wake.wake() })
        gatekeeper = try Gatekeeper(context, rules: [domain: .listed(access.allowed), joinDomain: .anyKey]) { refusal in
            let who = refusal.address.isEmpty ? "somebody" : refusal.address
            let key = refusal.key.map { " (\($0))" } ?? ""
            tally.add("a connection from \(who) was refused: \(refusal.reason)\(key)", at: .now)
        }
    }

    package func listener(_ addresses: [Address]) -> CurveListener {
        CurveListener(addresses: addresses, keys: access.keys, domain: domain, allowed: access.allowed)
    }

    /// Takes requests to join from now on.
    /// - Parameters:
    ///   - listen: the control addresses asked for.
    ///   - control: the control addresses as bound, in the same order.
    ///   - blobs: where blobs are, as bound.
    package func openJoining(_ listen: [Address], control: [Address], blobs: [Address]) throws {
        let (access, tally, notes) = (access, tally, notes)
        let server = try JoinServer(
            context,
            curve: CurveListener(
                addresses: listen.map(ListenAddress.forJoining), keys: access.keys, domain: joinDomain, allowed: nil)
        ) { request, key in
            access.decide(request, key: key, addresses: control) { level, text in
                if level == .info { notes.put(Note(level, text)) } else { tally.add(text, at: .now) }
            }
        } report: { tally.add($0, at: .now) }
        joinServer = server
        doors = control + blobs + server.addresses
        strangers = StrangerWatch(after: TCPTable.connections(at: doors) ?? [])
        try access.store.storeEndpoints(server.addresses.map(\.description))
    }

    /// Lines to log. Looks once a second whether somebody was revoked.
    package func tend(at now: MonotonicTime) -> [Note] {
        var lines = notes.takeAll() + tally.take(at: now).map { Note(.warning, $0) }
        if now >= nextLook {
            nextLook = now + .seconds(1)
            do {
                try access.refresh()
            } catch {
                lines.append(Note(.warning, "admissions could not be read: \(error)"))
            }
            revoked += access.takeRevoked()
        }
        if now >= nextWatch {
            nextWatch = now + .seconds(5)
            watch(at: now)
        }
        return lines
    }

    private func watch(at now: MonotonicTime) {
        // In this order, for the reasons that `look` gives.
        asked.merge(gatekeeper.takeAsked()) { $0 + $1 }
        guard let standing = TCPTable.connections(at: doors) else { return }
        let connections = standing.union(ended?.take(at: doors) ?? [])
        for (address, count) in strangers.look(connections, asked: asked, at: now) {
            let text = "a connection from \(address) ended without proving a key: a port scan, another program, a "
                + "worker without encryption or of another run, or a broken connection"
            for _ in 0..<count { tally.add(text, at: now) }
        }
        asked = [:]
    }

    package func takeRevokedKeys() -> [PublicKey] {
        defer { revoked = [] }
        return revoked
    }

    /// Keeps who is there: whenever somebody comes or goes, and about once a minute.
    package func observe(_ workers: [CoordinatorStatus.Worker], at now: MonotonicTime) throws {
        let names = workers.filter(\.isReachable).compactMap { admittedName($0.name) }
        let before = present
        present = Array(Set(names)).sorted()
        guard present != before || now >= nextSighting else { return }
        nextSighting = now + .seconds(60)
        // Those that have just gone were there a moment ago.
        try access.store.see(names: Array(Set(before + present)).sorted())
    }

    /// Ends both threads: from now on nobody is let in. The run is over: those who are there were there until now.
    package func stop() {
        joinServer?.stop()
        gatekeeper.stop()
        do {
            try access.store.see(names: present)
        } catch {
            Output.note("warning: who was connected could not be stored: \(error)")
        }
    }
}
