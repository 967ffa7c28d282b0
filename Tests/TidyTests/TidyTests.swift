// The rules of the house that a machine can check: imports by layer, lengths, counted escapes, banned words.

import Foundation
import Testing

private let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

/// What each target may import besides the standard library. ARCHITECTURE.md draws the same picture.
private let allowedImports: [String: Set<String>] = [
    "Rollouts": [],
    "PolicyOptimization": ["Rollouts", "CKernels"],
    "Cluster": ["Rollouts", "PolicyOptimization", "Glibc"],
    "Verifiers": ["Rollouts"],
    "Weights": ["Rollouts", "CSodium", "CChecksum", "CKernels", "Foundation", "Glibc"],
    "Engine": ["Rollouts", "Weights", "CKernels", "COpenBLAS", "Foundation", "Glibc"],
    "Tokenization": ["Rollouts", "Foundation"],
    "Transport": ["Rollouts", "CZeroMQ", "CSodium", "CChecksum", "Synchronization", "Foundation", "Glibc"],
    "Wire": ["Rollouts", "Cluster", "CWire", "CChecksum", "Foundation", "Glibc"],
    "Telemetry": ["Rollouts", "Cluster", "CChecksum", "Logging", "Foundation", "Glibc"],
    "Recipes": ["Rollouts", "Yams", "CYaml", "Foundation", "Glibc"],
    "Datasets": ["Rollouts", "Foundation", "Glibc"],
    "RunStore": ["Rollouts", "Cluster", "GRDB", "Foundation", "Glibc"],
    "Compute": [
        "Rollouts", "Cluster", "PolicyOptimization", "Verifiers", "Weights", "Engine", "Tokenization", "Foundation",
    ],
    "Runtime": [
        "Rollouts", "Cluster", "Weights", "Tokenization", "Transport", "Wire", "Telemetry", "Recipes", "Datasets",
        "RunStore", "Verifiers", "Foundation", "Glibc",
    ],
    "Simulation": ["Rollouts", "Cluster"],
    "FaultInjection": [
        "Rollouts", "Cluster", "Wire", "Transport", "Recipes", "RunStore", "Runtime", "Foundation",
    ],
    "coordinator": ["Runtime", "ArgumentParser"],
    "worker": ["Runtime", "Compute", "ArgumentParser"],
    "simulate": ["Simulation", "ArgumentParser", "Foundation"],
    "chaos": ["FaultInjection", "Runtime", "ArgumentParser"],
]

private struct SourceFile {
    let target: String
    let path: String
    let lines: [Substring]
}

private func swiftFiles(under folder: String) throws -> [SourceFile] {
    let base = root.appendingPathComponent(folder)
    var files: [SourceFile] = []
    let walker = try #require(FileManager.default.enumerator(atPath: base.path))
    for case let relative as String in walker where relative.hasSuffix(".swift") {
        let text = try String(contentsOf: base.appendingPathComponent(relative), encoding: .utf8)
        files.append(
            SourceFile(
                target: String(relative.split(separator: "/")[0]), path: folder + "/" + relative,
                lines: text.split(separator: "\n", omittingEmptySubsequences: false)))
    }
    return files.sorted { $0.path < $1.path }
}

@Test func `a file imports only what its layer may use`() throws {
    let files = try swiftFiles(under: "Sources")
    #expect(files.count > 50)
    for file in files {
        let allowed = try #require(allowedImports[file.target], "target \(file.target) is not in the table")
            .union(["Synchronization", "Dispatch"])  // the standard library's own
        for line in file.lines where line.hasPrefix("import ") || line.contains(" import ") && line.hasPrefix("@") {
            let name = line.split(separator: " ").last.map { String($0.split(separator: ".")[0]) } ?? ""
            #expect(allowed.contains(name), "\(file.path) imports \(name)")
        }
    }
}

@Test func `a file answers one question and says which in its first line`() throws {
    for file in try swiftFiles(under: "Sources") {
        #expect(file.lines.first?.hasPrefix("//") == true, "\(file.path) has no opening comment")
        #expect(file.lines.count <= 500, "\(file.path) has \(file.lines.count) lines: find the two concepts in it")
        for (index, line) in file.lines.enumerated() {
            #expect(line.count <= 120, "\(file.path):\(index + 1) has \(line.count) columns")
        }
    }
}

@Test func `escapes from the compiler's checks are counted and each has its reason`() throws {
    let files = try swiftFiles(under: "Sources")
    func lines(containing text: String) -> [String] {
        files.flatMap { file in
            file.lines.indices.filter { file.lines[$0].contains(text) && !file.lines[$0].contains("///") }
                .map { "\(file.path):\($0 + 1)" }
        }
    }
    #expect(lines(containing: "fatalError(").isEmpty)
    #expect(lines(containing: "try!").isEmpty)
    let unchecked = lines(containing: "@unchecked Sendable").count + lines(containing: "nonisolated(unsafe)").count
    #expect(unchecked <= 20, "\(unchecked) escapes from concurrency checking; name their guard and count them here")
    for file in files {
        for (index, line) in file.lines.enumerated() where line.contains("try?") {
            let near = file.lines[max(0, index - 2)...index].joined()
            #expect(near.contains("//"), "\(file.path):\(index + 1): try? without a reason beside it")
        }
    }
}

@Test func `the core has no clock, no random source and no unordered iteration`() throws {
    let banned = ["ContinuousClock", "SuspendingClock", "Date(", "random(", "UUID(", "print(", "SystemRandom"]
    for file in try swiftFiles(under: "Sources") where ["Cluster", "PolicyOptimization"].contains(file.target) {
        for (index, line) in file.lines.enumerated() where !line.trimmingCharacters(in: .whitespaces).hasPrefix("//") {
            for word in banned { #expect(!line.contains(word), "\(file.path):\(index + 1) uses \(word)") }
        }
    }
}

/// With ten thousand workers a round over them costs more than all the rest of an event: `WorkerIndex` and the sets of
/// `Membership` find them instead. These rounds are for what happens seldom.
@Test func `the core looks at all workers only when something rare happens`() throws {
    let allowed = [
        "Coordinator+Groups.swift": 1,  // filing all of them after one has left
        "Coordinator+Policies.swift": 1,  // weights are void
        "Coordinator+SpotChecks.swift": 2,  // a check that perhaps nobody can make; a liar
        "Coordinator+Steps.swift": 1,  // the end
        "CoordinatorStatus.swift": 2,  // somebody asks
    ]
    let ways = ["filter", "contains", "map", "first", "min", "max", "indices", "reduce", "enumerated"]
    let rounds = ["in membership.workers"] + ways.map { "membership.workers.\($0)" }
    for file in try swiftFiles(under: "Sources") where file.target == "Cluster" {
        let name = file.path.split(separator: "/").last.map(String.init) ?? ""
        let found = file.lines.filter { line in
            rounds.contains { line.contains($0) } && !line.contains("membership.workers[")
        }
        #expect(found.count <= allowed[name] ?? 0, "\(file.path): \(found)")
    }
}

@Test func `no left-overs`() throws {
    for file in try swiftFiles(under: "Sources") {
        for (index, line) in file.lines.enumerated() {
            for word in ["TODO", "FIXME", "XXX:", "HACK"] {
                #expect(!line.contains(word), "\(file.path):\(index + 1) has a \(word)")
            }
        }
    }
}

@Test func `every test file expects something`() throws {
    for file in try swiftFiles(under: "Tests") where file.lines.contains(where: { $0.contains("@Test") }) {
        #expect(
            file.lines.contains { $0.contains("#expect") || $0.contains("#require") || $0.contains("Issue.record") },
            "\(file.path) cannot fail")
    }
}
