// How does this module say that a file or disk was not as it must be?

import Foundation

/// One line: which file, what in it, what was expected and what was found, and where it helps, what to do.
package struct WeightsError: Error, Equatable, Sendable, CustomStringConvertible {
    package var file: String
    /// The part of the file or the operation: "tensor `x`", "metadata key `y`", "write".
    package var subject: String
    package var found: String
    package var expected: String
    package var advice: String?

    package init(file: String, subject: String, found: String, expected: String, advice: String? = nil) {
        self.file = file
        self.subject = subject
        self.found = found
        self.expected = expected
        self.advice = advice
    }

    package var description: String {
        "\(file): \(subject): expected \(expected), found \(found)" + (advice.map { "; \($0)" } ?? "")
    }

    /// A failed system call. `neededBytes`: how much room the operation wanted.
    static func system(_ operation: String, file: String, code: Int32, neededBytes: Int? = nil) -> WeightsError {
        let reason = String(cString: strerror(code))
        switch code {
        case ENOSPC, EDQUOT, EFBIG:
            return WeightsError(
                file: file, subject: operation, found: reason,
                expected: "room for \(neededBytes.map { "\($0) bytes" } ?? "the file")",
                advice: "free space on its disk or choose another folder")
        case EACCES, EPERM, EROFS:
            return WeightsError(
                file: file, subject: operation, found: reason, expected: "permission",
                advice: "check owner, mode and mount of the file and its folder (running as user \(geteuid()))")
        case ENOENT:
            return WeightsError(file: file, subject: operation, found: reason, expected: "it to exist")
        default:
            return WeightsError(file: file, subject: operation, found: reason, expected: "success")
        }
    }
}

/// Text from a file, safe and short enough for a one-line message.
func quoted(_ text: some StringProtocol) -> String {
    let limit = 80
    var shown = "`"
    for scalar in text.unicodeScalars.prefix(limit) {
        shown += scalar.value < 32 || scalar.value == 127 ? "\\u{\(String(scalar.value, radix: 16))}" : String(scalar)
    }
    return shown + (text.unicodeScalars.count > limit ? "…`" : "`")
}
