// Does what an older release stored come back from a newer one's store?

import Cluster
import Foundation
import GRDB
import Rollouts
import Testing

@testable import RunStore

@Suite struct `A store of the first schema` {
    /// The groups of `everyRecord` as the first schema's release wrote them.
    private func write(_ folder: Folder, checksum: Int64 = -5_218_387_678_217_032_231) throws {
        let queue = try DatabaseQueue(path: folder.store)
        try queue.inDatabase { try $0.execute(sql: "PRAGMA application_id = \(RunSchema.applicationIdentifier)") }
        try RunSchema.migrator.migrate(queue, upTo: "v1")
        try queue.write { database in
            try database.execute(sql: "INSERT INTO run (id, created_at, sequence) VALUES (1, 1000, 9)")
            try database.execute(
                sql: """
                    INSERT INTO groups VALUES (1, 1, 0, 's', 'p', 'a', x'01000000', 5, 7, 0);
                    INSERT INTO groups VALUES (2, 1, 3, 's', CAST('p' || char(0) AS BLOB), 'a', x'01000000', 6, NULL, 1);
                    INSERT INTO verdicts VALUES (1, 1, 0, 0, 1, 0.75, 'equal');
                    INSERT INTO drops VALUES (1, 2, 4, 'no worker could sample it', 8);
                    INSERT INTO completions VALUES (2, 1, 3, 0, 0, 2, 'cut', 0, NULL, NULL, NULL, NULL, NULL, 0);
                    """)
            try database.execute(
                sql: "INSERT INTO completions VALUES (1, 1, 0, 0, 0, 1, 'five', 1, ?, ?, ?, ?, ?, ?)",
                arguments: [
                    Data([7, 0, 0, 0]), Data([0, 0, 0, 0xbf]), Data([0, 0, 0x80, 0xbf]), Data([0, 0, 0, 0x3f]),
                    Data([3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]), checksum,
                ])
        }
    }

    private let completion = Completion(
        index: 0, tokens: [7], sampledLogProbs: [-0.5], policyLogProbs: [-1], entropies: [0.5],
        versions: [PolicyVersion(3)], text: "five", finish: .stop)

    private var expected: [Cluster.Record] {
        [
            .completionsAccepted(
                Prompt(key: key(1, 0), tokens: [1], text: "p", answer: "a", source: "s"), [completion]),
            .verdictsAccepted(key(1, 0), [.right("equal", score: 0.75)]),
            .groupDropped(key(2, 4), reason: "no worker could sample it"),
        ]
    }

    @Test func `gives its groups back when it is opened for writing`() throws {
        let folder = try Folder()
        try write(folder)
        let store = try RunStore(path: folder.store)
        #expect(try store.records() == expected)
        let compacted = try store.groups(ofStep: 1, purpose: .evaluation)
        #expect(compacted.map(\.isCompacted) == [true])
        #expect(compacted.map(\.prompt.text) == ["p\u{0}"])
        #expect(compacted.first?.completions.map(\.text) == ["cut"])
        try store.append([.completionsAccepted(prompt(key(2, 4)), completions())])
        #expect(try store.records().count == 3)
    }

    @Test func `is read without being changed`() throws {
        let folder = try Folder()
        try write(folder)
        let before = try Data(contentsOf: URL(fileURLWithPath: folder.store))
        #expect(try RunStore(reading: folder.store).records() == expected)
        #expect(try Data(contentsOf: URL(fileURLWithPath: folder.store)) == before)
    }

    @Test func `that is damaged says which completion, and stays as it is`() throws {
        let folder = try Folder()
        try write(folder, checksum: 1)
        let error = #expect(throws: RunStoreError.self) { try RunStore(path: folder.store) }
        #expect(
            error?.description.contains("training group 0 of step 1, completion 0: token arrays do not verify") == true)
        let queue = try DatabaseQueue(path: folder.store)
        #expect(try queue.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM completions") } == 2)
    }
}
