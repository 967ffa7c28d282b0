// Where completions end: end tokens, stop strings across tokens, the limits of tokens and context.
import Engine
import Rollouts
import Testing

/// A model that says exactly these byte strings, one a token, after a prompt of one token.
private func says(_ tokens: [[UInt8]], contextTokens: Int = 64) -> (ScriptedBackend, (Int32) -> [UInt8]) {
    let backend = ScriptedBackend(vocabularySize: 32, contextTokens: contextTokens) { history in
        certain(Int32(min(history.count, tokens.count)), vocabularySize: 32)
    }
    return (backend, { $0 == 0 ? Array("<end>".utf8) : tokens[Int($0) - 1] })
}

private func complete(
    _ tokens: [[UInt8]], contextTokens: Int = 64, endTokens: [Int32] = [], stops: [String] = [], limit: Int = 20
) throws -> GeneratedCompletion {
    let (backend, decode) = says(tokens, contextTokens: contextTokens)
    let generator = Generator(backend: backend, batchLimit: 2, decode: decode)
    generator.submit(
        request(1, prompt: [31], endTokens: endTokens) {
            $0.stopStrings = stops
            $0.maxNewTokens = limit
        })
    let completion = try #require(generator.runToEnd().finished[1]?.first)
    #expect(backend.violations == [] && backend.openPrefixes == 0 && backend.openSequences == 0)
    return completion
}

private func bytes(_ texts: String...) -> [[UInt8]] { texts.map { Array($0.utf8) } }

private func text(_ completion: GeneratedCompletion) -> String {
    String(decoding: completion.textBytes, as: UTF8.self)
}

@Test func `an end token is part of the tokens and not of the text`() throws {
    let completion = try complete(bytes("on", "e", "<eos>", "more"), endTokens: [9, 3])
    #expect(completion.tokens == [1, 2, 3])
    #expect(completion.finish == .stop)
    #expect(text(completion) == "one")
}

@Test func `a completion whose first token ends it needs no decode`() throws {
    let completion = try complete(bytes("x"), endTokens: [1])
    #expect(completion.tokens == [1] && completion.textBytes == [] && completion.finish == .stop)
}

@Test func `a stop string is found across tokens and its text left out`() throws {
    let completion = try complete(bytes("The answer", " is 4.\n", "\nHum", "an: next", "never"), stops: ["\n\nHuman:"])
    #expect(completion.tokens == [1, 2, 3, 4])
    #expect(text(completion) == "The answer is 4.")
    #expect(completion.finish == .stop)
}

@Test func `a stop string is found in the bytes of a character cut between tokens`() throws {
    // é is C3 A9; the tokens cut it, and cut € (E2 82 AC) that stays text.
    let completion = try complete(
        [[0x61, 0xE2], [0x82], [0xAC, 0xC3], [0xA9, 0x62], [0x63]], stops: ["é"])
    #expect(completion.tokens == [1, 2, 3, 4])
    #expect(text(completion) == "a€")
}

@Test func `a limit may leave an incomplete character in the text`() throws {
    let completion = try complete([[0x61, 0xE2], [0x82], [0xAC]], limit: 2)
    #expect(completion.textBytes == [0x61, 0xE2, 0x82])
    #expect(completion.finish == .length && completion.tokens == [1, 2])
}

@Test func `the stop string complete first ends the text however the text is cut into tokens`() throws {
    for tokens in [bytes("xabcdy"), bytes("x", "a", "b", "c", "d", "y"), bytes("xab", "cdy")] {
        #expect(text(try complete(tokens, stops: ["abcd", "bc"])) == "xa")
        #expect(text(try complete(tokens, stops: ["c", "abc", "bc"])) == "x")
        #expect(text(try complete(tokens, stops: ["d", "zz"])) == "xabc")
    }
}

@Test func `a stop string that repeats its own beginning is found`() throws {
    #expect(text(try complete(bytes("aaa", "ab"), stops: ["aab"])) == "aa")
    #expect(text(try complete(bytes("##", "#", " answer"), stops: ["### "])) == "")
}

@Test func `a prompt's bytes are no part of a stop string`() throws {
    // The prompt's token 31 would decode to nothing the script knows; only sampled bytes are looked at.
    let completion = try complete(bytes("b", "c"), stops: ["ab"], limit: 2)
    #expect(completion.finish == .length && text(completion) == "bc")
}

@Test func `an end or a stop at the last allowed token is a stop`() throws {
    #expect(try complete(bytes("a", "b", "c"), endTokens: [2], limit: 2).finish == .stop)
    #expect(try complete(bytes("a", "b", "c"), stops: ["b"], limit: 2).finish == .stop)
    #expect(try complete(bytes("a", "b", "c"), stops: ["c"], limit: 2).finish == .length)
}

@Test func `the context limits a completion`() throws {
    // A prompt of one token in a context of 5 leaves room for 4.
    let completion = try complete(bytes("a"), contextTokens: 5)
    #expect(completion.tokens.count == 4 && completion.finish == .length)
    let single = try complete(bytes("a"), contextTokens: 2)
    #expect(single.tokens.count == 1 && single.finish == .length)
}
