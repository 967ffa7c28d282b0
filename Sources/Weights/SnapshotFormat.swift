// In which number formats does a snapshot hold its tensors?

import Rollouts

/// A tensor and the format of its numbers on disk.
struct StoredTensor {
    let shape: TensorShape
    let format: FloatFormat
    var byteCount: Int { shape.elementCount * format.bytesPerElement }
}

/// Where a tensor begins among others that lie back to back.
struct TensorStart {
    /// Numbers, bytes and `TreeHash` leaves of those before it.
    var element = 0
    var byte = 0
    var leaf = 0
}

extension [StoredTensor] {
    /// Of each tensor, and of what would follow the last one.
    var starts: (each: [TensorStart], end: TensorStart) {
        var each: [TensorStart] = []
        var next = TensorStart()
        for tensor in self {
            each.append(next)
            next.element += tensor.shape.elementCount
            next.byte += tensor.byteCount
            next.leaf += TreeHash.leafCount(tensor.byteCount)
        }
        return (each, next)
    }
}

/// What of a policy's weights is kept between those who train and those who sample.
package enum SnapshotFormat: String, Sendable, CaseIterable {
    /// Everything in float32.
    case float32
    /// Matrices in bfloat16, as exact products and the lookup of embeddings read them; vectors (norms and biases),
    /// which forward passes use as they are, in float32. So whoever has the snapshot computes what the owner of the
    /// float32 weights computes.
    case bfloat16

    package init(_ precision: Precision) {
        switch precision {
        case .float32: self = .float32
        case .bfloat16: self = .bfloat16
        }
    }

    /// Whether the tensor's numbers are rounded.
    package func rounds(_ tensor: TensorShape) -> Bool { self == .bfloat16 && tensor.dimensions.count > 1 }

    func stored(_ tensors: [TensorShape]) -> [StoredTensor] {
        tensors.map { StoredTensor(shape: $0, format: rounds($0) ? .bfloat16 : .float32) }
    }
}

extension [TensorShape] {
    /// All in one format.
    func stored(as format: FloatFormat) -> [StoredTensor] { map { StoredTensor(shape: $0, format: format) } }
}
