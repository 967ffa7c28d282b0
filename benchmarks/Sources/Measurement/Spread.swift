// What several measurements of the same thing say together.

/// At least one measurement, all finite.
public struct Spread: Equatable, Sendable {
    /// Ascending.
    public let sorted: [Double]

    /// nil when there is none, or one is not a finite number.
    public init?(_ values: [Double]) {
        guard !values.isEmpty, values.allSatisfy(\.isFinite) else { return nil }
        sorted = values.sorted()
    }

    public init(_ value: Double) {
        precondition(value.isFinite, "Spread: \(value) was measured")
        sorted = [value]
    }

    public var count: Int { sorted.count }
    public var low: Double { sorted[0] }
    public var high: Double { sorted[sorted.count - 1] }

    /// The middle one, or the mean of the two in the middle.
    public var median: Double {
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }

    /// (highest − lowest) / |median|; nil for a single measurement or a median of 0.
    public var relativeWidth: Double? {
        count > 1 && median != 0 ? (high - low) / abs(median) : nil
    }
}
