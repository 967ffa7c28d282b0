// All numbers of one model (or as many gradients or moments): one allocation with named slices.
import CKernels
import Rollouts
import Weights

/// One owner: a set, the models over it and their trainer are used from one thread.
/// Float32 in the order of `ModelConfig.tensors`, without gaps. Gradients and moments use the same type, so one
/// offset names a weight, its gradient and its moments.
package final class Parameters {
    package let config: ModelConfig
    let layout: ParameterLayout
    /// Changes with every change of the numbers: what was made of an older revision is stale.
    private(set) var revision: UInt64 = 1
    /// For exact arithmetic.
    let packed = PackedParameters()
    private let buffer: FloatBuffer
    private let ranges: [Range<Int>]
    private let indices: [String: Int]

    /// Zeros.
    package init(config: ModelConfig) {
        self.config = config
        var ranges: [Range<Int>] = []
        var indices: [String: Int] = [:]
        for (index, tensor) in config.tensors.enumerated() {
            let start = ranges.last?.upperBound ?? 0
            ranges.append(start..<(start + tensor.elementCount))
            indices[tensor.name] = index
        }
        self.ranges = ranges
        self.indices = indices
        layout = ParameterLayout(config: config) { ranges[indices[$0]!].lowerBound }
        buffer = FloatBuffer(count: ranges.last!.upperBound)
    }

    package var count: Int { buffer.count }
    /// For writing: until the buffer is asked for again, changes must be made before the next use of a model.
    package var all: UnsafeMutableBufferPointer<Float> {
        changed()
        return buffer.all
    }
    /// For reading.
    package var values: UnsafeBufferPointer<Float> { UnsafeBufferPointer(buffer.all) }
    /// Whoever writes here says so by `changed`.
    var base: UnsafeMutablePointer<Float> { buffer.base }
    func changed() { revision += 1 }

    /// The tensor with this Hugging Face name, row-major.
    package subscript(name: String) -> UnsafeMutableBufferPointer<Float> {
        guard let index = indices[name] else {
            preconditionFailure("Parameters: no tensor \(name) in this \(config.family.rawValue) model")
        }
        return slice(at: index)
    }

    /// - Parameter index: in `config.tensors`.
    package func slice(at index: Int) -> UnsafeMutableBufferPointer<Float> {
        changed()
        return UnsafeMutableBufferPointer(rebasing: buffer.all[ranges[index]])
    }

    /// Normal numbers for matrices, 1 for norms, 0 for biases. Element i of tensor t depends on (seed, t, i) alone.
    package func initializeRandom(seed: UInt64, standardDeviation: Float) {
        RandomWeights.fill(all, config: config, seed: seed, standardDeviation: standardDeviation)
    }
}

/// Offsets of what the forward and backward passes touch. The order of `ModelConfig.tensors` puts the query, key and
/// value projections next to each other, likewise their biases, and gate next to up: each is one matrix here.
struct ParameterLayout {
    struct Layer {
        var inputNorm, projections, output, middleNorm, gateUp, down: Int
        var projectionBias, queryNorm, keyNorm: Int?
    }
    var embedding: Int
    var layers: [Layer]
    var finalNorm: Int
    /// Equal to `embedding` when tied.
    var head: Int

    init(config: ModelConfig, offset: (String) -> Int) {
        embedding = offset("model.embed_tokens.weight")
        layers = (0..<config.layerCount).map { index in
            let prefix = "model.layers.\(index)."
            return Layer(
                inputNorm: offset(prefix + "input_layernorm.weight"),
                projections: offset(prefix + "self_attn.q_proj.weight"),
                output: offset(prefix + "self_attn.o_proj.weight"),
                middleNorm: offset(prefix + "post_attention_layernorm.weight"),
                gateUp: offset(prefix + "mlp.gate_proj.weight"),
                down: offset(prefix + "mlp.down_proj.weight"),
                projectionBias: config.hasQueryKeyValueBias ? offset(prefix + "self_attn.q_proj.bias") : nil,
                queryNorm: config.hasQueryKeyNorm ? offset(prefix + "self_attn.q_norm.weight") : nil,
                keyNorm: config.hasQueryKeyNorm ? offset(prefix + "self_attn.k_norm.weight") : nil)
        }
        finalNorm = offset("model.norm.weight")
        head = config.tiedEmbeddings ? embedding : offset("lm_head.weight")
    }
}
