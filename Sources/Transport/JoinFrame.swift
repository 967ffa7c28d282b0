// The three messages of the join socket, as bytes.

import Rollouts

/// "I hold this token; let my key in." The key is the connection's own.
package struct JoinRequest: Equatable, Sendable {
    package var identifier: TokenIdentifier
    package var proof: [UInt8]
    /// What the worker would like to be called.
    package var name: String

    package init(identifier: TokenIdentifier, proof: [UInt8], name: String) {
        self.identifier = identifier
        self.proof = proof
        self.name = name
    }
}

package struct JoinAdmission: Equatable, Sendable {
    /// What the worker is called from now on.
    package var name: String
    package var roles: [WorkerRole]
    package var run: String
    /// Control sockets, in the order of the token's addresses. A wildcard host is the one that was reached.
    package var addresses: [Address]

    package init(name: String, roles: [WorkerRole], run: String, addresses: [Address]) {
        self.name = name
        self.roles = roles
        self.run = run
        self.addresses = addresses
    }
}

package enum JoinAnswer: Equatable, Sendable {
    case admitted(JoinAdmission)
    /// - Parameter mayRetry: the same request may succeed later.
    case refused(reason: String, mayRetry: Bool)
}

/// Little-endian:
///
///      0  magic "RKJN" (4)    4  major (2)    6  minor (2)    8  kind (1)    9  detail (1)    10  zero (2)
///     12  fields: each a length (2) and as many bytes
///
/// | kind | detail | fields |
/// |---|---|---|
/// | 1 request | 0 | token id, proof, name |
/// | 2 admitted | 0 | name, roles (text, commas), run, addresses (text, commas) |
/// | 3 refused | 1 if the same request may succeed later | reason |
package enum JoinFrame {
    static let mostBytes = 4096
    static let version: (major: UInt16, minor: UInt16) = (1, 0)
    private static let headerBytes = 12
    private static let magic = Array("RKJN".utf8)
    private static let nameBytes = 64
    private static let reasonBytes = 1024

    private enum Kind: UInt8 { case request = 1, admitted, refused }

    // MARK: encoding

    package static func encode(_ request: JoinRequest) -> [UInt8] {
        frame(.request, [request.identifier.bytes, request.proof, Array(request.name.utf8.prefix(nameBytes))])
    }

    package static func encode(_ answer: JoinAnswer) -> [UInt8] {
        switch answer {
        case .admitted(let admission):
            frame(
                .admitted,
                [
                    Array(admission.name.utf8), Array(admission.roles.map(\.rawValue).joined(separator: ",").utf8),
                    Array(admission.run.utf8),
                    Array(admission.addresses.map(\.description).joined(separator: ",").utf8),
                ])
        case .refused(let reason, let mayRetry):
            frame(.refused, detail: mayRetry ? 1 : 0, [Array(reason.utf8.prefix(reasonBytes))])
        }
    }

    private static func frame(_ kind: Kind, detail: UInt8 = 0, _ fields: [[UInt8]]) -> [UInt8] {
        var bytes = magic
        for number in [version.major, version.minor] { bytes += [UInt8(number & 255), UInt8(number >> 8)] }
        bytes += [kind.rawValue, detail, 0, 0]
        for field in fields {
            precondition(field.count <= Int(UInt16.max), "JoinFrame: a field of \(field.count) bytes")
            bytes += [UInt8(field.count & 255), UInt8(field.count >> 8)] + field
        }
        precondition(bytes.count <= mostBytes, "JoinFrame: \(bytes.count) bytes")
        return bytes
    }

    // MARK: decoding

    package static func decodeRequest(_ frame: [UInt8]) throws(TransportError) -> JoinRequest {
        let (kind, _, fields) = try open(frame)
        guard kind == .request, fields.count == 3 else { throw wrong("it is no request") }
        guard let identifier = TokenIdentifier(bytes: fields[0]), fields[1].count == 32 else {
            throw wrong("its token id or proof has a wrong length")
        }
        return JoinRequest(identifier: identifier, proof: fields[1], name: try text(fields[2], nameBytes, "name"))
    }

    package static func decodeAnswer(_ frame: [UInt8]) throws(TransportError) -> JoinAnswer {
        let (kind, detail, fields) = try open(frame)
        switch (kind, fields.count) {
        case (.refused, 1):
            return .refused(reason: try text(fields[0], reasonBytes, "reason"), mayRetry: detail == 1)
        case (.admitted, 4):
            var roles: [WorkerRole] = []
            for word in try text(fields[1], 256, "roles").split(separator: ",") {
                guard let role = WorkerRole(rawValue: String(word)) else { throw wrong("unknown role `\(word)`") }
                roles.append(role)
            }
            var addresses: [Address] = []
            for word in try text(fields[3], 2048, "addresses").split(separator: ",") {
                addresses.append(try Address(String(word)))
            }
            guard !addresses.isEmpty else { throw wrong("it names no address") }
            return .admitted(
                JoinAdmission(
                    name: try text(fields[0], 256, "name"), roles: roles, run: try text(fields[2], 256, "run"),
                    addresses: addresses))
        default: throw wrong("it is no answer")
        }
    }

    /// The header's layout is that of every version to come, so that a refusal can always be read.
    private static func open(_ frame: [UInt8]) throws(TransportError) -> (Kind, UInt8, [[UInt8]]) {
        guard frame.count >= headerBytes, frame.count <= mostBytes, Array(frame[..<4]) == magic else {
            throw wrong("\(frame.count) bytes that are no join message")
        }
        let major = UInt16(frame[4]) | UInt16(frame[5]) << 8
        let minor = UInt16(frame[6]) | UInt16(frame[7]) << 8
        guard let kind = Kind(rawValue: frame[8]) else { throw wrong("unknown kind \(frame[8])") }
        guard major == version.major || kind == .refused else {
            throw TransportError(
                .refused, "read", "a join message",
                reason: "the other side speaks join protocol \(major).\(minor), this one "
                    + "\(version.major).\(version.minor); install the same release on both hosts")
        }
        var fields: [[UInt8]] = []
        var place = headerBytes
        while place < frame.count {
            guard place + 2 <= frame.count else { throw wrong("a field is cut") }
            let length = Int(frame[place]) | Int(frame[place + 1]) << 8
            place += 2
            guard length <= frame.count - place else { throw wrong("a field is cut") }
            fields.append(Array(frame[place..<(place + length)]))
            place += length
        }
        return (kind, frame[9], fields)
    }

    private static func text(_ bytes: [UInt8], _ limit: Int, _ name: String) throws(TransportError) -> String {
        guard bytes.count <= limit, let text = String(validating: bytes, as: UTF8.self) else {
            throw wrong("its \(name) is too long or not text")
        }
        return text
    }

    private static func wrong(_ reason: String) -> TransportError {
        TransportError(.corrupt, "read", "a join message", reason: reason)
    }
}
