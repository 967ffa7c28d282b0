// What does `checkpoint.json` say?

import Rollouts

/// The step, the files' hashes (a base only where the weights are adapters over one) and the caller's state. The state
/// stands last, byte for byte as given, with its own hash before it; a document that differs in one byte from what
/// would be written is refused.
struct CheckpointDocument: Equatable {
    static let name = "checkpoint.json"
    static let weightsName = "weights.safetensors"
    static let optimizerName = "optimizer.safetensors"
    static let baseName = "base.safetensors"
    private static let sizeLimit = 64 << 20
    private static let end = "\n}\n"

    var step: Int
    var weights: BlobReference
    var optimizer: BlobReference?
    var base: BlobReference?
    var state: [UInt8]

    func checkpoint(folder: String) -> CheckpointFolder {
        CheckpointFolder(
            step: step, folder: folder, weights: weights, optimizer: optimizer, base: base, state: state)
    }

    func encoded() -> [UInt8] {
        Array(head(stateDigest: Blake2b.hash(state)).utf8) + state + Array(CheckpointDocument.end.utf8)
    }

    private func head(stateDigest: Digest) -> String {
        func text(_ blob: BlobReference?) -> String {
            blob.map { "{\"blake2b_256\": \"\($0.digest)\", \"bytes\": \($0.byteCount)}" } ?? "null"
        }
        return """
            {
              "format": 1,
              "step": \(step),
              "weights": \(text(weights)),
              "optimizer": \(text(optimizer)),\(base.map { "\n  \"base\": \(text($0))," } ?? "")
              "state_blake2b_256": "\(stateDigest)",
              "state": 
            """
    }

    static func read(folder: String) throws(WeightsError) -> CheckpointDocument {
        let file = folder + "/" + name
        guard let bytes = try MappedFile.contents(file, limit: sizeLimit) else {
            throw WeightsError(file: file, subject: "checkpoint", found: "no file", expected: "its description")
        }
        let members = try JSONReader.read(bytes, file: file, subject: "checkpoint").object ?? [:]
        func refuse(_ key: String, _ expected: String) -> WeightsError {
            WeightsError(
                file: file, subject: "key `\(key)`", found: members[key]?.kind ?? "none", expected: expected)
        }
        guard members["format"]?.integer == 1 else { throw refuse("format", "1") }
        guard let step = members["step"]?.integer, step >= 0 else { throw refuse("step", "an integer from 0") }
        guard let weights = reference(members["weights"]) else { throw refuse("weights", "a hash and a size") }
        let optimizer = reference(members["optimizer"])
        guard optimizer != nil || members["optimizer"] == .null else {
            throw refuse("optimizer", "null, or a hash and a size")
        }
        let base = reference(members["base"])
        guard base != nil || members["base"] == nil else { throw refuse("base", "a hash and a size, or no such key") }
        guard let digest = members["state_blake2b_256"]?.string.flatMap(Digest.init(hex:)) else {
            throw refuse("state_blake2b_256", "a hash")
        }
        var document = CheckpointDocument(step: step, weights: weights, optimizer: optimizer, base: base, state: [])
        let head = Array(document.head(stateDigest: digest).utf8)
        guard bytes.count >= head.count + end.utf8.count, bytes.starts(with: head),
            bytes.suffix(end.utf8.count).elementsEqual(end.utf8)
        else {
            throw WeightsError(
                file: file, subject: "checkpoint", found: "another layout", expected: "the layout this program writes",
                advice: "do not edit checkpoints")
        }
        document.state = Array(bytes[head.count..<bytes.count - end.utf8.count])
        let found = Blake2b.hash(document.state)
        guard found == digest else {
            throw WeightsError(
                file: file, subject: "BLAKE2b-256 of `state`", found: "\(found)", expected: "\(digest)",
                advice: "the checkpoint is damaged: use the one before it")
        }
        return document
    }

    private static func reference(_ value: JSONValue?) -> BlobReference? {
        guard let members = value?.object, members.count == 2, let hex = members["blake2b_256"]?.string,
            let digest = Digest(hex: hex), let bytes = members["bytes"]?.integer, bytes >= 0
        else { return nil }
        return BlobReference(digest: digest, byteCount: bytes)
    }
}
