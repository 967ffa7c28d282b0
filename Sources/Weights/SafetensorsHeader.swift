// Can a safetensors header be true? Every tensor's entry against its type, its shape, the data and its neighbours.

struct SafetensorsHeader {
    private static let rankLimit = 8
    private static let elementBytes: [String: Int] = [
        "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4,
        "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
    ]

    let file: String
    let dataStart: Int
    let fileBytes: Int

    private var dataBytes: Int { fileBytes - dataStart }

    /// - Returns: the tensors in the order of the data, and the file's own metadata.
    func parse(_ text: UnsafeRawBufferPointer) throws(WeightsError) -> ([SafetensorsFile.Tensor], [String: String]) {
        guard text.first == UInt8(ascii: "{") else {
            throw error("header", found: text.first.map { "byte \($0)" } ?? "nothing", expected: "an opening brace")
        }
        guard let members = try JSONReader.read(text, file: file, subject: "header").object else {
            throw error("header", found: "other JSON", expected: "an object")
        }
        var metadata: [String: String] = [:]
        var tensors: [SafetensorsFile.Tensor] = []
        for name in members.keys.sorted() {
            guard let value = members[name] else { continue }
            if name == "__metadata__" {
                metadata = try parseMetadata(value)
            } else {
                tensors.append(try parseTensor(name, value))
            }
        }
        tensors.sort { ($0.offset, $0.byteCount, $0.name) < ($1.offset, $1.byteCount, $1.name) }
        var end = dataStart
        for tensor in tensors {
            guard tensor.offset == end else {
                throw error(
                    "tensor \(quoted(tensor.name))", found: "a start at byte \(tensor.offset - dataStart) of the data",
                    expected: "\(end - dataStart), where the tensor before ends: no gap and no overlap")
            }
            end += tensor.byteCount
        }
        guard end == fileBytes else {
            throw error(
                "data", found: "\(dataBytes) bytes", expected: "\(end - dataStart), where the last tensor ends")
        }
        return (tensors, metadata)
    }

    private func error(_ subject: String, found: String, expected: String) -> WeightsError {
        WeightsError(file: file, subject: subject, found: found, expected: expected)
    }

    private func parseMetadata(_ value: JSONValue) throws(WeightsError) -> [String: String] {
        guard let members = value.object else {
            throw error("header key `__metadata__`", found: value.kind, expected: "an object of texts")
        }
        var metadata: [String: String] = [:]
        for key in members.keys.sorted() {
            guard let text = members[key]?.string else {
                throw error("metadata key \(quoted(key))", found: members[key]?.kind ?? "nothing", expected: "text")
            }
            metadata[key] = text
        }
        return metadata
    }

    private func parseTensor(_ name: String, _ value: JSONValue) throws(WeightsError) -> SafetensorsFile.Tensor {
        let subject = "tensor \(quoted(name))"
        guard let members = value.object, members.count == 3, let dtype = members["dtype"]?.string,
            let shape = members["shape"]?.array, let offsets = members["data_offsets"]?.array
        else {
            throw error(
                subject, found: "another entry", expected: "the keys dtype, shape and data_offsets and no others")
        }
        guard let elementBytes = SafetensorsHeader.elementBytes[dtype] else {
            throw error(
                subject, found: "type \(quoted(dtype))",
                expected: "one of " + SafetensorsHeader.elementBytes.keys.sorted().joined(separator: ", "))
        }
        guard shape.count <= SafetensorsHeader.rankLimit else {
            throw error(
                subject, found: "\(shape.count) dimensions", expected: "at most \(SafetensorsHeader.rankLimit)")
        }
        var bytes = elementBytes
        var dimensions: [Int] = []
        for entry in shape {
            guard let dimension = entry.integer, dimension >= 0 else {
                throw error(subject, found: "\(entry.kind) as a dimension", expected: "an integer from 0")
            }
            let (product, overflow) = bytes.multipliedReportingOverflow(by: dimension)
            guard !overflow else {
                throw error(subject, found: "dimensions whose product overflows", expected: "at most 2^63 - 1 bytes")
            }
            bytes = product
            dimensions.append(dimension)
        }
        guard offsets.count == 2, let begin = offsets[0].integer, let end = offsets[1].integer, begin >= 0,
            begin <= end,
            end <= dataBytes
        else {
            let found = offsets.map { $0.integer.map(String.init) ?? $0.kind }.joined(separator: ", ")
            throw error(
                subject, found: "data_offsets [\(found)]", expected: "begin ≤ end ≤ \(dataBytes), the bytes of data")
        }
        guard end - begin == bytes else {
            throw error(
                subject, found: "\(end - begin) bytes of data",
                expected: "\(bytes) for \(dtype) of shape \(dimensions)")
        }
        return SafetensorsFile.Tensor(
            name: name, dtype: dtype, dimensions: dimensions, offset: dataStart + begin, byteCount: bytes)
    }
}
