// Can a model have this shape? Checked once, where a file is opened, so that sizes computed later cannot overflow.

extension ModelConfig {
    private static let dimensionLimit = 1 << 22
    private static let vocabularyLimit = 1 << 24
    private static let layerLimit = 4096

    /// Elements of all tensors together.
    package var elementCount: Int { tensors.reduce(0) { $0 + $1.elementCount } }

    func validated(file: String) throws(WeightsError) -> ModelConfig {
        func require(_ holds: Bool, _ subject: String, _ found: String, _ expected: String) throws(WeightsError) {
            guard holds else {
                throw WeightsError(file: file, subject: "model \(subject)", found: found, expected: expected)
            }
        }
        let limit = ModelConfig.dimensionLimit
        for (subject, value, most) in [
            ("vocabulary size", vocabularySize, ModelConfig.vocabularyLimit), ("hidden size", hiddenSize, limit),
            ("layer count", layerCount, ModelConfig.layerLimit), ("head count", headCount, limit),
            ("key-value head count", keyValueHeadCount, limit), ("head dimension", headDimension, limit),
            ("intermediate size", intermediateSize, limit), ("context", contextTokens, Int.max),
        ] {
            try require(value >= 1 && value <= most, subject, "\(value)", "1 to \(most)")
        }
        try require(
            headCount * headDimension <= limit, "width of all heads", "\(headCount * headDimension)",
            "at most \(limit)")
        try require(
            headCount % keyValueHeadCount == 0, "head count", "\(headCount) for \(keyValueHeadCount) key-value heads",
            "a multiple")
        try require(headDimension % 2 == 0, "head dimension", "\(headDimension)", "an even number")
        try require(rmsEpsilon.isFinite && rmsEpsilon >= 0, "RMS epsilon", "\(rmsEpsilon)", "a finite number from 0")
        try require(rotaryBase.isFinite && rotaryBase > 0, "rotary base", "\(rotaryBase)", "a positive finite number")
        if let rotaryScaling {
            try require(rotaryScaling.isUsable, "rotary scaling", "\(rotaryScaling)", "positive finite numbers")
        }
        return self
    }
}

extension RotaryScaling {
    fileprivate var isUsable: Bool {
        func positive(_ values: Double...) -> Bool { values.allSatisfy { $0.isFinite && $0 > 0 } }
        switch self {
        case .linear(let factor): return positive(factor)
        case .llama3(let factor, let low, let high, let context):
            return positive(factor, low, high, Double(context)) && low < high
        case .yarn(let factor, let fast, let slow, let context, let attention):
            return positive(factor, fast, slow, Double(context), attention ?? 1)
        }
    }
}
