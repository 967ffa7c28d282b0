// Which functions take bytes that a peer or a stranger's file decides, and what must hold whatever the bytes are?

/// One way in. Running it on any bytes ends with a value or with the decoder's typed error: no trap, no endless loop,
/// no memory beyond a small multiple of the input.
package struct FuzzTarget: Sendable {
    package enum Outcome: Sendable {
        case accepted
        /// With the decoder's own error.
        case refused(any Error)
    }

    package let name: String
    /// Longer inputs teach nothing more.
    package let lengthLimit: Int
    /// Throws a `FuzzFinding` where accepted bytes broke a rule, and the decoder's error where they are refused.
    private let body: @Sendable ([UInt8]) throws -> Void

    private init(_ name: String, lengthLimit: Int, _ body: @escaping @Sendable ([UInt8]) throws -> Void) {
        self.name = name
        self.lengthLimit = lengthLimit
        self.body = body
    }

    package static let all: [FuzzTarget] = [
        FuzzTarget("frames", lengthLimit: 1024, PeerBytes.frame),
        FuzzTarget("messages", lengthLimit: 4096, PeerBytes.message),
        FuzzTarget("blobs", lengthLimit: 256, PeerBytes.blob),
        FuzzTarget("joins", lengthLimit: 1024, PeerBytes.join),
        FuzzTarget("gguf", lengthLimit: 8192, ModelBytes.gguf),
        FuzzTarget("safetensors", lengthLimit: 4096, ModelBytes.safetensors),
        FuzzTarget("differences", lengthLimit: 1024, ModelBytes.difference),
        FuzzTarget("configs", lengthLimit: 2048, ModelBytes.config),
        FuzzTarget("tokenizers", lengthLimit: 8192, ModelBytes.tokenizer),
        FuzzTarget("templates", lengthLimit: 1024, ModelBytes.template),
        FuzzTarget("recipes", lengthLimit: 4096, TextBytes.recipe),
        FuzzTarget("datasets", lengthLimit: 4096, TextBytes.dataset),
    ]

    package static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }

    package func run(_ bytes: [UInt8]) throws(FuzzFinding) -> Outcome {
        do {
            try body(bytes)
            return .accepted
        } catch let finding as FuzzFinding {
            throw finding
        } catch {
            return .refused(error)
        }
    }
}

/// A rule that accepted bytes broke: a bug of ours, not of the input.
package struct FuzzFinding: Error, Equatable, CustomStringConvertible {
    package var description: String

    static func require(_ holds: Bool, _ rule: @autoclosure () -> String) throws(FuzzFinding) {
        guard holds else { throw FuzzFinding(description: rule()) }
    }

    /// Makes a finding of every error in `work`.
    static func mustWork<Value>(_ rule: String, _ work: () throws -> Value) throws(FuzzFinding) -> Value {
        do {
            return try work()
        } catch let finding as FuzzFinding {
            throw finding
        } catch {
            throw FuzzFinding(description: "\(rule): \(error)")
        }
    }
}
