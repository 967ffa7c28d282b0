// What can be wrong with data, in one line that says where and what to do.

package enum DatasetError: Error, Equatable, CustomStringConvertible {
    /// A file cannot be read: it is missing, a folder, damaged, ...
    case unreadable(path: String, reason: String)
    /// One line of a file is not what it should be.
    case badLine(path: String, line: Int, reason: String)
    /// One field of one line is not what it should be.
    case badField(path: String, line: Int, field: String, found: String, expected: String)
    /// A file, or what its filter leaves of it, holds no rows.
    case noRows(path: String, reason: String)
    /// The recipe's `data` is not usable.
    case badOption(option: String, found: String, expected: String)

    package var description: String {
        switch self {
        case .unreadable(let path, let reason): "\(path): \(reason)"
        case .badLine(let path, let line, let reason): "\(path) line \(line): \(reason)"
        case .badField(let path, let line, let field, let found, let expected):
            "\(path) line \(line): field `\(field)`: found \(found), expected \(expected)"
        case .noRows(let path, let reason): "\(path): \(reason)"
        case .badOption(let option, let found, let expected): "\(option): found \(found), expected \(expected)"
        }
    }
}
