// What a checkpoint folder's JSON says, beyond the files in it.

import Cluster
import Foundation
import Rollouts
import Weights

package struct StoredCheckpoint {
    /// checkpoint.json's own part.
    struct Document: Codable {
        var checkpoint: Checkpoint
        /// The model bundle: config and tokenizer, so that a checkpoint is a whole model.
        var bundle: Data
    }

    package let folder: CheckpointFolder
    package let content: Checkpoint
    package let bundle: [UInt8]

    init(_ found: CheckpointFolder) throws(RuntimeError) {
        folder = found
        do {
            let document = try JSONDecoder().decode(Document.self, from: Data(found.state))
            content = document.checkpoint
            bundle = [UInt8](document.bundle)
        } catch {
            throw RuntimeError("the checkpoint `\(found.folder)` cannot be read: \(error)")
        }
    }

    /// Makes the checkpoint's files blobs again, so that workers can fetch them.
    func restore(into blobs: BlobStore) throws(RuntimeError) {
        try ModelPreparation.weights {
            try blobs.link(folder.weightsFile, as: folder.weights)
            if let file = folder.optimizerFile, let optimizer = folder.optimizer {
                try blobs.link(file, as: optimizer)
            }
            if let file = folder.baseFile, let base = folder.base { try blobs.link(file, as: base) }
        }
    }

    static func encode(_ checkpoint: Checkpoint, bundle: [UInt8]) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        do {
            return [UInt8](try encoder.encode(Document(checkpoint: checkpoint, bundle: Data(bundle))))
        } catch {
            preconditionFailure("a checkpoint holds only numbers, text and bytes: \(error)")
        }
    }
}
