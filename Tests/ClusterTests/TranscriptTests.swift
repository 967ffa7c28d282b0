// Replays the transcripts: a command, `----`, everything the core said, an empty line. `REWRITE=1 swift test` rewrites
// them; the difference is read before it is committed.

import Foundation
import Testing

@Suite struct TranscriptTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Transcripts")

    static let names: [String] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return files.filter { $0.hasSuffix(".txt") }.sorted()
    }()

    @Test func `there are transcripts`() { #expect(Self.names.count >= 13) }

    @Test(arguments: names) func `the core says what the transcript says`(_ name: String) throws {
        let file = Self.folder.appendingPathComponent(name)
        let text = try String(contentsOf: file, encoding: .utf8)
        let replayed = try Self.replay(text, name: name)
        if ProcessInfo.processInfo.environment["REWRITE"] == "1" {
            try replayed.write(to: file, atomically: true, encoding: .utf8)
            return
        }
        let expected = text.split(separator: "\n", omittingEmptySubsequences: false)
        let found = replayed.split(separator: "\n", omittingEmptySubsequences: false)
        for (line, pair) in zip(expected, found).enumerated() where pair.0 != pair.1 {
            Issue.record("\(name):\(line + 1): expected\n  \(pair.0)\nfound\n  \(pair.1)")
            return
        }
        #expect(expected.count == found.count, "\(name): expected \(expected.count) lines, found \(found.count)")
    }

    /// The transcript with the core's words of this run. Lines that start with `#` and empty lines stay.
    private static func replay(_ text: String, name: String) throws -> String {
        var world = TranscriptWorld()
        var output: [String] = []
        var isAnswer = false
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
            if line.isEmpty {
                isAnswer = false
                if output.last != "" { output.append("") }
            } else if line.hasPrefix("#"), !isAnswer {
                output.append(line)
            } else if line == "----" {
                isAnswer = true
            } else if !isAnswer {
                do {
                    output += [line, "----"] + (try world.run(line)) + [""]
                } catch {
                    throw TranscriptError(description: "\(name): `\(line)`: \(error)")
                }
            }
        }
        while output.last == "" { output.removeLast() }
        return output.joined(separator: "\n") + "\n"
    }
}
