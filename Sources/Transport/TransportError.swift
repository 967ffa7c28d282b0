// What can go wrong between processes.

import CZeroMQ
import Glibc

/// One line: what was attempted, with which address or blob, why it failed, and what to do where that is known.
package struct TransportError: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Kind: Equatable, Sendable {
        /// The text is not an address, or not one that can be used here.
        case address
        /// A call of libzmq or of the system failed.
        case system
        /// The other side has no such blob.
        case missing
        /// Bytes do not have the checksum or the digest that they should have.
        case corrupt
        /// The other side answered with a reason not to.
        case refused
        /// No answer, after every attempt.
        case timedOut
        case cancelled
        /// Blob storage could not read or write.
        case storage
    }

    package var kind: Kind
    /// "bind", "connect", "download", …
    package var operation: String
    /// Address, blob or setting.
    package var subject: String
    package var reason: String
    package var advice: String

    package init(_ kind: Kind, _ operation: String, _ subject: String, reason: String, advice: String = "") {
        self.kind = kind
        self.operation = operation
        self.subject = subject
        self.reason = reason
        self.advice = advice
    }

    /// From `errno`, right after the call that failed.
    static func system(_ operation: String, _ subject: String, _ code: Int32 = errno) -> TransportError {
        TransportError(
            .system, operation, subject, reason: "\(String(cString: zmq_strerror(code))) (errno \(code))",
            advice: advice(code))
    }

    package var description: String {
        "\(operation) \(subject): \(reason)" + (advice.isEmpty ? "" : "; \(advice)")
    }

    private static func advice(_ code: Int32) -> String {
        switch code {
        case EADDRINUSE: "another process listens there: stop it or choose another address"
        case EACCES: "choose a port above 1023 or a folder that you may write to"
        case EADDRNOTAVAIL, ENODEV: "no network interface of this machine has that address"
        case ENOENT: "make the folder first"
        case EMFILE, ENFILE: "raise the limit of open files (ulimit -n)"
        default: ""
        }
    }
}
