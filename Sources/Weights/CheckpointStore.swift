// Which steps of a run can be resumed from?

import Foundation
import Rollouts

/// A checkpoint as its folder says; `CheckpointStore.validate` holds the files against it.
package struct CheckpointFolder: Equatable, Sendable {
    package let step: Int
    package let folder: String
    package let weights: BlobReference
    package let optimizer: BlobReference?
    /// What `weights` are adapters over; nil where they are the whole model.
    package let base: BlobReference?
    /// The caller's own JSON, byte for byte.
    package let state: [UInt8]

    package var weightsFile: String { folder + "/" + CheckpointDocument.weightsName }
    package var baseFile: String? { base.map { _ in folder + "/" + CheckpointDocument.baseName } }
    package var optimizerFile: String? { optimizer.map { _ in folder + "/" + CheckpointDocument.optimizerName } }
}

/// A folder of checkpoints, `step-000010/` each: weights and optimizer state as second names of the store's blobs, and
/// `checkpoint.json`. A checkpoint is made under a temporary name, synced and renamed, so it is whole or not there.
/// A second name shares its bytes with the blob: a damaged disk block damages both.
package struct CheckpointStore: Sendable {
    private static let prefix = "step-"

    package let directory: String

    /// Makes the folder where there is none.
    package init(directory: String) throws(WeightsError) {
        self.directory = directory
        try Disk.createDirectory(directory)
    }

    /// - Parameters:
    ///   - state: a JSON text; what the caller needs to go on.
    ///   - base: what `weights` are adapters over, so that a checkpoint is a whole model; nil where they are one.
    ///   - store: holds all blobs.
    @discardableResult
    package func write(
        step: Int, weights: BlobReference, optimizer: BlobReference?, base: BlobReference? = nil, state: [UInt8],
        from store: BlobStore
    ) throws(WeightsError) -> CheckpointFolder {
        precondition(step >= 0, "checkpoint of step \(step)")
        let name = CheckpointStore.name(step)
        let destination = directory + "/" + name
        let document = CheckpointDocument(
            step: step, weights: weights, optimizer: optimizer, base: base, state: state)
        _ = try JSONReader.read(state, file: destination, subject: "state")
        let temporary = directory + "/" + TemporaryFile.uniqueName()
        try Disk.createDirectory(temporary)
        do throws(WeightsError) {
            try fill(temporary, document: document, store: store)
            try replace(destination, with: temporary)
        } catch {
            // The first error is what matters; a folder that cannot be removed is taken by `removeLeftovers`.
            try? Disk.remove(temporary)
            throw error
        }
        return document.checkpoint(folder: destination)
    }

    /// Newest first; only what `checkpoint.json` and the files' sizes say is checked. Damaged ones are handed to
    /// `report`.
    package func list(report: (WeightsError) -> Void) throws(WeightsError) -> [CheckpointFolder] {
        var checkpoints: [CheckpointFolder] = []
        for step in try steps().reversed() {
            do throws(WeightsError) {
                checkpoints.append(try inspect(step: step))
            } catch {
                report(error)
            }
        }
        return checkpoints
    }

    /// Recomputes the hashes of all files.
    package func validate(_ checkpoint: CheckpointFolder) throws(WeightsError) {
        try checkpoint.weights.check(TreeHash.hash(file: checkpoint.weightsFile), file: checkpoint.weightsFile)
        for (reference, file) in [
            (checkpoint.optimizer, checkpoint.optimizerFile), (checkpoint.base, checkpoint.baseFile),
        ] {
            if let reference, let file { try reference.check(TreeHash.hash(file: file), file: file) }
        }
    }

    /// The newest checkpoint whose every byte is right; each damaged one before it is handed to `report`.
    package func newestValid(report: (WeightsError) -> Void) throws(WeightsError) -> CheckpointFolder? {
        for checkpoint in try list(report: report) {
            do throws(WeightsError) {
                try validate(checkpoint)
                return checkpoint
            } catch {
                report(error)
            }
        }
        return nil
    }

    /// Removes checkpoints that were written but never recorded: their step counts as not trained.
    package func remove(except recorded: [Int]) throws(WeightsError) {
        for step in try steps() where !recorded.contains(step) { try remove(step) }
    }

    /// Removes all that are older than the newest `count` undamaged ones (by `list`'s measure).
    /// - Returns: the steps removed, oldest first.
    @discardableResult
    package func prune(keeping count: Int) throws(WeightsError) -> [Int] {
        precondition(count >= 1, "keep at least one checkpoint, not \(count)")
        let kept = try list(report: { _ in }).prefix(count)
        guard kept.count == count, let oldest = kept.last?.step else { return [] }
        let removed = try steps().filter { $0 < oldest }
        for step in removed { try remove(step) }
        return removed
    }

    private func remove(_ step: Int) throws(WeightsError) {
        // Renamed first: a half-removed folder is never taken for a checkpoint.
        let doomed = directory + "/" + TemporaryFile.uniqueName()
        let folder = directory + "/" + CheckpointStore.name(step)
        guard rename(folder, doomed) == 0 else { throw .system("rename", file: folder, code: errno) }
        try Disk.remove(doomed)
    }

    /// Removes what interrupted writers left behind. Only for the folder's one owner.
    package func removeLeftovers() throws(WeightsError) {
        for name in try Disk.names(in: directory) where name.hasPrefix(TemporaryFile.prefix) {
            try Disk.remove(directory + "/" + name)
        }
    }

    private static func name(_ step: Int) -> String {
        let digits = String(step)
        return prefix + String(repeating: "0", count: max(0, 6 - digits.count)) + digits
    }

    /// Ascending.
    private func steps() throws(WeightsError) -> [Int] {
        try Disk.names(in: directory).compactMap { name in
            guard name.hasPrefix(CheckpointStore.prefix), let step = Int(name.dropFirst(CheckpointStore.prefix.count)),
                CheckpointStore.name(step) == name
            else { return nil }
            return step
        }.sorted()
    }

    private func inspect(step: Int) throws(WeightsError) -> CheckpointFolder {
        let folder = directory + "/" + CheckpointStore.name(step)
        let document = try CheckpointDocument.read(folder: folder)
        guard document.step == step else {
            throw WeightsError(
                file: folder + "/" + CheckpointDocument.name, subject: "step", found: "\(document.step)",
                expected: "\(step), as the folder's name says")
        }
        let checkpoint = document.checkpoint(folder: folder)
        for (file, reference) in [
            (checkpoint.weightsFile, checkpoint.weights), (checkpoint.optimizerFile, checkpoint.optimizer),
            (checkpoint.baseFile, checkpoint.base),
        ] {
            guard let file, let reference else { continue }
            let size = Disk.fileSize(file)
            guard size == reference.byteCount else {
                throw WeightsError(
                    file: file, subject: "size", found: size.map { "\($0) bytes" } ?? "no file",
                    expected: "\(reference.byteCount) bytes")
            }
        }
        return checkpoint
    }

    private func fill(_ folder: String, document: CheckpointDocument, store: BlobStore) throws(WeightsError) {
        for (blob, name) in [
            (document.weights, CheckpointDocument.weightsName), (document.optimizer, CheckpointDocument.optimizerName),
            (document.base, CheckpointDocument.baseName),
        ] {
            guard let blob else { continue }
            // Blobs need not be durable where they are written.
            try Disk.sync(file: store.path(for: blob))
            try Disk.link(store.path(for: blob), as: name, in: folder)
        }
        let bytes = document.encoded()
        let file = try TemporaryFile(in: folder, expectedBytes: bytes.count)
        try file.write(bytes)
        try file.commit(as: CheckpointDocument.name)
        try Disk.sync(directory: folder)
    }

    /// A step that is written again takes the place of its old folder.
    private func replace(_ destination: String, with temporary: String) throws(WeightsError) {
        var old: String?
        if Disk.isDirectory(destination) {
            let aside = directory + "/" + TemporaryFile.uniqueName()
            guard rename(destination, aside) == 0 else { throw .system("rename", file: destination, code: errno) }
            old = aside
        }
        guard rename(temporary, destination) == 0 else {
            throw .system("rename to \(destination)", file: temporary, code: errno)
        }
        try Disk.sync(directory: directory)
        if let old { try Disk.remove(old) }
    }
}

extension CheckpointFolder {
    /// The base that the checkpoint's adapters name.
    package func base(
        _ description: AdapterSnapshot.Description, config: ModelConfig
    ) throws(WeightsError) -> BaseWeights {
        guard let file = baseFile, base == description.base else {
            throw WeightsError(
                file: folder, subject: "base of the adapters", found: base.map { "\($0.digest)" } ?? "none",
                expected: "\(description.base.digest)", advice: "the checkpoint is damaged: use the one before it")
        }
        return try BaseWeights(file: file, blob: description.base, config: config, expecting: description.baseHash)
    }
}
