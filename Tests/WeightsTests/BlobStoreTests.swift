// Is a blob in the store always the whole blob?

import Foundation
import Rollouts
import Testing

@testable import Weights

@Suite struct BlobStoreTests {
    private let folder = ScratchFolder()
    private let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    private var reference: BlobReference { BlobReference(digest: TreeHash.hash(bytes), byteCount: bytes.count) }

    private func store() throws -> BlobStore { try BlobStore(directory: folder.path + "/deep/blobs") }

    @Test func `inserted bytes are found, read in parts, verified, listed and removed`() throws {
        let store = try store()
        #expect(!store.contains(reference))
        #expect(try store.insert(bytes) == reference && store.insert(bytes) == reference)
        #expect(try store.contains(reference) && store.list() == [reference])
        #expect(store.path(for: reference) == store.directory + "/\(reference.digest)")
        #expect(try store.read(reference, offset: 0, count: 1000) == bytes)
        #expect(try store.read(reference, offset: 990, count: 10) == Array(bytes[990...]))
        #expect(try store.read(reference, offset: 1000, count: 0) == [])
        try store.verify(reference)
        try store.remove(reference)
        try store.remove(reference)
        #expect(try !store.contains(reference) && store.list().isEmpty)
        #expect(throws: WeightsError.self) { try store.verify(reference) }
        #expect(throws: WeightsError.self) { try store.read(reference, offset: 0, count: 1) }
    }

    @Test(arguments: [(-1, 1), (0, -1), (0, 1001), (1000, 1), (Int.max, Int.max), (1, Int.max)])
    func `reads outside the blob are refused`(offset: Int, count: Int) throws {
        let store = try store()
        _ = try store.insert(bytes)
        let error = #expect(throws: WeightsError.self) { try store.read(reference, offset: offset, count: count) }
        #expect(error?.expected == "a range within 1000 bytes")
    }

    @Test func `a blob that was cut or changed is seen`() throws {
        let store = try store()
        let path = folder.write("deep/blobs/\(reference.digest)", Array(bytes.dropLast()))
        #expect(!store.contains(reference))
        #expect(throws: WeightsError.self) { try store.read(reference, offset: 500, count: 500) }
        let cut = #expect(throws: WeightsError.self) { try store.verify(reference) }
        #expect(cut?.file == path && cut?.found == "999 bytes")
        var changed = bytes
        changed[500] ^= 1
        folder.write("deep/blobs/\(reference.digest)", changed)
        #expect((#expect(throws: WeightsError.self) { try store.verify(reference) })?.subject == "hash")
    }

    @Test func `pieces in order become the blob`() throws {
        let store = try store()
        let partial = try store.beginPartial(reference)
        for start in stride(from: 0, to: 1000, by: 300) {
            #expect(partial.receivedBytes == start && !store.contains(reference))
            try partial.append(Array(bytes[start..<min(start + 300, 1000)]), at: start)
        }
        try partial.finish()
        #expect(store.contains(reference))
        try store.verify(reference)
    }

    @Test func `pieces out of order, too long, too few or wrong are refused`() throws {
        let store = try store()
        do {
            let partial = try store.beginPartial(reference)
            try partial.append(Array(bytes[..<400]), at: 0)
            for offset in [0, 399, 401, -1, Int.max] {
                let error = #expect(throws: WeightsError.self) { try partial.append([1], at: offset) }
                #expect(error?.expected == "offset 400" && error?.found == "a piece at offset \(offset)")
            }
            let long = #expect(throws: WeightsError.self) {
                try partial.append([UInt8](repeating: 0, count: 601), at: 400)
            }
            #expect(long?.expected == "at most 600, the rest of the blob")
            #expect((#expect(throws: WeightsError.self) { try partial.finish() })?.found == "400 bytes")
        }
        do {
            let partial = try store.beginPartial(reference)
            try partial.append(bytes.reversed(), at: 0)
            #expect((#expect(throws: WeightsError.self) { try partial.finish() })?.subject == "hash")
        }
        #expect(!store.contains(reference))
        #expect(try Disk.names(in: store.directory).isEmpty)
    }

    @Test func `a dropped transfer leaves nothing and leftovers of a killed one go`() throws {
        let store = try store()
        do {
            let partial = try store.beginPartial(reference)
            try partial.append([1], at: 0)
            #expect(try Disk.names(in: store.directory).count == 1)
        }
        #expect(try Disk.names(in: store.directory).isEmpty)
        folder.write("deep/blobs/.tmp-1-ff", bytes)
        _ = try store.insert(bytes)
        #expect(try store.list() == [reference])
        try store.removeLeftovers()
        #expect(try Disk.names(in: store.directory) == ["\(reference.digest)"])
    }

    @Test func `a blob larger than the disk is refused before it begins`() throws {
        let huge = BlobReference(digest: reference.digest, byteCount: 1 << 60)
        let store = try store()
        let error = #expect(throws: WeightsError.self) { try store.beginPartial(huge) }
        #expect(error?.subject == "free space" && error?.expected == "1152921504606846976 bytes")
        #expect(error?.file == store.directory && error?.advice?.contains("free space") == true)
        let negative = BlobReference(digest: reference.digest, byteCount: -1)
        #expect(throws: WeightsError.self) { try store.beginPartial(negative) }
    }

    @Test func `a finished file is adopted only as what it is`() throws {
        let store = try store()
        let right = folder.write("right", bytes)
        let wrong = folder.write("wrong", bytes + [0])
        #expect(throws: WeightsError.self) { try store.adopt(wrong, as: reference) }
        #expect(folder.names.contains("wrong") && !store.contains(reference))
        try store.adopt(right, as: reference)
        #expect(store.contains(reference) && !folder.names.contains("right"))
    }

    @Test func `a folder that cannot be made is named with the reason`() {
        folder.write("file", "x")
        let error = #expect(throws: WeightsError.self) { try BlobStore(directory: folder.path + "/file/blobs") }
        #expect(error?.file == folder.path + "/file/blobs" && error?.found == "Not a directory")
    }

    @Test(.enabled(if: geteuid() != 0, "root may write anywhere"))
    func `a folder without write permission is named with what to check`() throws {
        let store = try store()
        #expect(chmod(store.directory, 0o555) == 0)
        defer { chmod(store.directory, 0o755) }
        let error = #expect(throws: WeightsError.self) { try store.insert(bytes) }
        #expect(error?.expected == "permission")
    }

    @Test func `errors of the disk say path, need and remedy`() {
        let full = WeightsError.system("write", file: "/d/f", code: ENOSPC, neededBytes: 42)
        #expect(
            full.description == "/d/f: write: expected room for 42 bytes, found No space left on device; "
                + "free space on its disk or choose another folder")
        let denied = WeightsError.system("create", file: "/d/f", code: EROFS)
        #expect(
            denied.description.hasPrefix("/d/f: create: expected permission, found Read-only file system; check owner")
        )
    }
}
