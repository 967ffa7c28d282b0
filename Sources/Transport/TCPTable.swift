// Which TCP connections does the kernel know?

import Glibc

/// A row of the kernel's table.
package struct TCPConnection: Hashable, Sendable {
    /// In numbers; an IPv4 address that came in over an IPv6 socket is written as IPv4.
    package var localAddress: String
    package var localPort: UInt16
    package var remoteAddress: String
    package var remotePort: UInt16
}

/// `/proc/self/net/tcp` and `tcp6` (proc_pid_net(5)): of this process's network namespace. A connection that this side
/// closed stays in them for a minute.
package enum TCPTable {
    /// Connections that came in at these addresses.
    /// - Parameter addresses: as bound: numbers, or every interface's.
    /// - Returns: nil where the table cannot be read.
    package static func connections(at addresses: [Address]) -> Set<TCPConnection>? {
        var ports: Set<UInt16> = []
        for case .tcp(_, let port) in addresses { ports.insert(port) }
        guard let rows = contents("/proc/self/net/tcp") else { return nil }
        // Where IPv6 is switched off there is no such table.
        var found = connections(in: rows, at: ports)
        found += connections(in: contents("/proc/self/net/tcp6") ?? [], at: ports)
        return Set(found.filter { isOf(addresses, $0) })
    }

    /// Whether the connection came in at one of them.
    static func isOf(_ addresses: [Address], _ connection: TCPConnection) -> Bool {
        addresses.contains { address in
            guard case .tcp(let host, let port) = address, port == connection.localPort else { return false }
            return ["*", "0.0.0.0", "::"].contains(host) || plain(host) == connection.localAddress
        }
    }

    /// An address as libzmq or the kernel's table has it, written one way.
    package static func plain(_ address: String) -> String {
        let prefix = "::ffff:"
        // A link-local one may name its interface.
        let numbers = address.prefix { $0 != "%" }
        return String(numbers.hasPrefix(prefix) && numbers.contains(".") ? numbers.dropFirst(prefix.count) : numbers)
    }

    /// Sockets that listen, and connections whose other side has not yet shown that it is where it says.
    private static let otherStates: [[UInt8]] = [Array("0A".utf8), Array("03".utf8)]

    /// Rows of a table: `sl local_address rem_address st …`, addresses as `0100007F:1F90`. What is no row is left out.
    static func connections(in table: [UInt8], at ports: Set<UInt16>) -> [TCPConnection] {
        table.split(separator: UInt8(ascii: "\n")).compactMap { line in
            let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 4)
            guard fields.count > 3, !otherStates.contains(where: { fields[3].elementsEqual($0) }) else { return nil }
            let local = fields[1].split(separator: UInt8(ascii: ":"))
            let remote = fields[2].split(separator: UInt8(ascii: ":"))
            guard local.count == 2, remote.count == 2, let localPort = number(local[1], UInt16.self),
                ports.contains(localPort), let remotePort = number(remote[1], UInt16.self),
                let localAddress = address(local[0]), let remoteAddress = address(remote[0])
            else { return nil }
            return TCPConnection(
                localAddress: localAddress, localPort: localPort, remoteAddress: remoteAddress, remotePort: remotePort)
        }
    }

    /// Of hexadecimal digits.
    private static func number<Number: FixedWidthInteger>(_ digits: ArraySlice<UInt8>, _: Number.Type) -> Number? {
        Number(String(decoding: digits, as: UTF8.self), radix: 16)
    }

    /// Words of 32 bits in the machine's order, eight digits each, of an address in network order.
    private static func address(_ digits: ArraySlice<UInt8>) -> String? {
        guard digits.count == 8 || digits.count == 32 else { return nil }
        var words: [UInt32] = []
        for start in stride(from: digits.startIndex, to: digits.endIndex, by: 8) {
            guard let word = number(digits[start..<start + 8], UInt32.self) else { return nil }
            words.append(word)
        }
        let bytes = words.withUnsafeBytes { Array($0) }
        return address(bytes[...], family: words.count == 1 ? AF_INET : AF_INET6)
    }

    /// - Parameter bytes: in network order; of an IPv4 address the first four count.
    /// - Returns: the address in numbers, an IPv4 one inside an IPv6 one as IPv4.
    static func address(_ bytes: ArraySlice<UInt8>, family: Int32) -> String? {
        guard bytes.count >= (family == AF_INET ? 4 : 16) else { return nil }
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard inet_ntop(family, Array(bytes), &text, socklen_t(text.count)) != nil else { return nil }
        return plain(String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }

    /// nil: there is no such file, or not all of it could be read.
    private static func contents(_ path: String) -> [UInt8]? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        return ferror(file) == 0 ? bytes : nil
    }
}
