// Does decoding over cached keys and values give the logits of a pass over the whole text?
import Engine
import Testing
import Weights

@Suite struct DecoderTests {
    private struct Text {
        var tokens: [Int32]
        var identifier: SequenceIdentifier
    }

    private func decode(_ decoder: Decoder, _ texts: inout [Text], _ numbers: inout NumberSource) -> [[Float]] {
        let size = decoder.vocabularySize
        let next = numbers.tokens(texts.count, below: size)
        var logits = [Float](repeating: 0, count: texts.count * size)
        logits.withUnsafeMutableBufferPointer {
            decoder.decode(next, sequences: texts.map(\.identifier), logits: $0)
        }
        for index in texts.indices { texts[index].tokens.append(next[index]) }
        return texts.indices.map { Array(logits[($0 * size)..<(($0 + 1) * size)]) }
    }

    /// Sequences of two prompts (of 35 and 3 tokens) advance together, some join later, one leaves and its pages are
    /// used again; tolerance as in EngineTests.
    @Test(arguments: oddModels)
    func `every decoded row equals the uncached one`(_ config: ModelConfig) {
        let model = config.randomModel()
        let decoder = Decoder(model: model)
        let check = config.randomModel(threadCount: 1)
        var numbers = NumberSource(16)
        var texts: [Text] = []
        func add(_ prompt: [Int32], _ prefix: PrefixIdentifier) {
            texts.append(Text(tokens: prompt, identifier: decoder.makeSequence(prefix: prefix, reserve: 4)))
        }
        func prefill(_ count: Int) -> ([Int32], PrefixIdentifier) {
            let prompt = numbers.tokens(count, below: config.vocabularySize)
            var logits = [Float](repeating: 0, count: config.vocabularySize)
            let prefix = logits.withUnsafeMutableBufferPointer { decoder.prefill(prompt, logits: $0) }
            let expected = check.logits(prompt).suffix(config.vocabularySize)
            #expect(largestDifference(logits, expected) <= 2e-5)
            return (prompt, prefix)
        }
        func advance(_ steps: Int) {
            for step in 0..<steps {
                let rows = decode(decoder, &texts, &numbers)
                guard step % 5 == 0 else { continue }
                for (row, text) in zip(rows, texts) {
                    let expected = check.logits(text.tokens).suffix(config.vocabularySize)
                    #expect(largestDifference(row, expected) <= 2e-5)
                }
            }
        }
        let (long, longPrefix) = prefill(35)
        add(long, longPrefix)
        add(long, longPrefix)
        advance(11)
        let (short, shortPrefix) = prefill(3)
        add(short, shortPrefix)
        add(long, longPrefix)
        decoder.releasePrefix(longPrefix)
        texts.swapAt(0, 2)
        advance(11)
        decoder.releaseSequence(texts.remove(at: 1).identifier)
        add(short, shortPrefix)
        advance(16)
        for text in texts { decoder.releaseSequence(text.identifier) }
        decoder.releasePrefix(shortPrefix)
        texts = []
        let (again, againPrefix) = prefill(20)
        for _ in 0..<20 { add(again, againPrefix) }
        advance(6)
    }

    @Test func `decoding sees an update of the weights`() {
        let config = oddModels[1]
        let model = config.randomModel()
        let decoder = Decoder(model: model)
        var logits = [Float](repeating: 0, count: config.vocabularySize)
        _ = logits.withUnsafeMutableBufferPointer { decoder.prefill([1, 2], logits: $0) }
        let before = logits
        for i in model.parameters.all.indices { model.parameters.all[i] *= 1.5 }
        _ = logits.withUnsafeMutableBufferPointer { decoder.prefill([1, 2], logits: $0) }
        #expect(largestDifference(logits, before) > 0.01)
        #expect(largestDifference(logits, model.logits([1, 2]).suffix(config.vocabularySize)) <= 2e-5)
    }
}
