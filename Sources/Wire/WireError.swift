// What can be wrong with bytes that another process sent.

import Cluster

/// One line that names the part, the field, what was expected and what was found.
package struct WireError: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Kind: Equatable, Sendable {
        /// The frame's header or checksum is wrong: not our protocol, or damaged on the way.
        case envelope
        /// A protocol version that this build does not speak.
        case version(ProtocolVersion)
        /// A sound frame of another run, another connection, or one that was here before.
        case stray
        /// Larger than the limit of its kind.
        case tooLarge
        /// The payload is not a message, or a field has a value it must not have.
        case message
    }

    package var kind: Kind
    /// Header field, or path of the message's field: `rollout_result.completions[2].tokens`.
    package var subject: String
    package var expected: String
    package var found: String

    package init(_ kind: Kind, _ subject: String, expected: String, found: String) {
        self.kind = kind
        self.subject = subject
        self.expected = expected
        self.found = found
    }

    package var description: String {
        let place = subject.isEmpty ? "" : ", \(subject)"
        return switch kind {
        case .envelope, .stray, .tooLarge: "frame\(place): expected \(expected), found \(found)"
        case .version:
            "frame\(place): expected \(expected), found \(found); "
                + "run the same release of coordinator and worker on every host"
        case .message: "message\(place): expected \(expected), found \(found)"
        }
    }

    /// The same error, seen from the message that contains the field.
    func inside(_ container: String) -> WireError {
        WireError(kind, subject.isEmpty ? container : "\(container).\(subject)", expected: expected, found: found)
    }
}
