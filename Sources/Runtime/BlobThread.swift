// The worker's weights thread: fetches and hands in blobs, so that bulk never delays control.

import Cluster
import Foundation
import Rollouts
import Transport
import Weights

package enum BlobOrder: Sendable {
    case welcome(Welcome)
    case fetch(PolicyManifest)
    /// - Parameter once: of no use here afterwards.
    case upload(LeaseIdentifier, [BlobReference], once: Bool)
    /// Parts of a gradient, for the order to train under this lease.
    case fetchParts(LeaseIdentifier, [BlobReference])
    /// Nobody's.
    case discard([BlobReference])
}

package enum BlobAnswer: Sendable {
    /// The bundle's verified bytes, and the folder where the workbench finds and leaves blobs.
    case bundle(Welcome, [UInt8], blobDirectory: String)
    case bundleFailed(String)
    case fetched(PolicyManifest)
    case fetchFailed(PolicyManifest, String)
    case fetchedParts(LeaseIdentifier)
    case fetchPartsFailed(LeaseIdentifier, String)
    case uploaded(LeaseIdentifier)
    case uploadFailed(LeaseIdentifier, String)
    case note(Note)
}

package struct BlobThread {
    package let orders = Mailbox<BlobOrder>()
    private let thread: NamedThread

    /// - Parameters:
    ///   - coordinatorAddress: where the worker joined; its host replaces that of the welcome's blob address.
    ///   - curve: how to connect to it; nil without encryption.
    ///   - cacheDirectory: for blobs when the run's own folder is not visible here; made when needed.
    ///   - isLearner: fetches optimizer states too.
    ///   - relay: how to serve other workers what was fetched over TCP; nil: not at all.
    package init(
        answers: Mailbox<BlobAnswer>, context: Context, coordinatorAddress: Address,
        curve: CurveClient? = nil, cacheDirectory: String, isLearner: Bool, relay: RelayPlan? = nil
    ) throws {
        let orders = orders
        thread = try NamedThread("weights") {
            var session: BlobSession?
            while let arrived = orders.wait() {
                for order in arrived {
                    switch order {
                    case .welcome(let welcome):
                        // A relay's port is free again before it is taken again.
                        session = nil
                        do {
                            let made = try BlobSession(
                                welcome, context: context, coordinatorAddress: coordinatorAddress,
                                curve: curve, cacheDirectory: cacheDirectory, isLearner: isLearner,
                                relay: relay, note: { answers.put(.note($0)) })
                            session = made
                            let bytes = try made.bundle(welcome.modelBundle)
                            answers.put(.bundle(welcome, bytes, blobDirectory: made.store.directory))
                        } catch {
                            answers.put(.bundleFailed("\(error)"))
                        }
                    case .fetch(let manifest):
                        do {
                            guard let session else { throw RuntimeError("a policy came before the welcome") }
                            try session.fetch(manifest)
                            answers.put(.fetched(manifest))
                        } catch {
                            answers.put(.fetchFailed(manifest, "\(error)"))
                        }
                    case .fetchParts(let lease, let references):
                        do {
                            guard let session else { throw RuntimeError("work came before the welcome") }
                            try session.fetchParts(references)
                            answers.put(.fetchedParts(lease))
                        } catch {
                            answers.put(.fetchPartsFailed(lease, "\(error)"))
                        }
                    case .discard(let references):
                        session?.discard(references)
                    case .upload(let lease, let references, let once):
                        do {
                            guard let session else { throw RuntimeError("work came before the welcome") }
                            try session.upload(references, once: once)
                            answers.put(.uploaded(lease))
                        } catch {
                            answers.put(.uploadFailed(lease, "\(error)"))
                        }
                    }
                }
            }
        }
    }

    package func stop() { orders.close() }
    package func join() { thread.join() }
}

extension Address {
    /// The host by which the coordinator was reached is the one that works from here (a tunnel, another interface);
    /// the port is the announced one.
    package func reached(as control: Address) -> Address {
        if case .tcp(_, let port) = self, case .tcp(let host, _) = control { return .tcp(host: host, port: port) }
        return seen(from: control)
    }
}
