// How many operations a model's tokens need at least, and how many bytes a pass reads.

/// Dimensions of a decoder-only transformer with grouped-query attention and SwiGLU. A multiply-add is two operations;
/// norms, rotations and softmax are not counted.
public struct ModelCost: Sendable, Equatable {
    public let layerCount, hiddenSize, headCount, keyValueHeadCount, headDimension, intermediateSize: Int
    public let vocabularySize: Int

    public init(
        layerCount: Int, hiddenSize: Int, headCount: Int, keyValueHeadCount: Int, headDimension: Int,
        intermediateSize: Int, vocabularySize: Int
    ) {
        self.layerCount = layerCount
        self.hiddenSize = hiddenSize
        self.headCount = headCount
        self.keyValueHeadCount = keyValueHeadCount
        self.headDimension = headDimension
        self.intermediateSize = intermediateSize
        self.vocabularySize = vocabularySize
    }

    /// Weights of all layers' matrices.
    public var layerWeights: Double {
        let projections = (headCount + 2 * keyValueHeadCount) * headDimension * hiddenSize
        let output = headCount * headDimension * hiddenSize
        return Double(layerCount) * Double(projections + output + 3 * hiddenSize * intermediateSize)
    }
    public var headWeights: Double { Double(vocabularySize) * Double(hiddenSize) }

    /// Attention of one token to `context` keys, itself included, in all layers.
    public func attentionOperations(context: Double) -> Double {
        4 * Double(headDimension * headCount * layerCount) * context
    }

    /// One token through all layers without the head.
    public func prefillOperations(context: Double) -> Double {
        2 * layerWeights + attentionOperations(context: context)
    }

    public func decodeOperations(context: Double) -> Double {
        prefillOperations(context: context) + 2 * headWeights
    }

    /// Bytes of one token's keys and values in all layers.
    public func cacheBytes(elementBytes: Double) -> Double {
        Double(layerCount * 2 * keyValueHeadCount * headDimension) * elementBytes
    }

    /// Forward and backward, backward as twice forward.
    /// - Parameters:
    ///   - rows: tokens that pass through the layers, a group's prompt once.
    ///   - predicted: tokens that are trained: the head runs for them alone.
    ///   - context: mean number of keys that a row attends to.
    public func trainingOperations(rows: Double, predicted: Double, context: Double) -> Double {
        3 * (rows * prefillOperations(context: context) + predicted * 2 * headWeights)
    }
}

/// What the machine reaches at best, measured in the same run.
public struct MachineCeiling: Sendable, Equatable {
    /// Operations a second of all threads together.
    public let operationsPerSecond: Double
    /// Read from memory by all threads together.
    public let bytesPerSecond: Double

    public init(operationsPerSecond: Double, bytesPerSecond: Double) {
        self.operationsPerSecond = operationsPerSecond
        self.bytesPerSecond = bytesPerSecond
    }

    /// Least time, computing and reading at the same time.
    public func seconds(operations: Double, bytes: Double = 0) -> Double {
        max(operations / operationsPerSecond, bytes / bytesPerSecond)
    }
}
