// What a worker needs to know about a model besides its weights: shape and tokenizer, as one blob.

import Foundation

/// Sent as JSON; the tokenizer's own serialised form is opaque here.
package struct ModelBundle: Sendable, Codable {
    package var config: ModelConfig
    package var tokenizer: Data

    package init(config: ModelConfig, tokenizer: [UInt8]) {
        self.config = config
        self.tokenizer = Data(tokenizer)
    }

    package func encoded() -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        do {
            return [UInt8](try encoder.encode(self))
        } catch {
            preconditionFailure("a model bundle holds only finite numbers and bytes: \(error)")
        }
    }

    package static func decode(_ bytes: [UInt8]) throws -> ModelBundle {
        try JSONDecoder().decode(ModelBundle.self, from: Data(bytes))
    }
}
