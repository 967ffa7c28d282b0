// Which bytes a policy version is.

/// A content-addressed piece of data: whoever has the bytes can prove them.
package struct BlobReference: Hashable, Sendable, Codable {
    /// Tree hash over the whole blob: BLAKE2b-256 of its size and of the BLAKE2b-256 of each 64 KiB.
    package var digest: Digest
    package var byteCount: Int
    package init(digest: Digest, byteCount: Int) {
        self.digest = digest
        self.byteCount = byteCount
    }
}

/// A published policy version.
package struct PolicyManifest: Hashable, Sendable, Codable {
    package var version: PolicyVersion
    /// Hash over every tensor's name, shape, type and bytes, in order: what "the same weights" means. Of adapters: over
    /// their base's hash too.
    package var weightsHash: Digest
    /// A safetensors snapshot of all tensors, or of adapters, whose metadata names the base's blob.
    package var weights: BlobReference
    /// The optimizer state that belongs to these weights, where a checkpoint asked for it.
    package var optimizer: BlobReference?

    package init(version: PolicyVersion, weightsHash: Digest, weights: BlobReference, optimizer: BlobReference? = nil) {
        self.version = version
        self.weightsHash = weightsHash
        self.weights = weights
        self.optimizer = optimizer
    }
}
