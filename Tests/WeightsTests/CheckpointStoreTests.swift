// Can a run always go on from its newest undamaged checkpoint?

import Foundation
import Rollouts
import Testing

@testable import Weights

@Suite struct CheckpointStoreTests {
    private let folder = ScratchFolder()

    private func make() throws -> (BlobStore, CheckpointStore) {
        (
            try BlobStore(directory: folder.path + "/blobs"),
            try CheckpointStore(directory: folder.path + "/checkpoints")
        )
    }

    private func state(_ step: Int) -> [UInt8] { Array("{\"cursor\": \(step * 3), \"text\": \"é\\n\"}".utf8) }

    @discardableResult
    private func write(_ step: Int, _ blobs: BlobStore, _ checkpoints: CheckpointStore) throws -> CheckpointFolder {
        let weights = try blobs.insert([UInt8](repeating: UInt8(step), count: 100))
        let optimizer = step % 2 == 0 ? try blobs.insert([UInt8](repeating: UInt8(step), count: 200)) : nil
        return try checkpoints.write(
            step: step, weights: weights, optimizer: optimizer, state: state(step), from: blobs)
    }

    private func newest(_ checkpoints: CheckpointStore) throws -> (Int?, [String]) {
        var reports: [String] = []
        let checkpoint = try checkpoints.newestValid { reports.append($0.description) }
        return (checkpoint?.step, reports)
    }

    private func change(_ file: String, _ edit: (inout [UInt8]) -> Void) throws {
        let path = folder.path + "/checkpoints/" + file
        var bytes = folder.contents("checkpoints/" + file)
        edit(&bytes)
        // A new file, so that the blob with the same bytes stays.
        try FileManager.default.removeItem(atPath: path)
        folder.write("checkpoints/" + file, bytes)
    }

    @Test func `checkpoints are listed newest first with everything they were given`() throws {
        let (blobs, checkpoints) = try make()
        for step in [2, 10, 9, 1_234_567] { try write(step % 250, blobs, checkpoints) }
        let list = try checkpoints.list { Issue.record($0) }
        #expect(list.map(\.step) == [67, 10, 9, 2])
        #expect(list[1].folder.hasSuffix("/step-000010") && list[1].state == state(10))
        #expect(list[1].optimizerFile != nil && list[2].optimizerFile == nil)
        for checkpoint in list { try checkpoints.validate(checkpoint) }
        #expect(try newest(checkpoints) == (67, []))
        #expect(
            try Disk.names(in: list[1].folder) == ["checkpoint.json", "optimizer.safetensors", "weights.safetensors"])
    }

    @Test func `checkpoint files are second names of the blobs and outlive them`() throws {
        let (blobs, checkpoints) = try make()
        let checkpoint = try write(2, blobs, checkpoints)
        var status = stat()
        #expect(stat(checkpoint.weightsFile, &status) == 0 && status.st_nlink == 2)
        try blobs.remove(checkpoint.weights)
        try checkpoints.validate(checkpoint)
    }

    @Test func `what was written but never recorded is removed, and its step can be written again`() throws {
        let (blobs, checkpoints) = try make()
        for step in [3, 6, 9] { try write(step, blobs, checkpoints) }
        try checkpoints.remove(except: [3, 6, 12])
        #expect(try checkpoints.list { Issue.record($0) }.map(\.step) == [6, 3])
        #expect(try Disk.names(in: folder.path + "/checkpoints").sorted() == ["step-000003", "step-000006"])
        try write(9, blobs, checkpoints)
        #expect(try newest(checkpoints) == (9, []))
    }

    @Test func `a damaged checkpoint is named and the one before it is used`() throws {
        let (blobs, checkpoints) = try make()
        for step in 1...4 { try write(step, blobs, checkpoints) }
        try change("step-000004/weights.safetensors") { $0[50] ^= 1 }
        var (step, reports) = try newest(checkpoints)
        #expect(step == 3 && reports.count == 1)
        #expect(reports[0].contains("step-000004/weights.safetensors: hash"))
        try change("step-000003/weights.safetensors") { $0.removeLast() }
        (step, reports) = try newest(checkpoints)
        #expect(step == 2 && reports.contains { $0.contains("step-000003/weights.safetensors: size") })
        try FileManager.default.removeItem(atPath: folder.path + "/checkpoints/step-000002/optimizer.safetensors")
        (step, reports) = try newest(checkpoints)
        #expect(step == 1 && reports.contains { $0.contains("no file") })
        try FileManager.default.removeItem(atPath: folder.path + "/checkpoints/step-000001/checkpoint.json")
        #expect(try newest(checkpoints).0 == nil)
    }

    @Test func `every changed byte of checkpoint.json is seen`() throws {
        let (blobs, checkpoints) = try make()
        try write(1, blobs, checkpoints)
        let whole = folder.contents("checkpoints/step-000001/checkpoint.json")
        for index in whole.indices {
            folder.write(
                "checkpoints/step-000001/checkpoint.json",
                whole.enumerated().map { $0.offset == index ? $0.element ^ 4 : $0.element })
            #expect(try newest(checkpoints).0 == nil, "byte \(index)")
        }
        folder.write("checkpoints/step-000001/checkpoint.json", whole)
        #expect(try newest(checkpoints).0 == 1)
    }

    @Test func `a checkpoint under another step's name is refused`() throws {
        let (blobs, checkpoints) = try make()
        try write(1, blobs, checkpoints)
        try FileManager.default.moveItem(
            atPath: folder.path + "/checkpoints/step-000001", toPath: folder.path + "/checkpoints/step-000007")
        let (step, reports) = try newest(checkpoints)
        #expect(step == nil && reports.count == 1 && reports[0].contains("expected 7, as the folder's name says"))
    }

    @Test func `a step written again replaces the old one`() throws {
        let (blobs, checkpoints) = try make()
        try write(1, blobs, checkpoints)
        let other = try blobs.insert([9])
        try checkpoints.write(step: 1, weights: other, optimizer: nil, state: Array("[]".utf8), from: blobs)
        let list = try checkpoints.list { Issue.record($0) }
        #expect(list.map(\.weights) == [other] && list[0].state == Array("[]".utf8))
        #expect(try Disk.names(in: checkpoints.directory) == ["step-000001"])
    }

    @Test func `pruning keeps the newest undamaged ones`() throws {
        let (blobs, checkpoints) = try make()
        for step in 1...5 { try write(step, blobs, checkpoints) }
        try change("step-000005/weights.safetensors") { $0.removeLast() }
        #expect(try checkpoints.prune(keeping: 2) == [1, 2])
        #expect(try Disk.names(in: checkpoints.directory) == ["step-000003", "step-000004", "step-000005"])
        #expect(try checkpoints.prune(keeping: 9) == [])
    }

    @Test func `nothing is left of a checkpoint that could not be written`() throws {
        let (blobs, checkpoints) = try make()
        let weights = try blobs.insert([1])
        let missing = BlobReference(digest: TreeHash.hash([2]), byteCount: 1)
        let noFile = #expect(throws: WeightsError.self) {
            try checkpoints.write(step: 1, weights: weights, optimizer: missing, state: state(1), from: blobs)
        }
        #expect(noFile?.file == blobs.path(for: missing))
        #expect(throws: WeightsError.self) {
            try checkpoints.write(step: 1, weights: weights, optimizer: nil, state: Array("{".utf8), from: blobs)
        }
        #expect(try Disk.names(in: checkpoints.directory).isEmpty)
    }

    @Test func `folders of interrupted writers are never listed and can be removed`() throws {
        let (blobs, checkpoints) = try make()
        try write(1, blobs, checkpoints)
        folder.write("checkpoints/.tmp-1-ab/weights.safetensors", "x")
        folder.write("checkpoints/step-2/checkpoint.json", "{}")
        folder.write("checkpoints/notes.txt", "x")
        #expect(try checkpoints.list { Issue.record($0) }.map(\.step) == [1])
        try checkpoints.removeLeftovers()
        #expect(try Disk.names(in: checkpoints.directory) == ["notes.txt", "step-000001", "step-2"])
    }

    @Test(.enabled(if: OtherFileSystem.exists, "/dev/shm is no second file system here"))
    func `blobs on another file system are copied`() throws {
        let other = ScratchFolder(in: "/dev/shm")
        let (blobs, checkpoints) = (try BlobStore(directory: other.path), try make().1)
        let checkpoint = try write(2, blobs, checkpoints)
        var status = stat()
        #expect(stat(checkpoint.weightsFile, &status) == 0 && status.st_nlink == 1)
        try checkpoints.validate(checkpoint)
        let finished = folder.write("finished", [7, 8, 9])
        let reference = BlobReference(digest: TreeHash.hash([7, 8, 9]), byteCount: 3)
        try blobs.adopt(finished, as: reference)
        try blobs.verify(reference)
        #expect(Disk.fileSize(finished) == nil)
    }
}

enum OtherFileSystem {
    static var exists: Bool {
        var (shared, temporary) = (stat(), stat())
        return stat("/dev/shm", &shared) == 0 && stat(NSTemporaryDirectory(), &temporary) == 0
            && shared.st_dev != temporary.st_dev && access("/dev/shm", W_OK) == 0
    }
}
