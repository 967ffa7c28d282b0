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

    package let folder: String
    package let content: Checkpoint
    package let bundle: [UInt8]
    package var weightsPath: String { folder + "/weights.safetensors" }
    package var optimizerPath: String { folder + "/optimizer.safetensors" }

    init(_ found: CheckpointFolder) throws(RuntimeError) {
        folder = found.path
        do {
            let document = try JSONDecoder().decode(Document.self, from: Data(found.document))
            content = document.checkpoint
            bundle = [UInt8](document.bundle)
        } catch {
            throw RuntimeError("the checkpoint `\(found.path)` cannot be read: \(error)")
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
