// Where a coordinator listens beside its own workers' socket, and under which protection.

import Foundation
import Transport

/// TCP addresses are encrypted and admit known keys alone, except where every one of them is loopback and nobody asked
/// for encryption, or where the user insists on none.
package struct ListenPlan: Equatable, Sendable {
    /// Without encryption: `ipc://`, loopback, or anything under `--insecure`.
    package var plain: [Address] = []
    /// With CURVE: TCP only.
    package var encrypted: [Address] = []
    /// Anyone who reaches this host can join.
    package var isOpen = false

    package static let nowhere = ListenPlan()
    private init() {}

    package init(_ texts: [String], encrypt: Bool, insecure: Bool) throws {
        guard !(encrypt && insecure) else {
            throw RuntimeError("--encrypt and --insecure contradict each other: give one of them")
        }
        let addresses = try texts.map { try Address($0) }
        let usesKeys = encrypt || (!insecure && addresses.contains { !$0.isLoopback })
        for address in addresses {
            switch address {
            case .ipc: plain.append(address)
            case .tcp(_, let port):
                let needed = usesKeys ? 2 : 1
                guard port == 0 || Int(port) + needed <= Int(UInt16.max) else {
                    throw RuntimeError(
                        "\(address): \(needed == 1 ? "the next port is" : "the next two ports are") needed too: "
                            + "give one up to \(Int(UInt16.max) - needed)")
                }
                if usesKeys { encrypted.append(address) } else { plain.append(address) }
            }
        }
        if encrypt && encrypted.isEmpty { throw RuntimeError("--encrypt needs --listen tcp://ADDRESS:PORT") }
        isOpen = insecure && plain.contains { !$0.isLoopback }
    }

    package var isEmpty: Bool { plain.isEmpty && encrypted.isEmpty }
}

/// The ports beside a control port, so that a tunnel or a firewall can be told.
package enum ListenAddress {
    /// Bulk data: the next one; the welcome tells workers. Any free port where the control port is any free one too.
    package static func forBlobs(_ control: Address) -> Address { beside(control, 1, "blobs") }
    /// Requests to join: the one after that; tokens tell workers.
    package static func forJoining(_ control: Address) -> Address { beside(control, 2, "join") }

    private static func beside(_ control: Address, _ distance: UInt16, _ purpose: String) -> Address {
        switch control {
        case .tcp(let host, let port): .tcp(host: host, port: port == 0 ? 0 : port + distance)
        case .ipc(let path): .ipc(path: path + "-" + purpose)
        }
    }

    /// The control address that belongs to the join address at which a coordinator was reached.
    package static func control(
        reachedAt join: Address, of token: [Address], among controls: [Address]
    ) -> Address {
        guard let first = controls.first else { preconditionFailure("an admission names an address") }
        let beside = controls.first { forJoining($0).port == join.port && join.port != 0 }
        let place = token.firstIndex(of: join).flatMap { controls.indices.contains($0) ? controls[$0] : nil }
        return (beside ?? place ?? first).reached(as: join)
    }
}

extension Address {
    fileprivate var port: UInt16? {
        if case .tcp(_, let port) = self { port } else { nil }
    }
}
