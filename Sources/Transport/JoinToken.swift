// What `coordinator invite` prints and `worker join` takes: where to knock, whom to expect there, and a secret.

import CChecksum
import CSodium

/// As text: `rookery1-` and base32 of
///
///      0  server's public key (32)    32  token id (8)    40  secret (16)
///     56  addresses, separated by commas (rest)           last 4: CRC32C of all before, little-endian
package struct JoinToken: Equatable, Sendable, CustomStringConvertible {
    package static let prefix = "rookery1-"
    package static let secretBytes = 16
    private static let fixedBytes = 56
    private static let checksumBytes = 4
    private static let mostCharacters = 2048

    package let server: PublicKey
    /// Names the invitation; not secret.
    package let identifier: TokenIdentifier
    package let secret: JoinSecret
    /// Join sockets, tried in turn. Not empty.
    package let addresses: [Address]

    package init(server: PublicKey, identifier: TokenIdentifier, secret: JoinSecret, addresses: [Address]) {
        precondition(!addresses.isEmpty, "JoinToken: without an address nobody can join")
        self.server = server
        self.identifier = identifier
        self.secret = secret
        self.addresses = addresses
    }

    /// Never the secret; `text` has that.
    package var description: String { "join token \(identifier)" }

    package var text: String {
        var bytes = server.bytes + identifier.bytes + secret.bytes
        bytes += Array(addresses.map(\.description).joined(separator: ",").utf8)
        withUnsafeBytes(of: rookery_crc32c(0, bytes, bytes.count).littleEndian) { bytes += Array($0) }
        return JoinToken.prefix + Base32.text(bytes)
    }

    /// Whether a text is meant as a token rather than as an address.
    package static func isMeant(by text: String) -> Bool { text.lowercased().hasPrefix("rookery") }

    package init(_ text: String) throws(TransportError) {
        func wrong(_ reason: String) -> TransportError {
            TransportError(
                .address, "read join token", "`\(text.prefix(16))…`", reason: reason,
                advice: "copy the whole line that `coordinator invite` printed")
        }
        guard JoinToken.isMeant(by: text), let dash = text.firstIndex(of: "-") else { throw wrong("it is no token") }
        guard text[...dash].lowercased() == JoinToken.prefix else {
            throw wrong("it is of another release (`\(text[...dash].prefix(16))`, not `\(JoinToken.prefix)`)")
        }
        guard text.utf8.count <= JoinToken.mostCharacters, let bytes = Base32.bytes(text[text.index(after: dash)...]),
            bytes.count > JoinToken.fixedBytes + JoinToken.checksumBytes
        else { throw wrong("it is mistyped or cut") }
        let body = bytes.dropLast(JoinToken.checksumBytes)
        let checksum = withUnsafeBytes(of: rookery_crc32c(0, bytes, body.count).littleEndian) { Array($0) }
        guard Array(bytes.suffix(JoinToken.checksumBytes)) == checksum else {
            throw wrong("it is mistyped or cut: its checksum is another")
        }
        guard let server = PublicKey(bytes: Array(body[..<32])),
            let identifier = TokenIdentifier(bytes: Array(body[32..<40])),
            let secret = JoinSecret(bytes: Array(body[40..<JoinToken.fixedBytes])),
            let list = String(validating: body[JoinToken.fixedBytes...], as: UTF8.self)
        else { throw wrong("it does not hold what a token holds") }
        var addresses: [Address] = []
        for part in list.split(separator: ",") { addresses.append(try Address(String(part))) }
        guard !addresses.isEmpty else { throw wrong("it names no address") }
        self.init(server: server, identifier: identifier, secret: secret, addresses: addresses)
    }
}

/// Eight random bytes that name an invitation.
package struct TokenIdentifier: Hashable, Sendable, CustomStringConvertible {
    package let bytes: [UInt8]

    package init?(bytes: [UInt8]) {
        guard bytes.count == 8 else { return nil }
        self.bytes = bytes
    }

    package init?(hex: String) {
        guard let bytes = Hexadecimal.bytes(hex) else { return nil }
        self.init(bytes: bytes)
    }

    package static func random() -> TokenIdentifier {
        guard let made = TokenIdentifier(bytes: randomBytes(8)) else { preconditionFailure("8 bytes are asked for") }
        return made
    }

    package var description: String { Hexadecimal.text(bytes) }
}

/// 128 random bits. The coordinator keeps only what is made from them, the verifier.
package struct JoinSecret: Hashable, Sendable, CustomDebugStringConvertible, CustomReflectable {
    let bytes: [UInt8]

    init?(bytes: [UInt8]) {
        guard bytes.count == JoinToken.secretBytes else { return nil }
        self.bytes = bytes
    }

    package static func random() -> JoinSecret {
        guard let secret = JoinSecret(bytes: randomBytes(JoinToken.secretBytes)) else {
            preconditionFailure("\(JoinToken.secretBytes) bytes are asked for")
        }
        return secret
    }

    package var debugDescription: String { "a join secret" }
    package var customMirror: Mirror { Mirror(self, children: []) }

    package var verifier: JoinVerifier { JoinVerifier(secret: self) }
}

/// SHA-256 of a secret, under a name of its own: what both sides prove with, and all that is stored.
package struct JoinVerifier: Equatable, Sendable {
    package let bytes: [UInt8]

    fileprivate init(secret: JoinSecret) {
        Sodium.start()
        let input = Array("rookery invitation 1".utf8) + secret.bytes
        var output = [UInt8](repeating: 0, count: Int(crypto_hash_sha256_bytes()))
        crypto_hash_sha256(&output, input, UInt64(input.count))
        bytes = output
    }

    package init?(bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    /// HMAC-SHA-256 (RFC 2104) over who asks whom for what: of no use to another worker, to another coordinator or for
    /// another token.
    package func proof(worker: PublicKey, server: PublicKey, identifier: TokenIdentifier) -> [UInt8] {
        HMAC.sha256(
            key: bytes,
            message: Array("rookery join 1".utf8) + server.bytes + worker.bytes + identifier.bytes)
    }

    /// Takes the same time however much of it is right.
    package func accepts(
        _ proof: [UInt8], worker: PublicKey, server: PublicKey, identifier: TokenIdentifier
    ) -> Bool {
        let expected = self.proof(worker: worker, server: server, identifier: identifier)
        return proof.count == expected.count && sodium_memcmp(proof, expected, expected.count) == 0
    }
}

enum HMAC {
    static func sha256(key: [UInt8], message: [UInt8]) -> [UInt8] {
        Sodium.start()
        var state = crypto_auth_hmacsha256_state()
        var output = [UInt8](repeating: 0, count: Int(crypto_auth_hmacsha256_bytes()))
        crypto_auth_hmacsha256_init(&state, key, key.count)
        crypto_auth_hmacsha256_update(&state, message, UInt64(message.count))
        crypto_auth_hmacsha256_final(&state, &output)
        return output
    }
}

private func randomBytes(_ count: Int) -> [UInt8] {
    Sodium.start()
    var bytes = [UInt8](repeating: 0, count: count)
    randombytes_buf(&bytes, count)
    return bytes
}
