// What can go wrong with a log: one line that names the file and says what to do.

package struct TelemetryError: Error, Equatable, Sendable, CustomStringConvertible {
    /// "opening", "writing", "truncating".
    package var operation: String
    package var path: String
    package var reason: String

    package var description: String {
        "\(path): \(operation) failed (\(reason)): check that the folder exists, is yours to write, and has space"
    }
}
