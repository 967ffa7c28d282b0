// What if the process is killed, the disk is full, the file is damaged, or two coordinators want one run?

import Cluster
import Foundation
import GRDB
import Rollouts
import Testing

@testable import RunStore

@Suite struct `A run store that` {
    @Test func `is open refuses a second writer and names the first`() throws {
        let folder = try Folder()
        let first = try RunStore(path: folder.store)
        #expect(throws: RunStoreError.locked(path: folder.store, holder: getpid())) {
            try RunStore(path: folder.store)
        }
        let text = RunStoreError.locked(path: "run.sqlite", holder: 42).description
        #expect(
            text == "run.sqlite: in use by process 42: stop that coordinator first, or give this run another folder")
        #expect(first.leaseEpoch() == 0)
    }

    @Test func `is written can be read, and says who writes`() throws {
        let folder = try Folder()
        do {
            let writer = try RunStore(path: folder.store)
            try writer.append([trained(1)])
            let reader = try RunStore(reading: folder.store)
            #expect(reader.writerProcess == getpid())
            #expect(try reader.stepMetrics().map(\.step) == [1])
            try writer.append([trained(2)])
            #expect(try reader.stepMetrics().map(\.step) == [1, 2])
        }
        #expect(try RunStore(reading: folder.store).writerProcess == nil)
    }

    @Test func `was never closed holds everything that was appended`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        try store.append(everyRecord)
        let copy = try folder.copyAsIs()
        #expect(try RunStore(path: copy.store).records() == everyRecord)
        #expect(try RunStore(reading: copy.store).records() == everyRecord)
    }

    @Test func `lost the end of its log holds a prefix of the transactions`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        let expected: [[Cluster.Record]] = (1...4).map { [trained($0), .evaluated(evaluation($0))] }
        for records in expected { try store.append(records) }
        let logPath = folder.store + "-wal"
        let size = try #require(try FileManager.default.attributesOfItem(atPath: logPath)[.size] as? Int)
        var counts: [Int] = []
        for length in stride(from: size, through: 0, by: -5003) {
            let copy = try folder.copyAsIs()
            #expect(truncate(copy.store + "-wal", off_t(length)) == 0)
            let records = try RunStore(path: copy.store).records()
            let whole = records.count / 2
            #expect(records == expected[..<whole].flatMap { $0 })
            counts.append(whole)
        }
        #expect(counts == counts.sorted(by: >))
        #expect(counts.first == 4 && counts.last == 0)
    }

    @Test func `meets a full disk says so and keeps what it had`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        try store.append([trained(1)])
        try store.queue.inDatabase { database in
            let pages = try Int.fetchOne(database, sql: "PRAGMA page_count") ?? 0
            try database.execute(sql: "PRAGMA max_page_count = \(pages)")
        }
        let long = Array(repeating: completions(64), count: 60).enumerated().map { step, completions in
            Cluster.Record.completionsAccepted(prompt(key(2, step)), completions)
        }
        #expect(throws: RunStoreError.diskFull(path: folder.store)) { try store.append([trained(2)] + long) }
        #expect(try store.records() == [trained(1)])
        try store.queue.inDatabase { try $0.execute(sql: "PRAGMA max_page_count = 1000000") }
        try store.append([trained(2)] + long)
        #expect(try store.records().count == 62)
    }

    @Test func `is no database is refused and left alone`() throws {
        let folder = try Folder()
        let text = Data(String(repeating: "not a database ", count: 400).utf8)
        try text.write(to: URL(fileURLWithPath: folder.store))
        let error = #expect(throws: RunStoreError.self) { try RunStore(path: folder.store) }
        #expect(error?.description.hasPrefix("\(folder.store): damaged (file is not a database): restore it") == true)
        #expect(try Data(contentsOf: URL(fileURLWithPath: folder.store)) == text)
    }

    @Test func `belongs to another program is refused and left alone`() throws {
        let folder = try Folder()
        try DatabaseQueue(path: folder.store).write { try $0.execute(sql: "CREATE TABLE songs (title TEXT)") }
        let before = try Data(contentsOf: URL(fileURLWithPath: folder.store))
        #expect(throws: RunStoreError.foreign(path: folder.store)) { try RunStore(path: folder.store) }
        #expect(throws: RunStoreError.foreign(path: folder.store)) { try RunStore(reading: folder.store) }
        #expect(try Data(contentsOf: URL(fileURLWithPath: folder.store)) == before)
    }

    @Test func `is of a newer schema is refused`() throws {
        let folder = try Folder()
        do {
            let store = try RunStore(path: folder.store)
            try store.queue.write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('v999')") }
        }
        #expect(throws: RunStoreError.newerSchema(path: folder.store)) { try RunStore(path: folder.store) }
        #expect(throws: RunStoreError.newerSchema(path: folder.store)) { try RunStore(reading: folder.store) }
    }

    @Test func `has a damaged page is refused`() throws {
        let folder = try Folder()
        do {
            let store = try RunStore(path: folder.store)
            try store.append((1...50).map { trained($0) })
            try store.queue.writeWithoutTransaction { database in
                try database.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)")
            }
        }
        var bytes = try Data(contentsOf: URL(fileURLWithPath: folder.store))
        for page in 2..<bytes.count / 4096 {
            bytes.replaceSubrange(page * 4096..<page * 4096 + 64, with: Data(count: 64))
        }
        try bytes.write(to: URL(fileURLWithPath: folder.store))
        let error = #expect(throws: RunStoreError.self) { try RunStore(path: folder.store) }
        guard case .damaged? = error else {
            Issue.record("expected damage, found \(String(describing: error))")
            return
        }
    }

    @Test func `has a flipped bit among completions names the completion`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        try store.append([.completionsAccepted(prompt(key(3, 1)), completions())])
        try store.queue.write { database in
            let bytes = try Data.fetchOne(database, sql: "SELECT completions FROM groups WHERE step = 3")
            var flipped = try #require(bytes)
            flipped[flipped.count - 20] ^= 0x10
            try database.execute(sql: "UPDATE groups SET completions = ?", arguments: [flipped])
        }
        let error = #expect(throws: RunStoreError.self) { try store.records() }
        #expect(
            error?.description.contains("training group 1 of step 3, completion 1: its bytes do not verify") == true)
    }

    @Test func `has a flipped bit among verdicts names the group`() throws {
        let folder = try Folder()
        let store = try RunStore(path: folder.store)
        let accepted = Cluster.Record.completionsAccepted(prompt(key(3, 1)), completions())
        try store.append([accepted, .verdictsAccepted(key(3, 1), verdicts())])
        try store.queue.write { database in
            let bytes = try Data.fetchOne(database, sql: "SELECT verdicts FROM verdicts WHERE ordinal = 1")
            var flipped = try #require(bytes)
            flipped[8] ^= 1
            try database.execute(sql: "UPDATE verdicts SET verdicts = ?", arguments: [flipped])
        }
        let error = #expect(throws: RunStoreError.self) { try store.records() }
        #expect(error?.description.contains("training group 1 of step 3: its verdicts do not verify") == true)
    }

    @Test func `does not exist cannot be read`() throws {
        let folder = try Folder()
        #expect(throws: RunStoreError.missing(path: folder.store)) { try RunStore(reading: folder.store) }
    }

    @Test func `has no folder says so`() throws {
        let path = "/nowhere/at/all/run.sqlite"
        let error = #expect(throws: RunStoreError.self) { try RunStore(path: path) }
        #expect(
            error?.description
                == "/nowhere/at/all/run.sqlite.lock: cannot be opened (No such file or directory): check that the "
                + "folder exists and is yours to write")
    }

    @Test func `meets an error of SQLite's says what to do about it`() {
        func text(_ code: ResultCode, _ message: String? = nil) -> String {
            RunStoreError(DatabaseError(resultCode: code, message: message), path: "r", operation: "storing records")
                .description
        }
        #expect(text(.SQLITE_READONLY) == "r: cannot be written: give the file and its folder write permission")
        #expect(text(.SQLITE_FULL).hasPrefix("r: the disk is full; nothing accepted is lost"))
        #expect(text(.SQLITE_CORRUPT, "malformed").hasPrefix("r: damaged (malformed)"))
        #expect(text(.SQLITE_IOERR, "disk I/O error").hasPrefix("r: storing records failed ("))
        #expect(text(.SQLITE_IOERR, "disk I/O error").contains("disk I/O error"))
    }
}
