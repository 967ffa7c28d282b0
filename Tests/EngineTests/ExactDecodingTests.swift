// Does a decoded row keep its bits whatever it is computed with: other prompts, a shared prefix, used pages?
import Engine
import Testing
import Weights

@Suite struct ExactDecodingTests {
    private func model(_ config: ModelConfig) throws -> TransformerModel {
        config.randomModel(arithmetic: .exact(try KernelChoice.current.kernel))
    }

    private func prefill(_ decoder: Decoder, _ prompts: [[Int32]]) -> (prefixes: [PrefixIdentifier], rows: [Float]) {
        var rows = [Float](repeating: 0, count: prompts.count * decoder.vocabularySize)
        let prefixes = rows.withUnsafeMutableBufferPointer { decoder.prefill(prompts, logits: $0) }
        return (prefixes, rows)
    }

    /// Logits of every step of sequences that go on together, each with tokens of its own.
    private func decode(_ decoder: Decoder, _ prefixes: [PrefixIdentifier], _ texts: [[Int32]]) -> [[Float]] {
        let size = decoder.vocabularySize
        let sequences = prefixes.map { decoder.makeSequence(prefix: $0, reserve: texts[0].count) }
        return texts[0].indices.map { step in
            var rows = [Float](repeating: 0, count: sequences.count * size)
            rows.withUnsafeMutableBufferPointer {
                decoder.decode(texts.map { $0[step] }, sequences: sequences, logits: $0)
            }
            return rows
        }
    }

    /// More rows than one pass takes, so that the prompts are cut into several.
    @Test(arguments: oddModels)
    func `prompts computed together have the bits each has alone`(_ config: ModelConfig) throws {
        let model = try model(config)
        var numbers = NumberSource(51)
        let prompts = [1, 400, 17, 620, 16, 31, 1, 500].map { numbers.tokens($0, below: config.vocabularySize) }
        let texts = prompts.map { _ in numbers.tokens(18, below: config.vocabularySize) }
        let decoder = Decoder(model: model)
        let (prefixes, rows) = prefill(decoder, prompts)
        let steps = decode(decoder, prefixes, texts)
        let size = config.vocabularySize
        for (index, prompt) in prompts.enumerated() {
            let single = Decoder(model: model)
            let (prefix, row) = prefill(single, [prompt])
            let range = index * size..<(index + 1) * size
            #expect(row == Array(rows[range]), "prompt \(index)")
            #expect(decode(single, prefix, [texts[index]]) == steps.map { Array($0[range]) }, "after prompt \(index)")
        }
    }

    @Test(arguments: oddModels)
    func `a shared prompt gives the bits of a prompt for each`(_ config: ModelConfig) throws {
        let model = try model(config)
        var numbers = NumberSource(52)
        for length in [5, 16, 37] {
            let prompt = numbers.tokens(length, below: config.vocabularySize)
            let texts = (0..<19).map { _ in numbers.tokens(20, below: config.vocabularySize) }
            let decoder = Decoder(model: model)
            let shared = prefill(decoder, [prompt]).prefixes[0]
            let together = decode(decoder, texts.map { _ in shared }, texts)
            let own = prefill(decoder, texts.map { _ in prompt }).prefixes
            #expect(decode(decoder, own, texts) == together, "prompt of \(length)")
        }
    }

    /// The first decoder leaves its sequences open; its pages, full of other numbers, serve the second.
    @Test(arguments: oddModels)
    func `pages used before give the bits of new ones`(_ config: ModelConfig) throws {
        let model = try model(config)
        var numbers = NumberSource(53)
        let texts = (0..<3).map { _ in numbers.tokens(21, below: config.vocabularySize) }
        let prompts = [3, 16, 30].map { numbers.tokens($0, below: config.vocabularySize) }
        func rows(_ decoder: Decoder) -> [[Float]] { decode(decoder, prefill(decoder, prompts).prefixes, texts) }
        let expected = rows(Decoder(model: model))
        let pages = PagePool(config: config)
        do {
            let other = Decoder(model: model, pages: pages)
            let long = (0..<3).map { _ in numbers.tokens(90, below: config.vocabularySize) }
            _ = decode(other, prefill(other, long).prefixes, texts)
            #expect(pages.pagesInUse > 0)
        }
        #expect(pages.pagesInUse == 0)
        #expect(rows(Decoder(model: model, pages: pages)) == expected)
    }
}
