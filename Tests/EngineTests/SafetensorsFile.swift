// A minimal reader of the golden files: float32 safetensors, trusted.
import Foundation
import Testing

struct SafetensorsFile {
    private struct Entry: Decodable {
        var dtype: String
        var data_offsets: [Int]
    }

    private(set) var tensors: [String: [Float]] = [:]

    init(_ url: URL) throws {
        let data = try Data(contentsOf: url)
        let headerSize = Int(data.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) })
        var header = try #require(
            JSONSerialization.jsonObject(with: data[8..<(8 + headerSize)]) as? [String: Any])
        header["__metadata__"] = nil
        let entries = try JSONDecoder().decode(
            [String: Entry].self, from: JSONSerialization.data(withJSONObject: header))
        let body = data[(8 + headerSize)...]
        for (name, entry) in entries {
            precondition(entry.dtype == "F32", "\(name) is \(entry.dtype)")
            let bytes = body[(body.startIndex + entry.data_offsets[0])..<(body.startIndex + entry.data_offsets[1])]
            tensors[name] = [Float](unsafeUninitializedCapacity: bytes.count / 4) { values, count in
                _ = bytes.copyBytes(to: values)
                count = bytes.count / 4
            }
        }
    }
}
