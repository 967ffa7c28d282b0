// Is what differs between two versions all that differs, in few bytes, and can nothing else come of it?

import Foundation
import Rollouts
import Testing

@testable import Weights

@Suite struct WeightsDifferenceTests {
    private let home = ScratchFolder()
    private let away = ScratchFolder()

    /// One matrix of four numbers.
    private static let header =
        #"{"w":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}}"#

    private func store(_ folder: ScratchFolder) throws -> BlobStore { try BlobStore(directory: folder.path) }

    private func numbers(_ values: [UInt16]) -> [UInt8] { values.withUnsafeBytes { [UInt8]($0) } }

    private func difference(
        _ before: BlobReference, _ after: BlobReference, limitBytes: Int = .max
    ) throws -> BlobReference? {
        let store = try store(home)
        return try WeightsDifference.make(from: before, to: after, in: store, into: store, limitBytes: limitBytes)
    }

    /// Applies in another store that has the parent alone.
    private func apply(_ difference: BlobReference) throws -> BlobStore {
        let store = try store(away)
        let found = try WeightsDifference(file: home.path + "/\(difference.digest)")
        away.write("\(found.parent.digest)", home.contents("\(found.parent.digest)"))
        try found.apply(in: store, durable: false)
        return store
    }

    private func snapshot(_ config: ModelConfig, _ values: [Float], _ format: SnapshotFormat = .bfloat16) throws
        -> Snapshot.Written
    {
        try values.withUnsafeBufferPointer {
            try Snapshot.write(config: config, parameters: $0, format: format, to: home.path)
        }
    }

    @Test func `two changes of four numbers take twelve bits`() throws {
        let store = try store(home)
        let before = try store.insert(safetensorsBytes(header: Self.header, data: numbers([1, 2, 3, 4])))
        let after = try store.insert(safetensorsBytes(header: Self.header, data: numbers([1, 3, 3, 2])))
        let made = try #require(try difference(before, after))
        let bytes = home.contents("\(made.digest)")
        // Parameter 0; gap 1 (10), more (0), by 1 (0); gap 1 (10), less (1), by 2 (10 0): the lowest bit first.
        #expect(Array(bytes[96...]) == [7, 0, 0, 0x80, 2, 0, 0, 0, 0, 0xd1, 0x00])
        #expect(bytes.prefix(8) == [0x52, 0x44, 0x49, 0x46, 1, 0, 0, 0])
        #expect(try apply(made).read(after, offset: 0, count: after.byteCount) == home.contents("\(after.digest)"))
    }

    @Test func `any change of any number comes back, bit for bit`() throws {
        let store = try store(home)
        // Every distance, signs, infinities, patterns of NaN, and runs without change, over several pieces.
        let count = 300_000
        let header = #"{"w":{"dtype":"BF16","shape":[\#(count)],"data_offsets":[0,\#(2 * count)]}}"#
        let old = (0..<count).map { UInt16(truncatingIfNeeded: $0 &* 40_503) }
        for stride in [1, 2, 3, 97, 4099, 299_999] {
            var new = old
            for index in Swift.stride(from: 0, to: count, by: stride) {
                new[index] = old[index] &+ UInt16(truncatingIfNeeded: (index / stride) % 3 == 0 ? index : 1)
            }
            let before = try store.insert(safetensorsBytes(header: header, data: numbers(old)))
            let after = try store.insert(safetensorsBytes(header: header, data: numbers(new)))
            let made = try #require(try difference(before, after))
            let away = try apply(made)
            #expect(away.contains(after))
            #expect(try away.read(after, offset: 0, count: after.byteCount) == home.contents("\(after.digest)"))
        }
    }

    @Test func `a policy's small update takes a small share, and vectors come whole`() throws {
        let config = ModelConfig.tiny(.qwen2)
        let values = config.sampleParameters
        var changed = values
        for index in stride(from: 5, to: values.count, by: 100) { changed[index] *= 1.01 }
        let (before, after) = (try snapshot(config, values), try snapshot(config, changed))
        let made = try #require(try difference(before.blob, after.blob))
        #expect(made.byteCount < before.blob.byteCount / 10)
        let store = try apply(made)
        let read = try MappedSnapshot(
            file: store.path(for: after.blob), config: config, expecting: after.weightsHash)
        #expect(read.format == .bfloat16)
        #expect(try WeightsDifference(file: home.path + "/\(made.digest)").blocks.contains { $0.kind == .whole })
    }

    @Test func `without bfloat16, with other tensors, or above the limit there is none`() throws {
        let config = ModelConfig.tiny(.qwen2)
        let values = config.sampleParameters
        let wide = [try snapshot(config, values, .float32), try snapshot(config, values.map { $0 + 1 }, .float32)]
        #expect(try difference(wide[0].blob, wide[1].blob) == nil)
        let narrow = [try snapshot(config, values), try snapshot(config, values.map { $0 * -1.5 })]
        #expect(try difference(narrow[0].blob, wide[0].blob) == nil)
        #expect(try difference(narrow[0].blob, narrow[1].blob, limitBytes: 500) == nil)
        #expect(try difference(narrow[0].blob, narrow[1].blob) != nil)
        let store = try store(home)
        let others = try [#"{"w":"#, #"{"v":"#].map { start in
            try store.insert(
                safetensorsBytes(
                    header: start + #"{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}"#, data: [1, 2]))
        }
        #expect(try difference(others[0], others[1]) == nil)
    }

    @Test func `no damaged difference makes anything else than its target`() throws {
        let store = try store(home)
        let old = (0..<64).map { UInt16($0 * 3) }
        var new = old
        for index in [3, 4, 40] { new[index] &+= 2 }
        let header = #"{"w":{"dtype":"BF16","shape":[64],"data_offsets":[0,128]}}"#
        let before = try store.insert(safetensorsBytes(header: header, data: numbers(old)))
        let after = try store.insert(safetensorsBytes(header: header, data: numbers(new)))
        let made = try #require(try difference(before, after))
        let sound = home.contents("\(made.digest)")
        let target = home.contents("\(after.digest)")
        let there = try self.store(away)
        away.write("\(before.digest)", home.contents("\(before.digest)"))
        var refusals = 0
        func attempt(_ bytes: [UInt8]) {
            let path = home.write("damaged", bytes)
            do {
                let found = try WeightsDifference(file: path)
                try found.apply(in: there, durable: false)
            } catch {
                refusals += 1
            }
            // The parent, and the target if the damage was none that counts.
            #expect(away.names.count <= 2 && away.names.allSatisfy { $0.count == 64 })
            if there.contains(after) { #expect(away.contents("\(after.digest)") == target) }
            unlink(there.path(for: after))
        }
        for index in sound.indices {
            for flip in [1, 0x80, 0xff] as [UInt8] {
                var bytes = sound
                bytes[index] ^= flip
                attempt(bytes)
            }
        }
        for count in sound.indices { attempt(Array(sound.prefix(count))) }
        attempt(sound + [0])
        // The parent's size and the size of a piece, where they still fit, change nothing.
        #expect(refusals >= 3 * (sound.count - 4) + sound.count + 1)
    }

    @Test func `a missing parent is named`() throws {
        let config = ModelConfig.tiny(.qwen2)
        let values = config.sampleParameters
        let before = try snapshot(config, values)
        let after = try snapshot(config, values.map { $0 * 2 })
        let made = try #require(try difference(before.blob, after.blob))
        let path = home.path + "/\(made.digest)"
        let store = try store(away)
        let error = #expect(throws: WeightsError.self) {
            try WeightsDifference(file: path).apply(in: store, durable: false)
        }
        #expect(
            error?.description == "\(path): parent: expected \(before.blob.digest), found no such blob in "
                + "\(away.path); fetch the whole snapshot instead")
        #expect(away.names.isEmpty)
    }
}
