// Where a socket listens or connects to, as people write it.

import Glibc

/// `tcp://host:port` or `ipc://path`.
package enum Address: Hashable, Sendable, CustomStringConvertible {
    /// `host` without brackets. For listening, "*" is every interface and port 0 is any free one.
    case tcp(host: String, port: UInt16)
    case ipc(path: String)

    /// Bytes of `sockaddr_un.sun_path` without its final zero.
    package static let longestPathBytes = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1

    package init(_ text: String) throws(TransportError) {
        func wrong(_ reason: String) -> TransportError {
            TransportError(
                .address, "read address", "`\(text)`", reason: reason,
                advice: "write tcp://HOST:PORT or ipc:///FOLDER/NAME")
        }
        guard let separator = text.firstRange(of: "://") else { throw wrong("no scheme") }
        let rest = text[separator.upperBound...]
        // Both go on to C, where a text ends at its first zero byte.
        guard !text.utf8.contains(0) else { throw wrong("a zero byte inside") }
        switch text[..<separator.lowerBound] {
        case "tcp":
            guard let colon = rest.lastIndex(of: ":"), !rest.hasSuffix("]") else { throw wrong("no port") }
            var host = rest[..<colon]
            if host.hasPrefix("["), host.hasSuffix("]") {
                host = host.dropFirst().dropLast()
            } else if host.contains(":") {
                throw wrong("an IPv6 host without brackets: [\(host)]")
            }
            guard !host.isEmpty else { throw wrong("no host") }
            guard !host.contains(where: { $0 == "/" || $0 == ";" || $0.isWhitespace }) else {
                throw wrong("`\(host)` is not a host")
            }
            let digits = rest[rest.index(after: colon)...]
            guard !digits.isEmpty else { throw wrong("no port") }
            guard digits.allSatisfy({ $0.isASCII && $0.isNumber }), let port = UInt16(digits) else {
                throw wrong("`\(digits)` is not a port (0 to 65535)")
            }
            self = .tcp(host: String(host), port: port)
        case "ipc":
            guard !rest.isEmpty else { throw wrong("no path") }
            guard rest.utf8.count <= Address.longestPathBytes else {
                throw wrong(
                    "a path of \(rest.utf8.count) bytes, and a socket's path has at most \(Address.longestPathBytes)")
            }
            // No file, so no permissions: anyone on the machine could connect.
            guard !rest.hasPrefix("@") else { throw wrong("an abstract name has no owner and no permissions") }
            guard rest != "*" else { throw wrong("a path chosen by the library") }
            self = .ipc(path: String(rest))
        default: throw wrong("unknown scheme `\(text[..<separator.lowerBound])`")
        }
    }

    package var description: String {
        switch self {
        case .tcp(let host, let port): host.contains(":") ? "tcp://[\(host)]:\(port)" : "tcp://\(host):\(port)"
        case .ipc(let path): "ipc://\(path)"
        }
    }

    /// Whether only processes of this machine can reach it.
    package var isLoopback: Bool {
        switch self {
        case .ipc: true
        case .tcp("localhost", _), .tcp("::1", _): true
        case .tcp(let host, _):
            // 127.0.0.0/8, written in full: a name like 127.example.org is not loopback.
            host.split(separator: ".", omittingEmptySubsequences: false).count == 4
                && host.hasPrefix("127.") && host.allSatisfy { $0 == "." || ($0.isASCII && $0.isNumber) }
        }
    }

    /// Whether the host stands for every interface, so that it cannot be connected to as it is.
    package var isWildcard: Bool {
        switch self {
        case .ipc: false
        case .tcp(let host, _): host == "*" || host == "0.0.0.0" || host == "::"
        }
    }

    /// An address announced by a process that was reached at `reached`: a wildcard host becomes the one that worked.
    package func seen(from reached: Address) -> Address {
        guard isWildcard, case .tcp(_, let port) = self else { return self }
        return switch reached {
        case .tcp(let host, _): .tcp(host: host, port: port)
        case .ipc: .tcp(host: "127.0.0.1", port: port)
        }
    }

    var isIPv6: Bool {
        if case .tcp(let host, _) = self { return host.contains(":") }
        return false
    }
}
