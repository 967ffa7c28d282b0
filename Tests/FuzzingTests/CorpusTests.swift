// Does every input that the fuzzer kept still end as it must, without the fuzzer?

import Foundation
import FuzzTargets
import Testing

@Suite struct CorpusTests {
    private static let corpus = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("fuzzing/corpus")

    private static func files(of target: String) throws -> [URL] {
        try FileManager.default.contentsOfDirectory(
            at: corpus.appendingPathComponent(target), includingPropertiesForKeys: nil
        ).sorted { $0.path < $1.path }
    }

    @Test(arguments: FuzzTarget.all.map(\.name)) func `every kept input ends in a value or a typed error`(
        name: String
    ) throws {
        let target = try #require(FuzzTarget.named(name))
        let files = try CorpusTests.files(of: name)
        var accepted = 0
        var refused = 0
        for file in files {
            do throws(FuzzFinding) {
                switch try target.run([UInt8](try readable(file))) {
                case .accepted: accepted += 1
                case .refused(let error):
                    refused += 1
                    #expect(!"\(error)".isEmpty, "\(name)/\(file.lastPathComponent) is refused without a word")
                }
            } catch {
                Issue.record("\(name)/\(file.lastPathComponent): \(error)")
            }
        }
        // A corpus that is always refused would not reach what comes after.
        #expect(accepted >= 1 && refused >= 1, "\(name): \(accepted) accepted, \(refused) refused")
    }

    private func readable(_ file: URL) throws(FuzzFinding) -> Data {
        do {
            return try Data(contentsOf: file)
        } catch {
            Issue.record("\(file.path) cannot be read: \(error)")
            return Data()
        }
    }

    @Test func `the corpus has a folder for each target, no other, and stays small`() throws {
        let folders = try FileManager.default.contentsOfDirectory(atPath: CorpusTests.corpus.path)
            .filter { !$0.hasSuffix(".md") }
        #expect(folders.sorted() == FuzzTarget.all.map(\.name).sorted())
        let sizes = try folders.flatMap { try CorpusTests.files(of: $0) }.map { try Data(contentsOf: $0).count }
        #expect(sizes.reduce(0, +) < 1 << 20, "\(sizes.reduce(0, +)) bytes: minimise it, `cluster/fuzz --minimise`")
    }
}
