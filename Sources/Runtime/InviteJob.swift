// `coordinator invite`: tokens for workers of other hosts.

import Foundation
import Rollouts
import RunStore
import Transport

package struct InviteJob {
    var run: String
    var roles: String
    var expires: String
    var count: Int
    var addresses: [String]
    var runs: String

    package init(run: String, roles: String, expires: String, count: Int, addresses: [String], runs: String) {
        self.run = run
        self.roles = roles
        self.expires = expires
        self.count = count
        self.addresses = addresses
        self.runs = runs
    }

    /// Tokens on standard output, one a line, and nothing else there.
    package func execute() throws -> Int32 {
        try RunDirectory.check(name: run)
        let lifetime = try InviteJob.seconds(expires)
        guard (1...1000).contains(count) else { throw RuntimeError("--count \(count): give a number from 1 to 1000") }
        let roles = try WorkerProcess.parse(roles)
        let directory = RunDirectory(runs: runs, name: run)
        guard FileManager.default.fileExists(atPath: directory.path) || !addresses.isEmpty else {
            throw RuntimeError(
                "there is no run `\(run)` in `\(runs)/`: to invite before it starts, give --address tcp://HOST:PORT, "
                    + "the address of its --listen as workers reach it")
        }
        let given = try addresses.map(InviteJob.joinAddress)
        let access = try RunAccess(directory)
        let reachable = given.isEmpty ? try InviteJob.endpoints(access.store, run) : given
        let expiresAt = Date().timeIntervalSince1970 + lifetime
        var invitations: [Invitation] = []
        var tokens: [JoinToken] = []
        for _ in 0..<count {
            let token = JoinToken(
                server: access.keys.publicKey, identifier: .random(), secret: .random(), addresses: reachable)
            tokens.append(token)
            invitations.append(
                Invitation(
                    identifier: token.identifier.description, verifier: token.secret.verifier.bytes, roles: roles,
                    expiresAt: expiresAt))
        }
        try access.store.add(invitations)
        for token in tokens { Output.line(token.text) }
        let names = roles.map(\.rawValue).joined(separator: ", ")
        Output.note(
            "\(count == 1 ? "One invitation" : "\(count) invitations") for \(names), until "
                + "\(Date(timeIntervalSince1970: expiresAt).formatted(.iso8601)); each lets in one worker's key. "
                + "On its host: worker join TOKEN")
        return 0
    }

    /// 45s, 30m, 2h, 7d.
    package static func seconds(_ text: String) throws(RuntimeError) -> Double {
        let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
        guard let unit = text.last.flatMap({ units[$0] }), let number = Int(text.dropLast()), number > 0,
            Double(number) * unit <= 365 * 86_400
        else {
            throw RuntimeError("--expires \(text): give a number and s, m, h or d, e.g. 30m; at most 365d")
        }
        return Double(number) * unit
    }

    private static func joinAddress(_ text: String) throws -> Address {
        let address = try Address(text)
        guard case .tcp(_, let port) = address, !address.isWildcard, port > 0, port < UInt16.max - 1 else {
            throw RuntimeError("--address \(text): give tcp://HOST:PORT, the --listen address as workers reach it")
        }
        return ListenAddress.forJoining(address)
    }

    /// Where the coordinator takes requests; every interface becomes this host's name.
    private static func endpoints(_ store: AccessStore, _ run: String) throws -> [Address] {
        let stored = try store.endpoints().map { try Address($0) }
        guard !stored.isEmpty else {
            throw RuntimeError(
                "the run `\(run)` takes no workers of other hosts: start it with --listen tcp://ADDRESS:PORT, or give "
                    + "--address tcp://HOST:PORT for when it will be")
        }
        return stored.map { $0.seen(from: .tcp(host: ProcessInfo.processInfo.hostName, port: 0)) }
    }
}
