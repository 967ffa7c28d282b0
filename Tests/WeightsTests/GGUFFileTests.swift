// Does the GGUF reader read what is right and refuse everything else by name?

import Foundation
import Testing

@testable import Weights

@Suite struct GGUFFileTests {
    private let folder = ScratchFolder()

    private func sample() -> GGUFBytes {
        var file = GGUFBytes()
        file.set("general.architecture", 8, text("llama"))
        file.add("a", rows: [2, 3], [1, 2, 3, 4, 5, 6])
        file.add("b", rows: [4], [7, 8, 9, 10])
        return file
    }

    private func refusal(_ change: (inout GGUFBytes) -> Void) -> String {
        var file = sample()
        change(&file)
        return refusal(of: file.bytes)
    }

    private func refusal(of bytes: [UInt8]) -> String {
        let path = folder.write("x.gguf", bytes)
        let error = #expect(throws: WeightsError.self) { try GGUFFile(path) }
        #expect(error?.file == path)
        return error.map { "\($0.subject): \($0.expected), \($0.found)" } ?? "accepted"
    }

    @Test(arguments: [UInt32(2), 3]) func `both versions give metadata and tensors`(version: UInt32) throws {
        var file = sample()
        file.version = version
        file.set("u8", 0, [200])
        file.set("i8", 1, [200])
        file.set("u16", 2, le(UInt16(60_000)))
        file.set("i16", 3, le(Int16(-5)))
        file.set("u32", 4, le(UInt32.max))
        file.set("i32", 5, le(Int32.min))
        file.set("f32", 6, f32(1.5))
        file.set("bool", 7, [1])
        file.set("texts", 9, u32(8) + le(UInt64(2)) + text("a") + text("é"))
        file.set("none", 9, u32(5) + le(UInt64(0)))
        file.set("nested", 9, u32(9) + le(UInt64(1)) + u32(5) + le(UInt64(2)) + u32(1) + u32(2))
        file.set("u64", 10, le(UInt64.max))
        file.set("i64", 11, le(Int64(-7)))
        file.set("f64", 12, le((0.1).bitPattern))
        let read = try GGUFFile(folder.write("x.gguf", file.bytes))
        #expect(read.version == Int(version))
        #expect(read.metadata["u8"] == .uint8(200) && read.metadata["i8"] == .int8(-56))
        #expect(read.metadata["u16"] == .uint16(60_000) && read.metadata["i16"] == .int16(-5))
        #expect(read.metadata["u32"]?.integer == 4_294_967_295 && read.metadata["i32"]?.integer == -2_147_483_648)
        #expect(read.metadata["f32"]?.double == 1.5 && read.metadata["f64"]?.double == 0.1)
        #expect(read.metadata["bool"]?.bool == true && read.metadata["texts"]?.strings == ["a", "é"])
        #expect(read.metadata["none"] == .array(.int32, []) && read.metadata["none"]?.strings == nil)
        #expect(read.metadata["nested"] == .array(.array, [.integers([1, 2])]))
        #expect(read.metadata["u64"]?.integer == nil && read.metadata["i64"]?.integer == -7)
        #expect(read.tensors.map(\.name) == ["a", "b"] && read.tensors[0].dimensions == [2, 3])
        var values = [Float](repeating: 0, count: 6)
        values.withUnsafeMutableBufferPointer { read.read(read.tensors[0], into: $0) }
        #expect(values == [1, 2, 3, 4, 5, 6])
    }

    @Test func `the head of the file is checked`() {
        #expect(refusal { $0.magic = Array("GGML".utf8) } == "magic: GGUF, other bytes")
        #expect(refusal { $0.version = 1 } == "version: little-endian version 2 or 3, 1")
        #expect(refusal { $0.version = 4 } == "version: little-endian version 2 or 3, 4")
        #expect(refusal { $0.version = 3 << 24 }.hasSuffix("a big-endian file of version 3"))
        #expect(refusal { $0.tensorCount = .max }.hasPrefix("tensor count: at most"))
        #expect(refusal { $0.keyCount = 1 << 40 }.hasPrefix("metadata count: at most"))
        #expect(refusal { $0.tensorCount = 3 }.hasSuffix("0 dimensions"))
        #expect(refusal { $0.keyCount = 2 }.hasPrefix("tensor 0 name length: at most"))
        #expect(refusal(of: []).hasPrefix("magic: 4 bytes at byte 0"))
    }

    @Test func `every cut is refused`() {
        let whole = sample().bytes
        for length in 0..<whole.count {
            let path = folder.write("x.gguf", Array(whole.prefix(length)))
            #expect(throws: WeightsError.self, "cut to \(length) bytes") { try GGUFFile(path) }
        }
    }

    @Test func `metadata is checked`() {
        #expect(refusal { $0.set("k", 13, []) } == "metadata key `k` type: 0 to 12, 13")
        #expect(refusal { $0.set("k", 7, [2]) } == "metadata key `k`: 0 or 1, 2")
        #expect(refusal { $0.set("k", 8, le(UInt64.max)) }.hasPrefix("metadata key `k` length: at most"))
        #expect(refusal { $0.set("k", 8, le(UInt64(1)) + [0xff]) }.contains("not UTF-8"))
        #expect(refusal { $0.set("k", 9, u32(8) + le(UInt64(1) << 61)) }.hasPrefix("metadata key `k` count: at most"))
        #expect(refusal { $0.keys.append(("general.architecture", 7, [1])) }.hasSuffix("it once, it twice"))
        let nested = (0..<5).reduce([UInt8]()) { value, _ in value + u32(9) + le(UInt64(1)) }
        #expect(refusal { $0.set("k", 9, nested + u32(0) + le(UInt64(0))) }.hasSuffix("deeper nesting"))
        for alignment in [0, 4, 33, 1 << 21] {
            let words = refusal { $0.set("general.alignment", 4, u32(alignment)) }
            #expect(words.hasPrefix("metadata key `general.alignment`"), "\(alignment): \(words)")
        }
        #expect(refusal { $0.set("general.alignment", 8, text("32")) }.hasSuffix("no integer"))
    }

    @Test func `arrays may not take many times the file's size in memory`() {
        let count = 1 << 23
        let array = u32(0) + le(UInt64(count)) + [UInt8](repeating: 0, count: count)
        let one = refusal { file in for key in ["k", "l", "m"] { file.set(key, 9, array) } }
        #expect(one == "metadata key `m` count: at most 16777216 array elements in the whole file, 8388608")
    }

    @Test func `an alignment other than 32 moves the data`() throws {
        var file = GGUFBytes()
        file.alignment = 128
        file.set("general.alignment", 4, u32(128))
        file.add("a", rows: [1], [5])
        file.add("b", rows: [1], [6])
        let read = try GGUFFile(folder.write("x.gguf", file.bytes))
        #expect(read.tensors[0].offset == 128 && read.tensors[1].offset == 256)
    }

    @Test func `tensor records are checked`() {
        #expect(refusal { $0.tensors[0].rank = 0 }.hasPrefix("tensor `a`: 1 to 4, 0 dimensions"))
        #expect(refusal { $0.tensors[0].rank = 5 }.hasPrefix("tensor `a`: 1 to 4, 5 dimensions"))
        #expect(refusal { $0.tensors[0].dimensions[0] = 0 }.hasSuffix("a dimension of 0"))
        #expect(refusal { $0.tensors[0].dimensions[0] = .max }.hasSuffix("a dimension of 18446744073709551615"))
        #expect(refusal { $0.tensors[0].dimensions = [1 << 40, 1 << 40] }.hasSuffix("product overflows"))
        #expect(refusal { $0.tensors[0].dimensions = [1 << 62] }.contains("whole blocks"))
        #expect(refusal { $0.tensors[0].dimensions[1] = 200 }.contains("an end within the data"))
        #expect(refusal { $0.tensors[0].type = 23 }.contains("type IQ4_XS (23)"))
        #expect(refusal { $0.tensors[0].type = 99 }.contains("type 99, which has no name"))
        #expect(refusal { $0.tensors[0].type = 2 }.contains("whole blocks of 32, rows of 3 elements of type Q4_0"))
        #expect(refusal { $0.tensors[1].offset = 8 }.hasSuffix("a multiple of 32, offset 8"))
        #expect(refusal { $0.tensors[1].offset = 1 << 20 }.contains("an end within the data"))
        #expect(refusal { $0.tensors[1].offset = UInt64.max - 31 }.contains("an end within the data"))
        #expect(refusal { $0.tensors[1].offset = 0 }.contains("do not overlap"))
        #expect(refusal { $0.tensors[1].name = [0x61] }.hasSuffix("it once, it twice"))
        #expect(refusal { $0.tensors[1].name = [0xc0] }.contains("not UTF-8"))
    }

    @Test func `random damage never traps`() {
        let whole = GGUFBytes.model(.tiny(.llama)).bytes
        var random = SplitMix(seed: 3)
        var refused = 0
        for _ in 0..<400 {
            var bytes = whole
            for _ in 0..<3 { bytes[Int(random.next() % 1200)] = UInt8(truncatingIfNeeded: random.next()) }
            let path = folder.write("x.gguf", bytes)
            do { _ = try ModelSource.open(path) } catch { refused += 1 }
        }
        #expect(refused > 200)
    }
}
