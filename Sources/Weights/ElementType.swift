// Which number formats can a stored tensor have, and how do they become float32? Hosts are little endian, as the files.

import CKernels

/// How a tensor's elements are stored: single numbers, or blocks of 32 or 256 with a common scale.
package enum ElementType: String, Sendable, CaseIterable {
    case float32 = "F32"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case q4_0 = "Q4_0"
    case q4_1 = "Q4_1"
    case q5_0 = "Q5_0"
    case q5_1 = "Q5_1"
    case q8_0 = "Q8_0"
    case q4_K = "Q4_K"
    case q5_K = "Q5_K"
    case q6_K = "Q6_K"

    package var blockElements: Int {
        switch self {
        case .float32, .float16, .bfloat16: 1
        case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0: 32
        case .q4_K, .q5_K, .q6_K: 256
        }
    }

    package var blockBytes: Int {
        switch self {
        case .float32: 4
        case .float16, .bfloat16: 2
        case .q4_0: 18
        case .q4_1: 20
        case .q5_0: 22
        case .q5_1: 24
        case .q8_0: 34
        case .q4_K: 144
        case .q5_K: 176
        case .q6_K: 210
        }
    }

    /// Bytes of so many elements; nil when they do not fill blocks or the number does not fit.
    package func byteCount(elements: Int) -> Int? {
        guard elements >= 0, elements % blockElements == 0 else { return nil }
        let (bytes, overflow) = (elements / blockElements).multipliedReportingOverflow(by: blockBytes)
        return overflow ? nil : bytes
    }

    /// - Precondition: `source` holds exactly the blocks of `out.count` elements.
    package func decode(_ source: UnsafeRawBufferPointer, into out: UnsafeMutableBufferPointer<Float>) {
        precondition(
            byteCount(elements: out.count) == source.count,
            "\(rawValue): \(source.count) bytes do not hold \(out.count) elements")
        guard let from = source.baseAddress?.assumingMemoryBound(to: UInt8.self), let to = out.baseAddress else {
            return
        }
        let blocks = out.count / blockElements
        switch self {
        case .float32: UnsafeMutableRawPointer(to).copyMemory(from: from, byteCount: source.count)
        case .float16: dequantize_f16(from, blocks, to)
        case .bfloat16: dequantize_bf16(from, blocks, to)
        case .q4_0: dequantize_q4_0(from, blocks, to)
        case .q4_1: dequantize_q4_1(from, blocks, to)
        case .q5_0: dequantize_q5_0(from, blocks, to)
        case .q5_1: dequantize_q5_1(from, blocks, to)
        case .q8_0: dequantize_q8_0(from, blocks, to)
        case .q4_K: dequantize_q4_k(from, blocks, to)
        case .q5_K: dequantize_q5_k(from, blocks, to)
        case .q6_K: dequantize_q6_k(from, blocks, to)
        }
    }
}

/// The formats this module writes.
package enum FloatFormat: String, Sendable, Codable, CaseIterable {
    case float32, float16, bfloat16

    package var elementType: ElementType {
        switch self {
        case .float32: .float32
        case .float16: .float16
        case .bfloat16: .bfloat16
        }
    }

    package var bytesPerElement: Int { elementType.blockBytes }

    /// Rounds to nearest, ties to even.
    /// - Precondition: `out` has room for exactly `source.count` elements.
    /// - Returns: how many finite values became infinite.
    func encode(_ source: UnsafeBufferPointer<Float>, into out: UnsafeMutableRawBufferPointer) -> Int {
        precondition(out.count == source.count * bytesPerElement, "\(out.count) bytes for \(source.count) elements")
        guard let from = source.baseAddress, let to = out.baseAddress?.assumingMemoryBound(to: UInt8.self) else {
            return 0
        }
        switch self {
        case .float32:
            out.copyMemory(from: UnsafeRawBufferPointer(source))
            return 0
        case .float16: return encode_f16(from, source.count, to)
        case .bfloat16: return encode_bf16(from, source.count, to)
        }
    }
}
