// How a command of another process reaches the loop of a running coordinator, and how the answer gets back.

import Cluster
import Foundation
import Rollouts
import Transport

/// Files in `runs/NAME/requests/` (mode 0700, files 0600: who may write there may command the run). A request is
/// `request-ID`, its answer `answer-ID`; both are written under another name and renamed, so that nobody reads half of
/// one. Requests of an earlier process of the run are void. Loop thread only.
package final class RequestDesk {
    private static let pause = Duration.milliseconds(250)
    private static let mostAtOnce = 16
    private let folder: String
    private var number: UInt64 = 0
    /// What an answer's file is called after, by number; looked up, never iterated.
    private var identifiers: [UInt64: String] = [:]
    package private(set) var nextLook = MonotonicTime.zero

    package init(folder: String) throws {
        self.folder = folder
        try PrivateFolder.ensure(folder)
        try removeAll()
    }

    /// Looks a few times a second at most.
    /// - Parameter warn: told of files that are no requests; they are removed.
    package func take(at now: MonotonicTime, warn: (String) -> Void) -> [(number: UInt64, request: OperatorRequest)] {
        guard now >= nextLook else { return [] }
        nextLook = now + Self.pause
        // A folder that cannot be read has no requests; whoever writes one learns why.
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []  // see the line above
        var requests: [(number: UInt64, request: OperatorRequest)] = []
        for name in names.sorted().filter({ $0.hasPrefix(RequestFile.requestPrefix) }).prefix(Self.mostAtOnce) {
            let path = "\(folder)/\(name)"
            let bytes = RequestFile.read(path)
            unlink(path)
            guard let bytes, let request = RequestFile.request(bytes) else {
                warn("`\(path)` is no request and was removed")
                continue
            }
            number += 1
            identifiers[number] = String(name.dropFirst(RequestFile.requestPrefix.count))
            requests.append((number, request))
        }
        return requests
    }

    package func answer(_ answer: OperatorAnswer, number: UInt64) throws(RuntimeError) {
        guard let identifier = identifiers.removeValue(forKey: number) else { return }
        try RequestFile.write(
            RequestFile.text(of: answer), in: folder, name: RequestFile.answerPrefix + identifier)
    }

    /// After the end nobody answers.
    package func close() {
        // What cannot be removed is, by the next process of the run.
        try? removeAll()  // see the line above
        rmdir(folder)
    }

    private func removeAll() throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) { unlink("\(folder)/\(name)") }
    }
}

/// The other side: leaves a request and waits for its answer.
package struct RequestFile {
    static let requestPrefix = "request-"
    static let answerPrefix = "answer-"
    private static let mostBytes = 4096

    private let folder: String
    private let identifier: String

    /// - Throws: when the folder is not there: the run is not going, or only about to.
    package init(_ request: OperatorRequest, folder: String) throws(RuntimeError) {
        self.folder = folder
        identifier = String(UInt64.random(in: 0 ... .max), radix: 16)
        try Self.write(Self.text(of: request), in: folder, name: Self.requestPrefix + identifier)
    }

    /// The answer, once it is there; its file is removed.
    package func takeAnswer() -> OperatorAnswer? {
        let path = "\(folder)/\(Self.answerPrefix)\(identifier)"
        guard let bytes = Self.read(path), let answer = Self.answer(bytes) else { return nil }
        unlink(path)
        return answer
    }

    /// Takes the request back; false: the coordinator has it already.
    package func withdraw() -> Bool { unlink("\(folder)/\(Self.requestPrefix)\(identifier)") == 0 }

    static func text(of request: OperatorRequest) -> String {
        var members: [(String, JSONText.Value)]
        switch request {
        case .pause(let reason):
            members = [("request", .string("pause"))]
            if let reason { members.append(("reason", .string(reason))) }
        case .resume: members = [("request", .string("resume"))]
        case .stop(let savesCheckpoint):
            members = [("request", .string("stop")), ("checkpoint", .bool(savesCheckpoint))]
        case .drain(let worker): members = [("request", .string("drain")), ("worker", .string(worker))]
        }
        return JSONText.object(members)
    }

    static func request(_ bytes: Data) -> OperatorRequest? {
        // What is no JSON is no request.
        guard let object = (try? JSONSerialization.jsonObject(with: bytes)) as? [String: Any]  // see the line above
        else { return nil }
        switch object["request"] as? String {
        case "pause": return .pause(reason: object["reason"] as? String)
        case "resume": return .resume
        case "stop": return (object["checkpoint"] as? Bool).map { .stop(savesCheckpoint: $0) }
        case "drain": return (object["worker"] as? String).map { .drain(worker: $0) }
        default: return nil
        }
    }

    static func text(of answer: OperatorAnswer) -> String {
        JSONText.object([("done", .bool(answer.isDone)), ("text", .string(answer.text))])
    }

    static func answer(_ bytes: Data) -> OperatorAnswer? {
        // What is no JSON is no answer.
        guard let object = (try? JSONSerialization.jsonObject(with: bytes)) as? [String: Any],  // see the line above
            let isDone = object["done"] as? Bool, let text = object["text"] as? String
        else { return nil }
        return OperatorAnswer(isDone: isDone, text: text)
    }

    /// A regular file of at most 4 KiB; nil for anything else.
    static func read(_ path: String) -> Data? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { Glibc.close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size <= mostBytes
        else { return nil }
        var bytes = [UInt8](repeating: 0, count: mostBytes)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        return count >= 0 ? Data(bytes[..<count]) : nil
    }

    /// Whole, under its name at once, for the folder's owner alone, whoever writes it.
    static func write(_ text: String, in folder: String, name: String) throws(RuntimeError) {
        func failed() -> RuntimeError { RuntimeError("cannot write `\(folder)/\(name)`: \(errnoText())") }
        let temporary = "\(folder)/.new-\(name)"
        var owner = stat()
        guard stat(folder, &owner) == 0 else { throw failed() }
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failed() }
        defer { Glibc.close(descriptor) }
        let bytes = Array(text.utf8.prefix(mostBytes))
        let isOwned = geteuid() == owner.st_uid || fchown(descriptor, owner.st_uid, owner.st_gid) == 0
        guard isOwned, Glibc.write(descriptor, bytes, bytes.count) == bytes.count,
            rename(temporary, "\(folder)/\(name)") == 0
        else {
            let error = failed()
            unlink(temporary)
            throw error
        }
    }
}
