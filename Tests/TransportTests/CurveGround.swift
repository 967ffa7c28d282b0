// A guarded listener with its gatekeeper, and a wire that flips a bit, for the tests of encryption and admission.

import Glibc
import Synchronization
import Testing

@testable import Transport

/// A context with a gatekeeper for the domains "run" (a list) and "join" (any key).
final class Guarded: Sendable {
    let context: Context
    let keys = KeyPair.generate()
    let list = AllowList()
    let gatekeeper: Gatekeeper
    private let refusals: Refusals

    private final class Refusals: Sendable {
        let values = Mutex<[Gatekeeper.Refusal]>([])
        let added: WakePipe
        init() throws { added = try WakePipe() }
    }

    init() throws {
        let refusals = try Refusals()
        context = try Context()
        gatekeeper = try Gatekeeper(context, rules: ["run": .listed(list), "join": .anyKey]) { refusal in
            refusals.values.withLock { $0.append(refusal) }
            refusals.added.wake()
        }
        self.refusals = refusals
    }

    /// Encrypted only.
    func server() throws -> ControlServer { try ControlServer(context, listen: [], curve: listener()) }

    /// Keys that are let in.
    func admitted() -> KeyPair {
        let keys = KeyPair.generate()
        admit(keys)
        return keys
    }

    var seen: [Gatekeeper.Refusal] { refusals.values.withLock { $0 } }

    /// Waits until the gatekeeper has refused somebody.
    func firstRefusal() -> Gatekeeper.Refusal? {
        let deadline = ContinuousClock.now + patience
        while seen.isEmpty, ContinuousClock.now < deadline {
            _ = refusals.added.wait(timeout: deadline - ContinuousClock.now)
            refusals.added.drain()
        }
        return seen.first
    }

    func listener(_ addresses: [Address] = [anyPort], domain: String = "run") -> CurveListener {
        CurveListener(addresses: addresses, keys: keys, domain: domain, allowed: domain == "run" ? list : nil)
    }

    func admit(_ keys: KeyPair...) { list.replace(with: Set(keys.map(\.publicKey))) }

    func client(_ keys: KeyPair, _ address: Address, server: PublicKey? = nil) throws -> ControlClient {
        var limits = ControlClient.Limits()
        limits.sendWait = .milliseconds(300)
        return try ControlClient(
            context, connect: address, curve: CurveClient(keys: keys, server: server ?? self.keys.publicKey),
            limits: limits)
    }
}

/// Carries TCP between one client and a server, and can flip a bit on the way to the server.
final class FlippingWire: Sendable {
    let address: Address
    private let state: State
    private let thread: NamedThread

    private final class State: Sendable {
        let flips = Atomic(false)
        let stop = Atomic(false)
    }

    /// - Parameter server: a port of 127.0.0.1.
    init(to server: UInt16) throws {
        let listener = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                precondition(Glibc.bind(listener, $0, size) == 0, "FlippingWire: bind failed with errno \(errno)")
                precondition(listen(listener, 8) == 0 && getsockname(listener, $0, &size) == 0)
            }
        }
        address = .tcp(host: "127.0.0.1", port: UInt16(bigEndian: name.sin_port))
        let state = State()
        self.state = state
        thread = try NamedThread("flipping-wire") {
            while !state.stop.load(ordering: .acquiring) {
                var ready = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
                guard poll(&ready, 1, 20) > 0 else { continue }
                let near = accept(listener, nil, nil)
                FlippingWire.carry(near, PlainConnection(port: server), state)
                close(near)
            }
            close(listener)
        }
    }

    deinit {
        state.stop.store(true, ordering: .releasing)
        thread.join()
    }

    /// The next bytes to the server have one bit another way round.
    func flipNext() { state.flips.store(true, ordering: .releasing) }

    private static func carry(_ near: Int32, _ far: PlainConnection, _ state: State) {
        var bytes = [UInt8](repeating: 0, count: 65536)
        while !state.stop.load(ordering: .acquiring) {
            var ready = [near, far.descriptor].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            guard poll(&ready, 2, 20) > 0 else { continue }
            for index in 0..<2 where ready[index].revents != 0 {
                let count = recv(ready[index].fd, &bytes, bytes.count, 0)
                guard count > 0 else { return }
                if index == 0, state.flips.exchange(false, ordering: .acquiringAndReleasing) { bytes[count - 1] ^= 4 }
                var sent = 0
                while sent < count {
                    let now = bytes[sent..<count].withUnsafeBytes {
                        Glibc.send(index == 0 ? far.descriptor : near, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                    }
                    guard now > 0 else { return }
                    sent += now
                }
            }
        }
    }
}
