// Which TCP connections has the kernel just forgotten?

import Glibc

/// The kernel tells whoever listens of every TCP connection that ends in its network namespace (sock_diag(7), the group
/// SKNLGRP_INET_TCP_DESTROY; no privilege is needed). So one that came and went between two looks at `TCPTable` is
/// known all the same.
package struct EndedConnections: ~Copyable {
    private static let sockDiag: Int32 = 4
    private static let tcpDestroyGroup: UInt32 = 1
    /// What one `take` reads at most; the kernel keeps a few hundred, and drops what comes after that.
    private static let messageLimit = 10_000

    private let descriptor: Int32

    /// nil where the kernel does not tell.
    package init?() {
        let descriptor = socket(
            AF_NETLINK, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue),
            Self.sockDiag)
        guard descriptor >= 0 else { return nil }
        // struct sockaddr_nl: family, padding, port (0: the kernel chooses), groups.
        var address = [UInt8](repeating: 0, count: 12)
        address.withUnsafeMutableBytes { bytes in
            bytes.storeBytes(of: UInt16(AF_NETLINK), as: UInt16.self)
            bytes.storeBytes(of: Self.tcpDestroyGroup, toByteOffset: 8, as: UInt32.self)
        }
        let isBound = address.withUnsafeBytes { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) {
                bind(descriptor, $0.baseAddress, socklen_t(bytes.count)) == 0
            }
        }
        guard isBound else {
            close(descriptor)
            return nil
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// - Returns: those at these addresses that ended since the last call, but for what the kernel had no room for.
    package func take(at addresses: [Address]) -> Set<TCPConnection> {
        var found: Set<TCPConnection> = []
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        for _ in 0..<Self.messageLimit {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR || errno == ENOBUFS { continue }
            guard count > 0 else { break }
            // A socket that listened has no other side.
            let connections = Self.connections(in: buffer[..<count]).filter { $0.remotePort != 0 }
            found.formUnion(connections.filter { TCPTable.isOf(addresses, $0) })
        }
        return found
    }

    /// Of netlink messages (netlink(7)), each a `struct inet_diag_msg`; what is none is left out.
    static func connections(in bytes: ArraySlice<UInt8>) -> [TCPConnection] {
        var found: [TCPConnection] = []
        var rest = bytes
        while rest.count >= headerBytes {
            // In the machine's order, which is little-endian wherever this runs.
            let length = rest.prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
            guard length >= headerBytes, length <= rest.count else { break }
            if let connection = connection(in: rest.prefix(length).dropFirst(headerBytes)) { found.append(connection) }
            // Each begins at a multiple of four.
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return found
    }

    /// `struct nlmsghdr`: length, type, flags, sequence, port.
    private static let headerBytes = 16

    /// Family, three more bytes, ports in network order at 4 and 6, addresses of 16 bytes at 8 and 24.
    private static func connection(in message: ArraySlice<UInt8>) -> TCPConnection? {
        guard message.count >= 40, let family = message.first.map(Int32.init) else { return nil }
        let at = { (offset: Int) in message[message.startIndex + offset] }
        let port = { (offset: Int) in UInt16(at(offset)) << 8 | UInt16(at(offset + 1)) }
        let address = { (offset: Int) in TCPTable.address(message.dropFirst(offset).prefix(16), family: family) }
        guard let local = address(8), let remote = address(24) else { return nil }
        return TCPConnection(localAddress: local, localPort: port(4), remoteAddress: remote, remotePort: port(6))
    }
}
