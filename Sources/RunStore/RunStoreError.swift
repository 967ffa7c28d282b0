// What can go wrong with a run's store: one line that names the file and says what to do.

import GRDB

package enum RunStoreError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Another coordinator has the run open. `holder`: its process id, where it could be read.
    case locked(path: String, holder: Int32?)
    case missing(path: String)
    case cannotOpen(path: String, reason: String)
    case readOnly(path: String)
    case diskFull(path: String)
    /// The bytes are not what was written.
    case damaged(path: String, detail: String)
    /// A database, but not a run's.
    case foreign(path: String)
    /// Written by a later Rookery with a schema that this one does not know.
    case newerSchema(path: String)
    /// The record contradicts what is stored.
    case conflict(path: String, subject: String, detail: String)
    case failed(path: String, operation: String, reason: String)

    package var description: String {
        switch self {
        case .locked(let path, let holder):
            let who = holder.map { "process \($0)" } ?? "another process"
            return "\(path): in use by \(who): stop that coordinator first, or give this run another folder"
        case .missing(let path):
            return "\(path): no such file: is this the folder of a run?"
        case .cannotOpen(let path, let reason):
            return "\(path): cannot be opened (\(reason)): check that the folder exists and is yours to write"
        case .readOnly(let path):
            return "\(path): cannot be written: give the file and its folder write permission"
        case .diskFull(let path):
            return "\(path): the disk is full; nothing accepted is lost"
        case .damaged(let path, let detail):
            return "\(path): damaged (\(detail)): restore it from a copy, or start the run again in another folder"
        case .foreign(let path):
            return "\(path): a database, but not the store of a run: is the path right?"
        case .newerSchema(let path):
            return "\(path): written by a newer Rookery: use that version, or start the run again in another folder"
        case .conflict(let path, let subject, let detail):
            return "\(path): \(subject): \(detail)"
        case .failed(let path, let operation, let reason):
            return "\(path): \(operation) failed (\(reason)): what was stored before is safe; go on with --resume"
        }
    }

    /// - Parameter operation: "storing records", for the message of an error that has no case of its own.
    init(_ error: any Error, path: String, operation: String) {
        switch error {
        case let error as RunStoreError:
            self = error
        case let row as DamagedRow:
            self = .damaged(path: path, detail: row.detail)
        case let error as DatabaseError:
            switch error.resultCode {
            case .SQLITE_FULL: self = .diskFull(path: path)
            case .SQLITE_READONLY, .SQLITE_PERM: self = .readOnly(path: path)
            case .SQLITE_CORRUPT, .SQLITE_NOTADB:
                self = .damaged(path: path, detail: error.message ?? error.resultCode.description)
            case .SQLITE_CANTOPEN:
                self = .cannotOpen(path: path, reason: error.message ?? error.resultCode.description)
            default:
                self = .failed(
                    path: path, operation: operation, reason: "\(error.extendedResultCode): \(error.message ?? "")")
            }
        default:
            self = .failed(path: path, operation: operation, reason: "\(error)")
        }
    }
}
