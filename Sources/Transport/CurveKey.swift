// Which keys a connection is encrypted and known by: Curve25519 key pairs, as CURVE (ZeroMQ RFC 26) uses them.

import CSodium

/// What a peer proves to have the secret of. Safe to show.
package struct PublicKey: Hashable, Sendable, CustomStringConvertible {
    package static let byteCount = 32
    package let bytes: [UInt8]

    package init?(bytes: [UInt8]) {
        guard bytes.count == PublicKey.byteCount else { return nil }
        self.bytes = bytes
    }

    package init?(hex: some StringProtocol) {
        guard let bytes = Hexadecimal.bytes(hex) else { return nil }
        self.init(bytes: bytes)
    }

    /// 64 lower-case hexadecimal digits.
    package var hex: String { Hexadecimal.text(bytes) }
    /// Enough to tell keys apart in a log.
    package var description: String { "key \(hex.prefix(16))…" }
}

/// Never printed: every way of turning it into text says that it is secret.
package struct SecretKey: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    let bytes: [UInt8]

    init?(bytes: [UInt8]) {
        guard bytes.count == PublicKey.byteCount else { return nil }
        self.bytes = bytes
    }

    package var description: String { "a secret key" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

package struct KeyPair: Hashable, Sendable {
    package let publicKey: PublicKey
    package let secretKey: SecretKey

    package static func generate() -> KeyPair {
        Sodium.start()
        var publicBytes = [UInt8](repeating: 0, count: PublicKey.byteCount)
        var secretBytes = publicBytes
        let status = crypto_box_keypair(&publicBytes, &secretBytes)
        guard status == 0, let publicKey = PublicKey(bytes: publicBytes), let secret = SecretKey(bytes: secretBytes)
        else { preconditionFailure("KeyPair: crypto_box_keypair returned \(status)") }
        return KeyPair(publicKey: publicKey, secretKey: secret)
    }

    private init(publicKey: PublicKey, secretKey: SecretKey) {
        self.publicKey = publicKey
        self.secretKey = secretKey
    }

    /// The pair of a secret key; nil for one that has none (all zero).
    init?(secretKey: SecretKey) {
        Sodium.start()
        var publicBytes = [UInt8](repeating: 0, count: PublicKey.byteCount)
        guard crypto_scalarmult_base(&publicBytes, secretKey.bytes) == 0,
            publicBytes.contains(where: { $0 != 0 }), let publicKey = PublicKey(bytes: publicBytes)
        else { return nil }
        self.init(publicKey: publicKey, secretKey: secretKey)
    }
}

/// A worker's end of encrypted connections: its own keys, and the coordinator's key, which must be known before.
package struct CurveClient: Hashable, Sendable {
    package var keys: KeyPair
    package var server: PublicKey
    package init(keys: KeyPair, server: PublicKey) {
        self.keys = keys
        self.server = server
    }

    var options: [SocketOption] {
        [.curveServerKey(server), .curvePublicKey(keys.publicKey), .curveSecretKey(keys.secretKey)]
    }
}

/// The coordinator's end of encrypted connections: where it listens, as whom, and for whom.
package struct CurveListener: Sendable {
    package var addresses: [Address]
    package var keys: KeyPair
    /// Under which the gatekeeper is asked.
    package var domain: String
    /// Frames of keys that are not on it (any more) are dropped. nil: any key may speak.
    package var allowed: AllowList?

    package init(addresses: [Address], keys: KeyPair, domain: String, allowed: AllowList?) {
        precondition(!domain.isEmpty, "CurveListener: without a domain nobody asks the gatekeeper")
        self.addresses = addresses
        self.keys = keys
        self.domain = domain
        self.allowed = allowed
    }

    /// Without a gatekeeper's answer nobody is let in.
    var options: [SocketOption] {
        [
            .curveServer(true), .curveSecretKey(keys.secretKey), .zapDomain(domain), .zapEnforceDomain(true),
        ]
    }
}

enum Sodium {
    private static let isReady = sodium_init() >= 0
    /// libsodium picks the CPU's fastest implementation here, once.
    static func start() { precondition(isReady, "libsodium cannot start") }
}

enum Hexadecimal {
    static func text(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    static func bytes(_ text: some StringProtocol) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 2)
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = nibble(digits[index]), let low = nibble(digits[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func nibble(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}
