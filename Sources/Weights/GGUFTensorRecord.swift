// Where does each tensor of a GGUF file lie, and can that be true?

/// One tensor's entry as the file has it, its offset not yet held against the data.
struct GGUFTensorRecord {
    /// Name length, dimension count, one dimension, type and offset.
    static let minimumBytes = 32
    private static let rankLimit = 4

    let name: String
    /// Outermost first.
    let dimensions: [Int]
    let type: ElementType
    /// From the start of the tensor data.
    let dataOffset: UInt64
    let byteCount: Int

    init(_ cursor: inout LittleEndianCursor, index: Int) throws(WeightsError) {
        let name = try cursor.string("tensor \(index) name")
        func subject() -> String { "tensor \(quoted(name))" }
        let rank = try cursor.integer(subject() + " dimension count", as: UInt32.self)
        guard rank >= 1, rank <= GGUFTensorRecord.rankLimit else {
            throw WeightsError(
                file: cursor.file, subject: subject(), found: "\(rank) dimensions",
                expected: "1 to \(GGUFTensorRecord.rankLimit)")
        }
        var dimensions: [Int] = []
        var elements = 1
        for _ in 0..<rank {
            let raw = try cursor.integer(subject() + " dimension", as: UInt64.self)
            guard let dimension = Int(exactly: raw), dimension > 0 else {
                throw WeightsError(
                    file: cursor.file, subject: subject(), found: "a dimension of \(raw)", expected: "1 to 2^63 - 1")
            }
            let (product, overflow) = elements.multipliedReportingOverflow(by: dimension)
            guard !overflow else {
                throw WeightsError(
                    file: cursor.file, subject: subject(), found: "dimensions whose product overflows",
                    expected: "at most 2^63 - 1 elements")
            }
            elements = product
            dimensions.append(dimension)
        }
        let code = try cursor.integer(subject() + " type", as: UInt32.self)
        let type = try GGUFTensorRecord.elementType(code, subject: subject(), file: cursor.file)
        guard dimensions[0] % type.blockElements == 0, let bytes = type.byteCount(elements: elements) else {
            throw WeightsError(
                file: cursor.file, subject: subject(),
                found: "rows of \(dimensions[0]) elements of type \(type.rawValue)",
                expected: "whole blocks of \(type.blockElements)")
        }
        self.name = name
        self.dimensions = dimensions.reversed()
        self.type = type
        byteCount = bytes
        dataOffset = try cursor.integer(subject() + " offset")
    }

    /// Holds the offsets against alignment, the file's end and each other.
    static func place(
        _ records: [GGUFTensorRecord], dataStart: Int, alignment: Int, fileBytes: Int, file: String
    ) throws(WeightsError) -> [GGUFFile.Tensor] {
        var tensors: [GGUFFile.Tensor] = []
        var names: Set<String> = []
        let dataBytes = max(0, fileBytes - dataStart)
        for record in records {
            let subject = "tensor \(quoted(record.name))"
            guard names.insert(record.name).inserted else {
                throw WeightsError(file: file, subject: subject, found: "it twice", expected: "it once")
            }
            guard record.dataOffset % UInt64(alignment) == 0 else {
                throw WeightsError(
                    file: file, subject: subject, found: "offset \(record.dataOffset)",
                    expected: "a multiple of \(alignment)")
            }
            guard record.byteCount <= dataBytes, record.dataOffset <= UInt64(dataBytes - record.byteCount) else {
                throw WeightsError(
                    file: file, subject: subject,
                    found: "\(record.byteCount) bytes at offset \(record.dataOffset) of \(dataBytes) bytes of data",
                    expected: "an end within the data", advice: "the file is cut short or damaged: fetch it again")
            }
            tensors.append(
                GGUFFile.Tensor(
                    name: record.name, dimensions: record.dimensions, type: record.type,
                    offset: dataStart + Int(record.dataOffset), byteCount: record.byteCount))
        }
        let ordered = tensors.sorted { ($0.offset, $0.name) < ($1.offset, $1.name) }
        for (left, right) in zip(ordered, ordered.dropFirst()) where left.offset + left.byteCount > right.offset {
            throw WeightsError(
                file: file, subject: "tensor \(quoted(right.name))", found: "a start inside \(quoted(left.name))",
                expected: "tensors that do not overlap")
        }
        return tensors
    }

    private static func elementType(
        _ code: UInt32, subject: String, file: String
    ) throws(WeightsError) -> ElementType {
        if let type = ElementType.allCases.first(where: { $0.ggmlCode == code }) { return type }
        let name = otherTypes.first { $0.0 == code }?.1
        throw WeightsError(
            file: file, subject: subject,
            found: "type \(name.map { "\($0) (\(code))" } ?? "\(code), which has no name")",
            expected: "one of " + ElementType.allCases.map(\.rawValue).joined(separator: ", "),
            advice: "use a file quantised to one of these")
    }

    /// Types of the format that are not read. Source: the GGUF specification, `ggml_type`.
    private static let otherTypes: [(UInt32, String)] = [
        (9, "Q8_1"), (10, "Q2_K"), (11, "Q3_K"), (15, "Q8_K"), (16, "IQ2_XXS"), (17, "IQ2_XS"), (18, "IQ3_XXS"),
        (19, "IQ1_S"), (20, "IQ4_NL"), (21, "IQ3_S"), (22, "IQ2_S"), (23, "IQ4_XS"), (24, "I8"), (25, "I16"),
        (26, "I32"), (27, "I64"), (28, "F64"), (29, "IQ1_M"), (34, "TQ1_0"), (35, "TQ2_0"), (39, "MXFP4"),
    ]
}

extension ElementType {
    /// Source: the GGUF specification, `ggml_type`.
    var ggmlCode: UInt32 {
        switch self {
        case .float32: 0
        case .float16: 1
        case .q4_0: 2
        case .q4_1: 3
        case .q5_0: 6
        case .q5_1: 7
        case .q8_0: 8
        case .q4_K: 12
        case .q5_K: 13
        case .q6_K: 14
        case .bfloat16: 30
        }
    }
}
