// Where do tests put their files, and how do they make them?

import Foundation
import Rollouts

@testable import Weights

/// A folder that goes when its owner does. A suite keeps one as a property, so that it outlives the test.
final class ScratchFolder {
    let path: String
    private let parent: ScratchFolder?

    /// Inside another, and gone with that one.
    init(in parent: ScratchFolder) {
        self.parent = parent
        path = parent.path + "/\(UInt64.random(in: 0 ... .max))"
        precondition(mkdir(path, 0o755) == 0, "\(path): no folder")
    }

    init(in place: String = NSTemporaryDirectory()) {
        parent = nil
        var template = Array((place + "/weights-XXXXXX").utf8CString)
        precondition(mkdtemp(&template) != nil, "no temporary folder")
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        guard parent == nil else { return }
        do { try FileManager.default.removeItem(atPath: path) } catch { print("left behind: \(path)") }
    }

    /// Writes a file and gives its path.
    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) -> String {
        let file = path + "/" + name
        let folder = (file as NSString).deletingLastPathComponent
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try Data(bytes).write(to: URL(fileURLWithPath: file))
        } catch {
            preconditionFailure("\(file): \(error)")
        }
        return file
    }

    @discardableResult
    func write(_ name: String, _ text: String) -> String { write(name, Array(text.utf8)) }

    func contents(_ name: String) -> [UInt8] {
        guard let data = FileManager.default.contents(atPath: path + "/" + name) else {
            preconditionFailure("no file \(name)")
        }
        return [UInt8](data)
    }

    var names: [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: path).sorted()
        } catch {
            preconditionFailure("\(path): \(error)")
        }
    }
}

extension ModelConfig {
    /// Heads of eight rows, so that the two rotary row orders differ.
    static func tiny(_ family: ModelFamily, tied: Bool = false, scaling: RotaryScaling? = nil) -> ModelConfig {
        ModelConfig(
            family: family, vocabularySize: 10, hiddenSize: 8, layerCount: 2, headCount: 2, keyValueHeadCount: 1,
            headDimension: 8, intermediateSize: 12, rmsEpsilon: 1e-5, rotaryBase: 10_000, rotaryScaling: scaling,
            contextTokens: 64, tiedEmbeddings: tied)
    }

    /// Values that float16 and bfloat16 hold exactly, different in every row.
    var sampleParameters: [Float] { (0..<elementCount).map { Float($0 % 251) * 0.25 - 31 } }
}

extension ModelSource {
    func parameters() throws(WeightsError) -> [Float] {
        let room = UnsafeMutableBufferPointer<Float>.allocate(capacity: config.elementCount)
        defer { room.deallocate() }
        try readAll(into: room)
        return Array(room)
    }
}

/// The bytes of a safetensors file with any header over any data.
func safetensorsBytes(header: String, data: [UInt8], length: UInt64? = nil) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(littleEndian: length ?? UInt64(header.utf8.count))
    return bytes + Array(header.utf8) + data
}

func floatBytes(_ values: [Float]) -> [UInt8] { values.withUnsafeBytes { [UInt8]($0) } }

/// A file of the test bundle, one JSON object a line.
func fixtureLines<Row: Decodable>(_ name: String, as type: Row.Type) throws -> [Row] {
    guard let url = Bundle.module.url(forResource: name, withExtension: "jsonl", subdirectory: "Fixtures") else {
        preconditionFailure("no fixture \(name)")
    }
    return try String(contentsOf: url, encoding: .utf8).split(separator: "\n").map {
        try JSONDecoder().decode(Row.self, from: Data($0.utf8))
    }
}

func bytes(hex: String) -> [UInt8] {
    let digits = Array(hex.utf8).map { $0 < 58 ? $0 - 48 : $0 - 87 }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}
