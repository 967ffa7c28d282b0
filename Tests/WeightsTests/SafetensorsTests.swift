// Does the safetensors reader read what is right and refuse everything else by name?

import Foundation
import Testing

@testable import Weights

@Suite struct SafetensorsTests {
    private let folder = ScratchFolder()

    private func refusal(
        _ header: String, data: [UInt8] = [UInt8](repeating: 0, count: 16), length: UInt64? = nil
    ) -> String {
        let path = folder.write("x.safetensors", safetensorsBytes(header: header, data: data, length: length))
        let error = #expect(throws: WeightsError.self) { try SafetensorsFile(path) }
        return error.map { "\($0.subject): \($0.expected), \($0.found)" } ?? "accepted"
    }

    private func entry(_ name: String, _ dtype: String, _ shape: String, _ begin: Int, _ end: Int) -> String {
        "\"\(name)\":{\"dtype\":\"\(dtype)\",\"shape\":\(shape),\"data_offsets\":[\(begin),\(end)]}"
    }

    @Test func `three formats, scalars and empty tensors are read in the order of the data`() throws {
        let header =
            "{"
            + [
                entry("late", "BF16", "[2]", 12, 16), "\"__metadata__\":{\"format\":\"pt\"}",
                entry("first", "F32", "[2]", 0, 8), entry("scalar", "F16", "[]", 8, 10),
                entry("none", "F32", "[0,3]", 10, 10),
                entry("next", "F16", "[1]", 10, 12),
            ].joined(separator: ",") + "}  "
        let data = floatBytes([1.5, -2]) + [0x00, 0x3c, 0x00, 0xc0, 0x80, 0x3f, 0x20, 0xc1]
        let file = try SafetensorsFile(folder.write("x.safetensors", safetensorsBytes(header: header, data: data)))
        #expect(file.metadata == ["format": "pt"])
        #expect(file.tensors.map(\.name) == ["first", "scalar", "none", "next", "late"])
        let values = try file.tensors.map { tensor in
            var out = [Float](repeating: 0, count: tensor.dimensions.reduce(1, *))
            try out.withUnsafeMutableBufferPointer { try file.read(tensor, into: $0) }
            return out
        }
        #expect(values == [[1.5, -2], [1], [], [-2], [1, -10]])
    }

    @Test func `other types are known but not read as numbers`() throws {
        let header = "{\(entry("i", "I64", "[2]", 0, 16))}"
        let path = folder.write("x", safetensorsBytes(header: header, data: [UInt8](repeating: 0, count: 16)))
        let file = try SafetensorsFile(path)
        var out: [Float] = [0, 0]
        let error = #expect(throws: WeightsError.self) {
            try out.withUnsafeMutableBufferPointer { try file.read(file.tensors[0], into: $0) }
        }
        #expect(error?.found == "type I64")
    }

    @Test func `the header's length and text are checked`() {
        #expect(refusal("{}", length: .max).hasPrefix("header length: at most"))
        #expect(refusal("{}", length: 19).hasPrefix("header length: at most 18"))
        #expect(refusal("", data: []).hasPrefix("header: an opening brace, nothing"))
        #expect(refusal(" {}", data: []).hasPrefix("header: an opening brace, byte 32"))
        #expect(refusal("{} x", data: []).contains("the end of the text"))
        #expect(refusal("{", data: []).hasPrefix("header (JSON, byte 1)"))
        #expect(refusal("{\"a\":1,}", data: []).contains("a key in quotes"))
        #expect(refusal("{\"__metadata__\":{\"a\":1}}", data: []).contains("metadata key `a`: text, the number 1"))
        #expect(refusal("{\"__metadata__\":[]}", data: []).contains("an object of texts"))
        let path = folder.write("x", [1, 2, 3])
        #expect(throws: WeightsError.self) { try SafetensorsFile(path) }
    }

    @Test func `a header above 100 MB is refused before it is parsed`() throws {
        let path = folder.write("x", safetensorsBytes(header: "{}", data: [], length: 100_000_001))
        #expect(truncate(path, 100_000_009 + 8) == 0)
        let error = #expect(throws: WeightsError.self) { try SafetensorsFile(path) }
        #expect(error?.expected == "at most 100000000")
    }

    @Test func `names are checked`() {
        let twice = "{\(entry("a", "F32", "[2]", 0, 8)),\(entry("a", "F32", "[2]", 8, 16))}"
        #expect(refusal(twice).contains("key `a` twice"))
        let header = Array("{\"".utf8) + [0xff] + Array(entry("", "F32", "[4]", 0, 16).utf8.dropFirst()) + [0x7d]
        var bytes: [UInt8] = []
        bytes.append(littleEndian: UInt64(header.count))
        let path = folder.write("x", bytes + header + [UInt8](repeating: 0, count: 16))
        let error = #expect(throws: WeightsError.self) { try SafetensorsFile(path) }
        #expect(error?.expected == "UTF-8")
    }

    @Test func `shapes, types and offsets are checked against each other`() {
        #expect(refusal("{\(entry("a", "F31", "[4]", 0, 16))}").contains("type `F31`"))
        #expect(
            refusal("{\(entry("a", "F32", "[5]", 0, 16))}") == "tensor `a`: 20 for F32 of shape [5], 16 bytes of data")
        #expect(refusal("{\(entry("a", "F32", "[1,1,1,1,1,1,1,1,4]", 0, 16))}").contains("at most 8, 9 dimensions"))
        #expect(refusal("{\(entry("a", "F32", "[-4]", 0, 16))}").contains("an integer from 0"))
        #expect(refusal("{\(entry("a", "F32", "[1.5]", 0, 16))}").contains("an integer from 0"))
        #expect(refusal("{\(entry("a", "F32", "[4611686018427387904,4]", 0, 16))}").contains("overflows"))
        #expect(refusal("{\(entry("a", "F32", "[18446744073709551616]", 0, 16))}").contains("an integer from 0"))
        #expect(refusal("{\(entry("a", "F32", "[4]", 16, 0))}").contains("begin ≤ end"))
        #expect(refusal("{\(entry("a", "F32", "[4]", 4, 20))}").contains("begin ≤ end ≤ 16"))
        #expect(refusal("{\(entry("a", "F32", "[4]", -16, 0))}").contains("begin ≤ end"))
        #expect(refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,8,16]}}").contains("begin ≤ end"))
        #expect(
            refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[4]}}").contains("the keys dtype, shape and data_offsets"))
        #expect(refusal("{\"a\":7}").contains("the keys dtype, shape and data_offsets"))
    }

    @Test func `the data is covered once and whole`() {
        #expect(refusal("{\(entry("a", "F32", "[1]", 0, 4)),\(entry("b", "F32", "[2]", 8, 16))}").contains("no gap"))
        #expect(
            refusal("{\(entry("a", "F32", "[3]", 0, 12)),\(entry("b", "F32", "[2]", 8, 16))}").contains("no overlap"))
        #expect(refusal("{\(entry("a", "F32", "[3]", 4, 16))}").contains("a start at byte 4"))
        #expect(refusal("{\(entry("a", "F32", "[3]", 0, 12))}") == "data: 12, where the last tensor ends, 16 bytes")
        #expect(refusal("{}").contains("data: 0"))
    }

    @Test func `what the writer writes is read back and starts at a multiple of 64`() throws {
        let tensors = [TensorShape("a\"\\\n", [2, 2]), TensorShape("b", [1])]
        let writer = try SafetensorsWriter(
            in: folder.path, tensors: tensors.stored(as: .float32), metadata: [("k", "v\u{1}")])
        for values in [[1, 2, 3, 4], [5]] as [[Float]] { try values.withUnsafeBytes { try writer.append($0) } }
        let (blob, digests) = writer.finish()
        #expect(folder.names.count == 1 && folder.names[0].hasPrefix(".tmp-"))
        let path = try writer.file.commit(as: "out")
        #expect(folder.names == ["out"])
        #expect(blob.digest == TreeHash.hash(folder.contents("out")) && blob.byteCount == folder.contents("out").count)
        #expect(digests == [TreeHash.hash(floatBytes([1, 2, 3, 4])), TreeHash.hash(floatBytes([5]))])
        let file = try SafetensorsFile(path)
        #expect(file.tensors.map(\.name) == tensors.map(\.name) && file.metadata == ["k": "v\u{1}"])
        #expect(file.tensors[0].offset % 64 == 0)
    }

    @Test func `random damage never traps`() throws {
        let header = "{\(entry("a", "F32", "[2]", 0, 8)),\(entry("b", "BF16", "[2,2]", 8, 16))}"
        let whole = safetensorsBytes(header: header, data: [UInt8](repeating: 0, count: 16))
        var random = SplitMix(seed: 5)
        var refused = 0
        for _ in 0..<2000 {
            var bytes = whole
            for _ in 0..<2 { bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next()) }
            let path = folder.write("x", bytes)
            do { _ = try SafetensorsFile(path) } catch { refused += 1 }
        }
        #expect(refused > 1000)
    }
}
