// How does a part of a gradient lie on disk, on its way from one learner to another?

import Rollouts

/// One safetensors file: one float32 tensor, all numbers of the gradient in the order of the weights. Its metadata
/// names the lease it was made under, so that no two files are the same blob and each can go by itself.
package enum GradientSnapshot {
    private static let tensorName = "gradient"
    private static let leaseKey = "gradient_lease"
    private static let shardsKey = "gradient_shards"

    package static func write(
        _ values: UnsafeBufferPointer<Float>, shards: ShardRange, lease: LeaseIdentifier, to directory: String
    ) throws(WeightsError) -> BlobReference {
        let bytes = UnsafeRawBufferPointer(values)
        let writer = try SafetensorsWriter(
            in: directory,
            entries: [
                SafetensorsWriter.Entry(
                    shape: TensorShape(tensorName, [values.count]), dtype: "F32", byteCount: bytes.count)
            ],
            metadata: [
                (leaseKey, String(lease.rawValue)), (shardsKey, "\(shards.first) \(shards.count)"),
            ])
        try writer.append(bytes)
        let (blob, _) = writer.finish()
        // After a loss of power the step is begun anew.
        try writer.file.commit(as: "\(blob.digest)", durable: false)
        return blob
    }

    /// Lends the numbers, mapped from the file, whose name vouches for its bytes.
    /// - Parameter count: how many there must be.
    package static func read<Result>(
        file path: String, shards: ShardRange, count: Int, _ body: (UnsafeBufferPointer<Float>) -> Result
    ) throws(WeightsError) -> Result {
        let file = try SafetensorsFile(path)
        guard let tensor = file.tensors.first, file.tensors.count == 1, tensor.dtype == "F32",
            tensor.dimensions == [count]
        else {
            let found = file.tensors.map { "\($0.dtype) \(quoted($0.name)) of shape \($0.dimensions)" }
            throw WeightsError(
                file: path, subject: "part of a gradient",
                found: found.prefix(3).joined(separator: ", ") + (found.count > 3 ? ", …" : ""),
                expected: "one F32 tensor of \(count) numbers; do all learners have the same model and recipe?")
        }
        let expected = "\(shards.first) \(shards.count)"
        guard file.metadata[shardsKey] == expected else {
            throw WeightsError(
                file: path, subject: "metadata key `\(shardsKey)`",
                found: file.metadata[shardsKey].map { quoted($0) } ?? "none", expected: quoted(expected))
        }
        return withExtendedLifetime(file) { body(file.bytes(of: tensor).bindMemory(to: Float.self)) }
    }

    /// Whether this file is a part of a gradient.
    package static func isPart(file path: String) -> Bool {
        // Whatever cannot be read as safetensors is none.
        guard let file = try? SafetensorsFile(path) else { return false }  // see the line above
        return file.metadata[leaseKey] != nil
    }
}
