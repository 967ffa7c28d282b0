// How does one tensor go into a GGUF file?

/// Name, size and row order of a tensor to be written.
struct GGUFTensorPlan {
    /// nil for the frequency divisors, which are no tensor of the config.
    let shape: TensorShape?
    private let name: String
    private let dimensions: [Int]
    private let format: FloatFormat
    private let order: RotaryRowOrder?

    init(_ shape: TensorShape, config: ModelConfig, format: FloatFormat) {
        self.shape = shape
        name = GGUFNaming.name(of: shape.name)
        dimensions = shape.dimensions
        self.format = shape.dimensions.count == 1 ? .float32 : format
        order = RotaryRowOrder(config: config, name: shape.name)
    }

    init(rotaryFactors count: Int) {
        shape = nil
        name = GGUFNaming.rotaryFactors
        dimensions = [count]
        format = .float32
        order = nil
    }

    private var byteCount: Int { dimensions.reduce(format.bytesPerElement, *) }
    var paddedBytes: Int { GGUFTensorPlan.padded(byteCount) }

    private static func padded(_ count: Int) -> Int {
        let alignment = GGUFFile.defaultAlignment
        return (count + alignment - 1) / alignment * alignment
    }

    /// Everything before the tensor data.
    static func header(metadata: [(String, GGUFValue)], plans: [GGUFTensorPlan]) -> [UInt8] {
        var bytes = GGUFFile.magic
        bytes.append(littleEndian: UInt32(3))
        bytes.append(littleEndian: UInt64(plans.count))
        bytes.append(littleEndian: UInt64(metadata.count))
        for (key, value) in metadata {
            bytes.append(counted: key)
            bytes.append(littleEndian: value.type.rawValue)
            value.append(to: &bytes)
        }
        var offset = 0
        for plan in plans {
            bytes.append(counted: plan.name)
            bytes.append(littleEndian: UInt32(plan.dimensions.count))
            for dimension in plan.dimensions.reversed() { bytes.append(littleEndian: UInt64(dimension)) }
            bytes.append(littleEndian: plan.format.elementType.ggmlCode)
            bytes.append(littleEndian: UInt64(offset))
            offset += plan.paddedBytes
        }
        bytes.append(contentsOf: [UInt8](repeating: 0, count: padded(bytes.count) - bytes.count))
        return bytes
    }

    /// - Parameter path: named when a value does not fit the format.
    func write(
        _ values: UnsafeBufferPointer<Float>, to file: TemporaryFile, named path: String
    ) throws(WeightsError) {
        precondition(values.count * format.bytesPerElement == byteCount, "\(name): \(values.count) elements")
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: paddedBytes, alignment: 64)
        defer { room.deallocate() }
        let columns = order == nil ? values.count : dimensions[1]
        let rowBytes = columns * format.bytesPerElement
        var overflowed = 0
        for row in 0..<values.count / columns {
            let start = (order?.interleaved(row) ?? row) * rowBytes
            overflowed += format.encode(
                UnsafeBufferPointer(rebasing: values[row * columns..<(row + 1) * columns]),
                into: UnsafeMutableRawBufferPointer(rebasing: room[start..<start + rowBytes]))
        }
        guard overflowed == 0 else {
            throw WeightsError(
                file: path, subject: "tensor \(quoted(name))", found: "\(overflowed) values beyond its range",
                expected: "values that fit \(format.rawValue)", advice: "write float32 or bfloat16 instead")
        }
        for index in byteCount..<paddedBytes { room[index] = 0 }
        try file.write(UnsafeRawBufferPointer(room))
    }

    func write(_ values: [Float], to file: TemporaryFile) throws(WeightsError) {
        let result: Result<Void, WeightsError> = values.withUnsafeBufferPointer { values in
            Result { () throws(WeightsError) in try write(values, to: file, named: file.path) }
        }
        try result.get()
    }
}
