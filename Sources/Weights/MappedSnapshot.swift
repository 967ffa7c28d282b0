// What does a verified snapshot of whole weights hold, without a copy of it?

import Rollouts

/// A snapshot's file, mapped, after its header was held against the config and its bytes against the hash. Its pages
/// are the system's to drop and read again, and are given back as they have been read, so that a snapshot does not
/// count twice. A removed file stays readable here.
package final class MappedSnapshot {
    package let config: ModelConfig
    package let format: SnapshotFormat
    package let weightsHash: Digest
    private let file: SafetensorsFile
    private let tensors: [StoredTensor]
    /// Of each tensor's first number: elements before it in the config's order, bytes before it in the file's data.
    private let starts: [TensorStart]
    private let elementCount: Int

    /// - Parameter expected: refused when the weights' hash is another; nil takes any.
    package init(
        file path: String, config: ModelConfig, expecting expected: Digest?,
        parallel: ParallelLoop = WeightsHash.concurrently
    ) throws(WeightsError) {
        let file = try SafetensorsFile(path)
        format = try Snapshot.check(file, holds: config.tensors)
        tensors = format.stored(config.tensors)
        weightsHash = WeightsHash.compute(tensors: tensors, bytes: file.dataBytes, parallel: parallel) {
            file.releasePages(of: $0)
        }
        try Snapshot.check(weightsHash, expecting: expected, file: path)
        self.config = config
        self.file = file
        let (starts, end) = tensors.starts
        self.starts = starts
        elementCount = end.element
    }

    /// All tensors as float32, back to back in the config's order.
    package func decode(into parameters: UnsafeMutableBufferPointer<Float>) {
        precondition(
            parameters.count == elementCount,
            "room for \(parameters.count) parameters of a model of \(elementCount)")
        for (tensor, start) in zip(tensors, starts) {
            let place = start.element..<start.element + tensor.shape.elementCount
            decode(from: start.element, into: UnsafeMutableBufferPointer(rebasing: parameters[place]))
        }
    }

    /// Consecutive elements of one tensor as float32.
    /// - Parameter element: the first one's place in the config's order.
    package func decode(from element: Int, into out: UnsafeMutableBufferPointer<Float>) {
        let type = tensors[index(at: element)].format.elementType
        let bytes = bytes(from: element, count: out.count)
        type.decode(bytes, into: out)
        file.releasePages(of: bytes)
    }

    /// Elements of matrices that lie together, as they are in a snapshot whose matrices are bfloat16.
    /// - Parameter body: gets `count` numbers; they are valid until it returns.
    package func withBFloat16<Result>(
        from element: Int, count: Int, _ body: (UnsafePointer<UInt16>) -> Result
    ) -> Result {
        let bytes = bytes(from: element, count: count)
        defer { file.releasePages(of: bytes) }
        return body(bytes.baseAddress!.assumingMemoryBound(to: UInt16.self))
    }

    /// - Precondition: all elements have one format.
    private func bytes(from element: Int, count: Int) -> UnsafeRawBufferPointer {
        let (first, last) = (index(at: element), index(at: element + max(count, 1) - 1))
        let size = tensors[first].format.bytesPerElement
        precondition(
            tensors[first...last].allSatisfy { $0.format == tensors[first].format },
            "\(count) elements from \(element): tensors of several formats")
        let start = starts[first].byte + (element - starts[first].element) * size
        return UnsafeRawBufferPointer(rebasing: file.dataBytes[start..<start + count * size])
    }

    /// The tensor that holds an element.
    private func index(at element: Int) -> Int {
        precondition((0..<elementCount).contains(element), "element \(element) of \(elementCount)")
        var (low, high) = (0, starts.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle].element <= element { low = middle } else { high = middle }
        }
        return low
    }
}
