// How tokens are made one by one: prompts computed once, sequences continued together over cached keys and values.
import CKernels
import Weights

/// The engine as a `DecodeBackend`: keys and values are kept in float32 in either arithmetic. Shares the model's
/// parameters: after a weight update, prefixes made before it are stale and should be released.
///
/// A prefix lives until it is released and no sequence uses it; its keys and values are shared by all its sequences.
package final class Decoder: DecodeBackend {
    private var model: TransformerModel
    private let pool: PagePool
    private let workspace = ForwardWorkspace()
    private let attentionBuffer = FloatBuffer(count: 0)
    private let lastRows = FloatBuffer(count: 0)
    private var prefixes: [PrefixIdentifier: Prefix] = [:]
    private var sequences: [SequenceIdentifier: Sequence] = [:]
    private var nextIdentifier = 0

    private struct Prefix {
        var tokens: PagedTokens
        var users = 0
        var released = false
    }

    private struct Sequence {
        var prefix: PrefixIdentifier
        var tokens: PagedTokens
    }

    /// Rows of one pass over several prompts: bounds its memory (30 KB a row for SmolLM2-135M).
    private static let prefillRowLimit = 1024

    /// - Parameter pages: where keys and values live, for one decoder after the other; nil makes some of its own.
    package init(model: TransformerModel, pages: PagePool? = nil) {
        self.model = model
        pool = pages ?? PagePool(config: model.config)
        precondition(pool.fits(model.config), "Decoder: pages made for another model")
    }

    deinit {
        for sequence in sequences.values { pool.give(back: sequence.tokens.pages) }  // in any order: no page is special
        for prefix in prefixes.values { pool.give(back: prefix.tokens.pages) }
    }

    /// Other weights of the same shape take over. Keys and values that are cached stay those of the weights before.
    package func change(to other: TransformerModel) {
        precondition(other.config == model.config, "Decoder: weights of another shape")
        model = other
    }

    package var vocabularySize: Int { model.config.vocabularySize }
    package var contextTokens: Int { model.config.contextTokens }

    package func prefill(_ tokens: [Int32], logits: UnsafeMutableBufferPointer<Float>) -> PrefixIdentifier {
        prefill([tokens], logits: logits)[0]
    }

    /// A prompt's rows depend on it alone, so together with others it gives the same bits (float32: but for rounding)
    /// and weights are read once for all.
    package func prefill(
        _ prompts: [[Int32]], logits: UnsafeMutableBufferPointer<Float>
    ) -> [PrefixIdentifier] {
        precondition(
            logits.count >= prompts.count * vocabularySize,
            "Decoder: room for \(logits.count) logits of \(prompts.count) prompts, vocabulary \(vocabularySize)")
        var identifiers: [PrefixIdentifier] = []
        while identifiers.count < prompts.count {
            let first = identifiers.count
            var rows = prompts[first].count
            var last = first + 1
            while last < prompts.count, rows + prompts[last].count <= Decoder.prefillRowLimit {
                rows += prompts[last].count
                last += 1
            }
            identifiers += prefill(prompts[first..<last], into: logits.baseAddress! + first * vocabularySize)
        }
        return identifiers
    }

    private func prefill(
        _ prompts: ArraySlice<[Int32]>, into logits: UnsafeMutablePointer<Float>
    ) -> [PrefixIdentifier] {
        let config = model.config
        let batch = FlatBatch(
            prompts: prompts, vocabularySize: config.vocabularySize, contextTokens: config.contextTokens)
        var places: [Place] = []
        let identifiers = prompts.map { prompt in
            var paged = PagedTokens()
            for _ in prompt { places.append(paged.append(from: pool)) }
            let identifier = PrefixIdentifier(rawValue: nextIdentifier)
            nextIdentifier += 1
            prefixes[identifier] = Prefix(tokens: paged)
            return identifier
        }
        let hidden = model.finalHidden(batch) { layer, projections in
            store(places, projections, layer: layer)
        }
        let last = lastRows.reserve(batch.groups.count * config.hiddenSize)
        for (index, group) in batch.groups.enumerated() {
            (last + index * config.hiddenSize).update(
                from: hidden + (group.promptStart + group.promptCount - 1) * config.hiddenSize,
                count: config.hiddenSize)
        }
        model.head.logits(last, rows: batch.groups.count, into: logits)
        return identifiers
    }

    /// - Parameter tokens: how many the caller expects; a hint, since pages are added as the sequence grows.
    package func makeSequence(prefix: PrefixIdentifier, reserve tokens: Int) -> SequenceIdentifier {
        precondition(prefixes[prefix]?.released == false, "Decoder: no prefix \(prefix.rawValue)")
        prefixes[prefix]!.users += 1
        let identifier = SequenceIdentifier(rawValue: nextIdentifier)
        nextIdentifier += 1
        sequences[identifier] = Sequence(
            prefix: prefix, tokens: PagedTokens(after: prefixes[prefix]!.tokens.count))
        return identifier
    }

    package func releasePrefix(_ prefix: PrefixIdentifier) {
        precondition(prefixes[prefix]?.released == false, "Decoder: no prefix \(prefix.rawValue)")
        prefixes[prefix]!.released = true
        removeIfUnused(prefix)
    }

    package func releaseSequence(_ sequence: SequenceIdentifier) {
        guard let removed = sequences.removeValue(forKey: sequence) else {
            preconditionFailure("Decoder: no sequence \(sequence.rawValue)")
        }
        pool.give(back: removed.tokens.pages)
        prefixes[removed.prefix]!.users -= 1
        removeIfUnused(removed.prefix)
    }

    private func removeIfUnused(_ identifier: PrefixIdentifier) {
        guard let prefix = prefixes[identifier], prefix.released, prefix.users == 0 else { return }
        prefixes[identifier] = nil
        pool.give(back: prefix.tokens.pages)
    }

    package func decode(
        _ tokens: [Int32], sequences identifiers: [SequenceIdentifier], logits: UnsafeMutableBufferPointer<Float>
    ) {
        let config = model.config
        let count = tokens.count
        precondition(
            count == identifiers.count && logits.count >= count * config.vocabularySize,
            "Decoder: \(count) tokens, \(identifiers.count) sequences, room for \(logits.count) logits")
        precondition(Set(identifiers).count == count, "Decoder: a sequence twice in one step")
        guard count > 0 else { return }
        var positions: [Int32] = []
        var places: [Place] = []
        for (token, identifier) in zip(tokens, identifiers) {
            precondition(
                token >= 0 && Int(token) < vocabularySize, "Decoder: token \(token), vocabulary \(vocabularySize)")
            guard let prefix = sequences[identifier]?.prefix else {
                preconditionFailure("Decoder: no sequence \(identifier.rawValue)")
            }
            places.append(sequences[identifier]!.tokens.append(from: pool))
            let length = prefixes[prefix]!.tokens.count + sequences[identifier]!.tokens.count
            precondition(length <= contextTokens, "Decoder: \(length) tokens, the context is \(contextTokens)")
            positions.append(Int32(length - 1))
        }
        let plan = DecodePlan(slices(identifiers), shape: model.shape)
        model.rotary.reserve(Int(positions.max()!) + 1)
        let block = workspace.rows(for: config, count: count)
        model.embed(tokens, into: block.input)
        for layer in 0..<config.layerCount {
            model.forward(layer, block, rows: count, positions: positions) {
                store(places, block.projections, layer: layer)
                attend(plan, block, layer: layer)
            }
        }
        model.head.logits(block.input, rows: count, into: logits.baseAddress!)
    }

    private typealias Place = (page: UnsafeMutablePointer<Float>, slot: Int)

    private func store(_ places: [Place], _ projections: UnsafePointer<Float>, layer: Int) {
        let stride = model.config.projectionSize
        model.threads.parallelRows(places.count, width: stride) { range in
            for row in range {
                attention_page_store(
                    places[row].page + layer * pool.layerStride, Int64(places[row].slot), projections + row * stride,
                    model.shape)
            }
        }
    }

    /// Sequences of one prefix stand together, in the order of their first one.
    private func slices(_ identifiers: [SequenceIdentifier]) -> [DecodePlan.Slice] {
        var order: [PrefixIdentifier] = []
        var rows: [PrefixIdentifier: [Int]] = [:]
        for (row, identifier) in identifiers.enumerated() {
            let prefix = sequences[identifier]!.prefix
            if rows[prefix] == nil { order.append(prefix) }
            rows[prefix, default: []].append(row)
        }
        return order.map { prefix in
            DecodePlan.Slice(
                prefix: prefixes[prefix]!.tokens,
                sequences: rows[prefix]!.map { (row: $0, tokens: sequences[identifiers[$0]]!.tokens) })
        }
    }

    private func attend(_ plan: DecodePlan, _ block: BlockRows, layer: Int) {
        let keyHeads = Int(model.shape.key_heads)
        let headStride = pool.layerStride / keyHeads
        let size = (plan.workspaceSize + 15) / 16 * 16
        let threads = model.threads
        let scratch = ScratchSlots(
            attentionBuffer.reserve(size * threads.threadCount), size, threads.threadCount)
        plan.withGroups { groups in
            threads.parallel(groups.count * keyHeads) { part in
                let keyHead = part % keyHeads
                scratch.with { workspace in
                    attention_decode(
                        block.attended, block.projections, model.shape, groups.baseAddress! + part / keyHeads,
                        Int64(layer * pool.layerStride + keyHead * headStride), Int64(keyHead), workspace)
                }
            }
        }
    }
}
