// Who may join this run: its keys, its invitations, and the list of admitted keys that the sockets look at.

import Cluster
import Foundation
import Rollouts
import RunStore
import Synchronization
import Transport

/// The store is the truth; the list is its copy in memory. Reading the one and replacing the other happen under one
/// lock, so that no admission is lost between the threads that do it (the join server's and the loop's).
package final class RunAccess: Sendable {
    package let keys: KeyPair
    /// Keys that may connect at this moment.
    package let allowed = AllowList()
    /// Those of them that may hand in blobs.
    package let learners = AllowList()
    package let store: AccessStore
    private let run: String
    private let state = Mutex(State())

    private struct State {
        var admitted: [PublicKey: AdmittedWorker] = [:]
        var revoked: [PublicKey] = []
        var foreignChanges = 0
    }

    /// Makes keys and store where there are none.
    package init(_ directory: RunDirectory) throws {
        try PrivateFolder.ensure(directory.keys)
        keys = try KeyFile.loadOrCreate(directory.coordinatorKey)
        store = try AccessStore(path: directory.access)
        run = directory.name
        try reload()
    }

    package func admission(of key: PublicKey) -> AdmittedWorker? { state.withLock { $0.admitted[key] } }

    /// Looks for what other processes have changed since the last look.
    package func refresh() throws {
        let changes = try store.foreignChanges()
        let isNew = state.withLock { state in
            defer { state.foreignChanges = changes }
            return state.foreignChanges != changes
        }
        if isNew { try reload() }
    }

    /// Keys that were admitted and are not any more, each once.
    package func takeRevoked() -> [PublicKey] {
        state.withLock { state in
            defer { state.revoked = [] }
            return state.revoked
        }
    }

    private func reload() throws {
        let result = state.withLock { state -> Result<Void, RunStoreError> in
            do throws(RunStoreError) {
                var admitted: [PublicKey: AdmittedWorker] = [:]
                for worker in try store.workers() {
                    guard let key = PublicKey(hex: worker.key) else {
                        throw RunStoreError.damaged(path: store.path, detail: "the key of `\(worker.name)` is none")
                    }
                    if worker.revokedAt == nil {
                        admitted[key] = worker
                    } else if state.admitted[key] != nil {
                        state.revoked.append(key)
                    }
                }
                state.admitted = admitted
                allowed.replace(with: Set(admitted.keys))
                learners.replace(with: Set(admitted.filter { $0.value.roles.contains(.learner) }.keys))
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    /// Answers a request to join. Called on the join server's thread.
    /// - Parameters:
    ///   - key: what the asking connection proved.
    ///   - addresses: of the control socket.
    ///   - note: gets one line about what was decided.
    package func decide(
        _ request: JoinRequest, key: PublicKey, addresses: [Address], note: (Note.Level, String) -> Void
    ) -> JoinAnswer {
        let token = "token \(request.identifier)"
        func refuse(_ reason: String, mayRetry: Bool = false) -> JoinAnswer {
            note(.warning, "a request to join with \(token) was refused: \(reason) (\(key))")
            return .refused(reason: reason, mayRetry: mayRetry)
        }
        do {
            // Which tokens exist is told to nobody who has none.
            guard let stored = try store.verifier(of: request.identifier.description),
                let verifier = JoinVerifier(bytes: stored),
                verifier.accepts(
                    request.proof, worker: key, server: keys.publicKey, identifier: request.identifier)
            else { return refuse("this token is no invitation to the run") }
            let redemption = try store.redeem(request.identifier.description, key: key.hex, name: request.name)
            switch redemption {
            case .unknown: return refuse("this token is no invitation to the run")
            case .expired(let time):
                let when = Date(timeIntervalSince1970: time).formatted(.iso8601)
                return refuse("the invitation expired at \(when); ask for a new one (coordinator invite \(run))")
            case .used(let name):
                return refuse(
                    "the invitation was used by `\(name)` with another key; ask for a new one "
                        + "(coordinator invite \(run)), or join with that worker's key file")
            case .revoked(let name):
                return refuse(
                    "the admission of `\(name)` was revoked; ask for a new invitation (coordinator invite \(run))")
            case .admitted(let worker, let isNew):
                // In the list before the answer is out: the worker connects at once.
                try reload()
                let roles = worker.roles.map(\.rawValue).joined(separator: ", ")
                let words = isNew ? "is admitted" : "was admitted before"
                note(.info, "`\(worker.name)` \(words) (\(roles); \(token); \(key))")
                return .admitted(
                    JoinAdmission(name: worker.name, roles: worker.roles, run: run, addresses: addresses))
            }
        } catch {
            return refuse("the coordinator cannot look it up: \(error)", mayRetry: true)
        }
    }

    /// Why a worker may not be who it says under this key; nil: it may. Names of admitted workers are `NAME:PROCESS`.
    package func objection(to hello: Hello, key: PublicKey) -> String? {
        guard let admitted = admission(of: key) else { return "its \(key) is not admitted" }
        guard admittedName(hello.worker) == admitted.name else {
            return "worker `\(hello.worker)` is not the one that was admitted with its key, `\(admitted.name)`"
        }
        if let role = hello.roles.first(where: { !admitted.roles.contains($0) }) {
            let roles = admitted.roles.map(\.rawValue).joined(separator: ", ")
            return "`\(admitted.name)` was invited as \(roles), not as \(role.rawValue)"
        }
        return nil
    }
}
