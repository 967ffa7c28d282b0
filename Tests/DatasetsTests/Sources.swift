// How these tests make sources and find files.

import Datasets
import Foundation
import Rollouts

func task(_ name: String, weight: Double = 1, count: Int = 1000) -> DataSource {
    var source = DataSource()
    source.task = name
    source.weight = weight
    source.count = count
    return source
}

func file(_ path: String, _ change: (inout DataSource) -> Void = { _ in }) -> DataSource {
    var source = DataSource()
    source.path = path
    change(&source)
    return source
}

func load(_ sources: [DataSource], share: Double = 0.2, seed: UInt64 = 1, system: String? = nil) throws -> Dataset {
    var options = DataOptions()
    options.sources = sources
    options.heldOutShare = share
    options.system = system
    return try Dataset.load(options, seed: seed)
}

/// The error's line; nil when the data can be loaded.
func failure(_ sources: [DataSource], share: Double = 0, system: String? = nil) -> String? {
    do {
        _ = try load(sources, share: share, system: system)
        return nil
    } catch {
        return "\(error)"
    }
}

func fixture(_ name: String) -> String { Bundle.module.path(forResource: "Fixtures/\(name)", ofType: nil)! }

/// A file beside the repository that a clone need not have.
func sharedFile(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("../shared/data/\(name)").standardized.path
}

func hasSharedFile(_ name: String) -> Bool { FileManager.default.fileExists(atPath: sharedFile(name)) }

/// A folder that is deleted with its owner.
final class TemporaryFolder {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("datasets-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        // A folder left over in the system's temporary place is harmless.
        try? FileManager.default.removeItem(atPath: path)
    }

    func write(_ text: String, to name: String = "rows.jsonl") throws -> String {
        try write(Array(text.utf8), to: name)
    }

    func write(_ bytes: [UInt8], to name: String) throws -> String {
        let file = "\(path)/\(name)"
        try Data(bytes).write(to: URL(fileURLWithPath: file))
        return file
    }
}
