// What the programs print: results on standard output, everything else on standard error.

import Foundation

package enum Output {
    package static func line(_ text: String) { write(text + "\n", to: 1) }
    package static func text(_ text: String) { write(text, to: 1) }
    /// One line that says what was wrong and what to do.
    package static func error(_ text: String) { write("error: \(text)\n", to: 2) }
    package static func note(_ text: String) { write(text + "\n", to: 2) }

    /// Unbuffered, so that what is printed is seen at once and in order; a closed pipe ends nothing.
    private static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 { bytes = bytes.dropFirst(count) } else if errno != EINTR { return }
        }
    }

    package static var isTerminal: Bool { isatty(1) == 1 }
}
