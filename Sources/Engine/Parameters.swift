// All numbers of one model (or as many gradients or moments): one allocation with named slices.
import CKernels
import Rollouts
import Weights

/// One owner: a set, the models over it and their trainer are used from one thread.
/// Float32 in the order of `ModelConfig.tensors`, without gaps. Gradients and moments use the same type, so one
/// offset names a weight, its gradient and its moments.
///
/// A set that is only sampled from and scored with, in exact arithmetic, needs no float32 matrices: `init(sampling:)`
/// makes one that holds them packed, and their places here are addresses without memory that nobody reads.
package final class Parameters {
    package let config: ModelConfig
    /// Whether all numbers are here in float32; otherwise only vectors are.
    package let isWhole: Bool
    let layout: ParameterLayout
    /// Changes with every change of the numbers: what was made of an older revision is stale.
    private(set) var revision: UInt64 = 1
    /// For exact arithmetic.
    let packed = PackedParameters()
    /// The rows that tokens are looked up in, bfloat16, where the set is not whole.
    private(set) var embeddingRows: UnsafeMutablePointer<UInt16>?
    private let embeddingBuffer: FloatBuffer?
    private let buffer: FloatBuffer
    private let ranges: [Range<Int>]
    private let indices: [String: Int]

    /// Zeros.
    package convenience init(config: ModelConfig) { self.init(config: config, isWhole: true) }

    /// Nothing yet: `fill` comes first.
    package convenience init(sampling config: ModelConfig) { self.init(config: config, isWhole: false) }

    private init(config: ModelConfig, isWhole: Bool) {
        self.config = config
        self.isWhole = isWhole
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
        buffer = FloatBuffer(count: ranges.last!.upperBound, sparse: !isWhole)
        embeddingBuffer =
            isWhole ? nil : FloatBuffer(count: (config.vocabularySize * config.hiddenSize + 1) / 2)
        embeddingRows = embeddingBuffer.map { UnsafeMutableRawPointer($0.base).assumingMemoryBound(to: UInt16.self) }
    }

    /// Makes a set for sampling hold a snapshot's weights.
    /// - Precondition: the set is not whole, and the snapshot's matrices are bfloat16.
    package func fill(from snapshot: MappedSnapshot, threads: ThreadPool) {
        precondition(
            !isWhole && snapshot.format == .bfloat16 && snapshot.config == config,
            "Parameters: a snapshot in \(snapshot.format.rawValue) cannot be packed here")
        revision += 1
        for (tensor, range) in zip(config.tensors, ranges) where !snapshot.format.rounds(tensor) {
            snapshot.decode(from: range.lowerBound, into: UnsafeMutableBufferPointer(rebasing: buffer.all[range]))
        }
        for matrix in layout.matrices(config) {
            snapshot.withBFloat16(from: matrix.offset, count: matrix.outputs * matrix.inputs) { numbers in
                packed.fill(matrix, from: numbers, version: revision, threads: threads)
            }
        }
        let rows = embeddingRows!
        let count = config.vocabularySize * config.hiddenSize
        snapshot.withBFloat16(from: layout.embedding, count: count) { numbers in
            let hidden = config.hiddenSize
            threads.parallelRows(config.vocabularySize, width: hidden) { range in
                let at = range.lowerBound * hidden
                (rows + at).update(from: numbers + at, count: range.count * hidden)
            }
        }
    }

    package var count: Int { buffer.count }
    /// For writing: until the buffer is asked for again, changes must be made before the next use of a model.
    package var all: UnsafeMutableBufferPointer<Float> {
        requireWhole()
        changed()
        return buffer.all
    }
    /// For reading.
    package var values: UnsafeBufferPointer<Float> {
        requireWhole()
        return UnsafeBufferPointer(buffer.all)
    }
    private func requireWhole() { precondition(isWhole, "Parameters: a set for sampling has no float32 matrices") }

    /// Rounds what a snapshot in this format rounds, so that a snapshot is all there is to know of the numbers.
    package func round(to format: SnapshotFormat) {
        requireWhole()
        for (tensor, range) in zip(config.tensors, ranges) where format.rounds(tensor) {
            rows_round(buffer.base + range.lowerBound, Int64(range.count))
        }
        changed()
    }

    /// Numbers that a snapshot rounded are moved to random places among those that round to them, so the policy stays
    /// what it is. Left where they are, in the middle, none would round to another number before it has come half the
    /// way there: a small learning rate would teach nothing for many steps, and then everything at once. Spread out,
    /// the expected change of the rounded numbers is the change of these from the first step on.
    package func spread(within format: SnapshotFormat, seed: UInt64, threads: ThreadPool) {
        requireWhole()
        let part = 1 << 20
        for (index, tensor) in config.tensors.enumerated() where format.rounds(tensor) {
            let (base, count) = (buffer.base + ranges[index].lowerBound, ranges[index].count)
            let tagged = UInt64(index) | UInt64(KeyedRandom.Use.masterPlacement.rawValue) << 56
            threads.parallel((count + part - 1) / part) { number in
                let first = number * part
                bfloat16_spread(base + first, Int64(first), Int64(min(first + part, count)), seed, tagged)
            }
        }
        changed()
    }

    /// Whoever writes here says so by `changed`.
    var base: UnsafeMutablePointer<Float> { buffer.base }
    package func changed() { revision += 1 }

    /// The tensor with this Hugging Face name, row-major.
    package subscript(name: String) -> UnsafeMutableBufferPointer<Float> {
        guard let index = indices[name] else {
            preconditionFailure("Parameters: no tensor \(name) in this \(config.family.rawValue) model")
        }
        return slice(at: index)
    }

    /// - Parameter index: in `config.tensors`.
    package func slice(at index: Int) -> UnsafeMutableBufferPointer<Float> {
        requireWhole()
        changed()
        return UnsafeMutableBufferPointer(rebasing: buffer.all[ranges[index]])
    }

    /// Normal numbers for matrices, 1 for norms, 0 for biases. Element i of tensor t depends on (seed, t, i) alone.
    package func initializeRandom(seed: UInt64, standardDeviation: Float) {
        RandomWeights.fill(all, config: config, seed: seed, standardDeviation: standardDeviation)
    }
}

/// A matrix W (outputs, inputs) as one product reads it: one tensor, or several side by side.
struct MatrixPlace {
    var offset, outputs, inputs: Int
}

extension ParameterLayout {
    /// All that products read.
    func matrices(_ config: ModelConfig) -> [MatrixPlace] {
        let (hidden, attended) = (config.hiddenSize, config.headCount * config.headDimension)
        return layers.flatMap { layer in
            [
                MatrixPlace(offset: layer.projections, outputs: config.projectionSize, inputs: hidden),
                MatrixPlace(offset: layer.output, outputs: hidden, inputs: attended),
                MatrixPlace(offset: layer.gateUp, outputs: 2 * config.intermediateSize, inputs: hidden),
                MatrixPlace(offset: layer.down, outputs: hidden, inputs: config.intermediateSize),
            ]
        } + [MatrixPlace(offset: head, outputs: config.vocabularySize, inputs: hidden)]
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
