// Files and folders that nobody but their owner may touch: secret keys, and the sockets of local workers.

import Glibc

package enum PrivateFolder {
    /// Makes it, parents included, or makes sure that it is what it should be.
    /// - Throws: `.storage` for a folder of another user, something that is no folder, or one that cannot be closed to
    ///   others.
    package static func ensure(_ path: String) throws(TransportError) {
        func wrong(_ reason: String, _ advice: String = "") -> TransportError {
            TransportError(.storage, "use the private folder", "`\(path)`", reason: reason, advice: advice)
        }
        if mkdir(path, 0o700) != 0 {
            switch errno {
            case EEXIST: break
            case ENOENT:
                let parts = path.split(separator: "/", omittingEmptySubsequences: true).dropLast()
                guard !parts.isEmpty else { throw wrong("no such folder") }
                try makeParent((path.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/"))
                guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw wrong(text(errno)) }
            default: throw wrong(text(errno))
            }
        }
        var status = stat()
        guard lstat(path, &status) == 0 else { throw wrong(text(errno)) }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw wrong("it is not a folder", "move it away") }
        guard status.st_uid == geteuid() else {
            throw wrong("it belongs to user \(status.st_uid), not to this one (\(geteuid()))", "choose another place")
        }
        guard status.st_mode & 0o077 == 0 || chmod(path, 0o700) == 0 else {
            throw wrong("others may enter it, and that cannot be changed: \(text(errno))")
        }
    }

    private static func makeParent(_ path: String) throws(TransportError) {
        if mkdir(path, 0o755) == 0 || errno == EEXIST { return }
        let parts = path.split(separator: "/", omittingEmptySubsequences: true).dropLast()
        guard errno == ENOENT, !parts.isEmpty else {
            throw TransportError(.storage, "make folder", "`\(path)`", reason: text(errno))
        }
        try makeParent((path.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/"))
        guard mkdir(path, 0o755) == 0 || errno == EEXIST else {
            throw TransportError(.storage, "make folder", "`\(path)`", reason: text(errno))
        }
    }
}

/// A key pair as a text file of mode 0600:
///
///     # Whoever has this file can act in its owner's name. Keep it secret.
///     public 64 hexadecimal digits
///     secret 64 hexadecimal digits
package enum KeyFile {
    private static let mostBytes = 4096

    /// Reads the file, or makes it with new keys. Its folder must exist. Of several processes that make it at once one
    /// succeeds, and the others read what it made.
    package static func loadOrCreate(_ path: String) throws(TransportError) -> KeyPair {
        if access(path, F_OK) != 0 && errno == ENOENT { try create(path, KeyPair.generate()) }
        return try load(path)
    }

    package static func load(_ path: String) throws(TransportError) -> KeyPair {
        func wrong(_ reason: String, _ advice: String = "") -> TransportError {
            TransportError(.storage, "read key file", "`\(path)`", reason: reason, advice: advice)
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else {
            throw wrong(errno == ELOOP ? "it is a symbolic link" : text(errno))
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw wrong(text(errno)) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw wrong("it is not a file") }
        guard status.st_uid == geteuid() else {
            throw wrong("it belongs to user \(status.st_uid), not to this one (\(geteuid()))")
        }
        guard status.st_mode & 0o077 == 0 else {
            throw wrong(
                "its mode is 0\(String(status.st_mode & 0o777, radix: 8)), so others can read the secret",
                "if nobody did, chmod 600; otherwise delete it and join with a new invitation")
        }
        var bytes = [UInt8](repeating: 0, count: mostBytes)
        let count = read(descriptor, &bytes, bytes.count)
        guard count >= 0 else { throw wrong(text(errno)) }
        let damaged = wrong(
            "it does not hold a key pair", "delete it, and a new one is made; it needs a new invitation")
        var fields: [Substring: Substring] = [:]
        for line in String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n")
        where !line.hasPrefix("#") {
            let words = line.split(separator: " ")
            guard words.count == 2 else { throw damaged }
            fields[words[0]] = words[1]
        }
        guard let hex = fields["secret"], let secretBytes = Hexadecimal.bytes(hex),
            let secret = SecretKey(bytes: secretBytes), let pair = KeyPair(secretKey: secret),
            fields["public"].flatMap({ PublicKey(hex: $0) }) == pair.publicKey
        else { throw damaged }
        return pair
    }

    /// Written whole under a name of its own, then given its name: a reader never sees half a key.
    private static func create(_ path: String, _ keys: KeyPair) throws(TransportError) {
        func failed() -> TransportError {
            TransportError(.storage, "write key file", "`\(path)`", reason: text(errno))
        }
        let temporary = "\(path).\(getpid()).new"
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failed() }
        defer { unlink(temporary) }
        let lines =
            "# Whoever has this file can act in its owner's name. Keep it secret.\n"
            + "public \(keys.publicKey.hex)\nsecret \(Hexadecimal.text(keys.secretKey.bytes))\n"
        let bytes = Array(lines.utf8)
        let written = write(descriptor, bytes, bytes.count) == bytes.count && fsync(descriptor) == 0
        let error = written ? nil : failed()
        close(descriptor)
        if let error { throw error }
        guard link(temporary, path) == 0 || errno == EEXIST else { throw failed() }
    }
}

private func text(_ code: Int32) -> String { String(cString: strerror(code)) }
