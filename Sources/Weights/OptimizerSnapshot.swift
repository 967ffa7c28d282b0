// How does AdamW's state lie on disk?

import Rollouts

/// One safetensors file: all first moments in the config's tensor order, then all second moments, in float32; the
/// number of updates is in its metadata.
package enum OptimizerSnapshot {
    private static let prefixes = ["first_moment.", "second_moment."]
    private static let updatesKey = "update_count"

    /// - Parameters:
    ///   - firstMoment, secondMoment: as long as the model's parameters, in their order.
    ///   - updateCount: optimizer updates made so far.
    package static func write(
        config: ModelConfig, firstMoment: UnsafeBufferPointer<Float>, secondMoment: UnsafeBufferPointer<Float>,
        updateCount: Int, to directory: String
    ) throws(WeightsError) -> (blob: BlobReference, path: String) {
        let count = config.elementCount
        precondition(
            firstMoment.count == count && secondMoment.count == count && updateCount >= 0,
            "moments of \(firstMoment.count) and \(secondMoment.count) elements for a model of \(count)")
        let tensors = tensors(of: config)
        let writer = try SafetensorsWriter(
            in: directory, tensors: tensors, format: .float32, metadata: [(updatesKey, String(updateCount))])
        for moment in [firstMoment, secondMoment] {
            var start = 0
            for tensor in config.tensors {
                let part = UnsafeBufferPointer(rebasing: moment[start..<start + tensor.elementCount])
                try writer.append(UnsafeRawBufferPointer(part))
                start += tensor.elementCount
            }
        }
        let (blob, _) = writer.finish()
        return (blob, try writer.file.commit(as: "\(blob.digest)"))
    }

    /// Fills both moments after checking the header against the config and the bytes against `reference`.
    /// - Parameter reference: what the file must be; nil takes any that fits.
    /// - Returns: the number of updates. The moments are untouched when this throws.
    package static func read(
        file path: String, config: ModelConfig, expecting reference: BlobReference?,
        firstMoment: UnsafeMutableBufferPointer<Float>, secondMoment: UnsafeMutableBufferPointer<Float>
    ) throws(WeightsError) -> Int {
        let count = config.elementCount
        precondition(
            firstMoment.count == count && secondMoment.count == count,
            "moments of \(firstMoment.count) and \(secondMoment.count) elements for a model of \(count)")
        if let reference { try reference.check(Blake2b.hash(file: path), file: path) }
        let file = try SafetensorsFile(path)
        guard try Snapshot.check(file, holds: tensors(of: config)) == .float32 else {
            throw WeightsError(file: path, subject: "tensor type", found: "another", expected: "F32")
        }
        guard let text = file.metadata[updatesKey], let updates = Int(text), updates >= 0 else {
            throw WeightsError(
                file: path, subject: "metadata key `\(updatesKey)`",
                found: file.metadata[updatesKey].map { quoted($0) } ?? "none", expected: "an integer from 0")
        }
        let data = file.dataBytes
        withExtendedLifetime(file) {
            let half = data.count / 2
            UnsafeMutableRawBufferPointer(firstMoment).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: data[..<half]))
            UnsafeMutableRawBufferPointer(secondMoment).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: data[half...]))
        }
        return updates
    }

    private static func tensors(of config: ModelConfig) -> [TensorShape] {
        prefixes.flatMap { prefix in config.tensors.map { TensorShape(prefix + $0.name, $0.dimensions) } }
    }
}

extension BlobReference {
    /// Refuses bytes that are not this blob's.
    func check(_ found: BlobReference, file: String) throws(WeightsError) {
        guard found.byteCount == byteCount else {
            throw WeightsError(
                file: file, subject: "size", found: "\(found.byteCount) bytes", expected: "\(byteCount) bytes",
                advice: "the file is cut short or another one: fetch or restore it again")
        }
        guard found.digest == digest else {
            throw WeightsError(
                file: file, subject: "BLAKE2b-256", found: "\(found.digest)", expected: "\(digest)",
                advice: "the file is damaged: fetch or restore it again")
        }
    }
}
