// How a worker gets from a token to a place it may connect to.

import Foundation
import Rollouts
import Transport

/// Where a worker connects, as whom, and for what.
package struct WorkerAdmission: Equatable, Sendable {
    package var address: Address
    /// nil without encryption.
    package var curve: CurveClient?
    /// What the coordinator calls this host's key; nil without one.
    package var name: String?
    package var roles: [WorkerRole]

    /// Where this user's worker key is, unless said otherwise; the folder is made, closed to others.
    package static func defaultKeyFile(
        _ environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws -> String {
        // The base directory specification: a relative path in the variable is to be ignored.
        let state: String
        if let given = environment["XDG_STATE_HOME"], given.hasPrefix("/") {
            state = given
        } else if let home = environment["HOME"], home.hasPrefix("/") {
            state = home + "/.local/state"
        } else {
            throw RuntimeError("neither XDG_STATE_HOME nor HOME says where this user's key is: give --key-file PATH")
        }
        let folder = state + "/rookery"
        try PrivateFolder.ensure(folder)
        return folder + "/worker.key"
    }

    /// Asks until the coordinator answers. Asking again with a token that has let in this very key succeeds.
    /// - Parameters:
    ///   - wanted: nil takes every role of the invitation.
    ///   - isCancelled: looked at between attempts; `wake` ends a wait.
    /// - Returns: nil when cancelled.
    package static func obtain(
        _ token: JoinToken, context: Context, keyFile: String, wanted: [WorkerRole]?, wake: WakePipe,
        isCancelled: () -> Bool
    ) throws -> WorkerAdmission? {
        let keys = try KeyFile.loadOrCreate(keyFile)
        var pause = 1
        while true {
            let outcome = try JoinClient.ask(
                context, token: token, keys: keys, name: ProcessInfo.processInfo.hostName, wake: wake,
                isCancelled: isCancelled)
            switch outcome {
            case .cancelled: return nil
            case .admitted(let admission, let reached):
                return try accept(admission, reached, token, keys, wanted)
            case .refused(let reason, mayRetry: false): throw RuntimeError("not let in: \(reason)")
            case .refused(let reason, mayRetry: true):
                Output.note("not let in yet: \(reason); asking again in \(pause) s")
            case .unanswered:
                let places = token.addresses.map { "\($0)\(unknownName(in: $0))" }.joined(separator: ", ")
                Output.note(
                    "no answer at \(places) from the coordinator that made this token; asking again in \(pause) s")
            }
            let end = ContinuousClock.now + .seconds(pause)
            while ContinuousClock.now < end, !isCancelled() {
                _ = wake.wait(timeout: end - ContinuousClock.now)
                wake.drain()
            }
            if isCancelled() { return nil }
            pause = min(32, pause * 2)
        }
    }

    /// For an address whose host has a name that this host cannot look up: libzmq would just wait for it.
    private static func unknownName(in address: Address) -> String {
        guard case .tcp(let host, _) = address else { return "" }
        var found: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host.trimmingCharacters(in: ["[", "]"]), nil, nil, &found)
        if let found { freeaddrinfo(found) }
        return code == 0 ? "" : " (this host does not know the name: \(String(cString: gai_strerror(code))))"
    }

    private static func accept(
        _ admission: JoinAdmission, _ reached: Address, _ token: JoinToken, _ keys: KeyPair, _ wanted: [WorkerRole]?
    ) throws(RuntimeError) -> WorkerAdmission {
        let invited = admission.roles.map(\.rawValue).joined(separator: ", ")
        if let role = wanted?.first(where: { !admission.roles.contains($0) }) {
            throw RuntimeError(
                "the invitation is for \(invited), not for \(role.rawValue): leave --role away, or ask for another one")
        }
        let address = ListenAddress.control(reachedAt: reached, of: token.addresses, among: admission.addresses)
        Output.note("admitted to the run `\(admission.run)` as `\(admission.name)` (\(invited)); joining \(address)")
        return WorkerAdmission(
            address: address, curve: CurveClient(keys: keys, server: token.server), name: admission.name,
            roles: wanted ?? admission.roles)
    }
}
