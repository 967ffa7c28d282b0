// Which TCP connections does the kernel know?

import Glibc

/// A row of the kernel's table.
package struct TCPConnection: Hashable, Sendable {
    package var localPort: UInt16
    /// In numbers; an IPv4 address that came in over an IPv6 socket is written as IPv4.
    package var remoteAddress: String
    package var remotePort: UInt16
}

/// `/proc/self/net/tcp` and `tcp6` (proc_pid_net(5)): of this process's network namespace. A connection that this side
/// closed stays in them for a minute.
package enum TCPTable {
    /// Connections that came in at these ports. None where the kernel shows no table.
    package static func connections(at ports: Set<UInt16>) -> Set<TCPConnection> {
        var connections: Set<TCPConnection> = []
        for name in ["tcp", "tcp6"] {
            for line in lines(of: "/proc/self/net/" + name) {
                if let connection = connection(line), ports.contains(connection.localPort) {
                    connections.insert(connection)
                }
            }
        }
        return connections
    }

    /// An address as libzmq or the kernel's table has it, written one way.
    package static func plain(_ address: String) -> String {
        let prefix = "::ffff:"
        return address.hasPrefix(prefix) && address.contains(".") ? String(address.dropFirst(prefix.count)) : address
    }

    private static let listening: Substring = "0A"

    /// `sl local_address rem_address st …`, addresses as `0100007F:1F90`. nil for a heading, a socket that listens,
    /// and what is no row.
    static func connection(_ line: Substring) -> TCPConnection? {
        let fields = line.split(separator: " ", maxSplits: 4)
        guard fields.count > 3, fields[3] != listening else { return nil }
        let local = fields[1].split(separator: ":")
        let remote = fields[2].split(separator: ":")
        guard local.count == 2, remote.count == 2, let localPort = UInt16(local[1], radix: 16),
            let remotePort = UInt16(remote[1], radix: 16), let address = address(remote[0])
        else { return nil }
        return TCPConnection(localPort: localPort, remoteAddress: address, remotePort: remotePort)
    }

    /// Words of 32 bits in the machine's order, eight digits each, of an address in network order.
    private static func address(_ digits: Substring) -> String? {
        var words: [UInt32] = []
        var rest = digits
        while !rest.isEmpty {
            guard rest.count >= 8, let word = UInt32(rest.prefix(8), radix: 16) else { return nil }
            words.append(word)
            rest = rest.dropFirst(8)
        }
        guard words.count == 1 || words.count == 4 else { return nil }
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let family = words.count == 1 ? AF_INET : AF_INET6
        guard inet_ntop(family, words, &text, socklen_t(text.count)) != nil else { return nil }
        return plain(String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }

    private static func lines(of path: String) -> [Substring] {
        guard let file = fopen(path, "r") else { return [] }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    }
}
