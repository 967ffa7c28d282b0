// Continuous batching: results independent of the batch, slots refilled at once, every handle given back once.
import Dispatch
import Engine
import Rollouts
import Testing

private let vocabulary = 23

private func hashedBackend(contextTokens: Int = 256) -> ScriptedBackend {
    ScriptedBackend(vocabularySize: vocabulary, contextTokens: contextTokens) {
        hashedLogits($0, vocabularySize: vocabulary)
    }
}

private func letters(_ token: Int32) -> [UInt8] { [UInt8(ascii: "a") + UInt8(token)] }

private func makeGenerator(_ backend: ScriptedBackend, batchLimit: Int) -> Generator {
    Generator(backend: backend, batchLimit: batchLimit, decode: letters)
}

private let mixedRequests = [
    request(1, prompt: [3, 4, 5], completions: Array(0..<5)),
    request(2, prompt: [7], completions: [0]) { $0.temperature = 0 },
    request(3, prompt: [8, 9], completions: Array(0..<8)) { $0.topP = 0.8; $0.maxNewTokens = 7 },
    request(4, prompt: [9, 9, 9, 9], completions: [0, 1]) { $0.topK = 3; $0.temperature = 0.7 },
    request(5, prompt: [2], completions: [5, 1, 3]) { $0.stopStrings = ["b", "cd"]; $0.minP = 0.1 },
]

@Test func `results do not depend on the batch limit or on the spread over threads`() throws {
    var results: [[UInt64: [GeneratedCompletion]]] = []
    for batchLimit in [1, 3, 64] {
        let backend = hashedBackend()
        let generator = makeGenerator(backend, batchLimit: batchLimit)
        mixedRequests.forEach(generator.submit)
        let events = generator.runToEnd()
        results.append(events.finished)
        #expect(backend.batchSizes.max()! <= batchLimit)
        #expect(backend.violations == [])
        #expect(backend.openPrefixes == 0 && backend.openSequences == 0)
        for (identifier, completions) in events.finished {
            for completion in completions {
                #expect(events.announced(identifier, completion.index) == completion.tokens)
            }
        }
    }
    let reversed = Generator(
        backend: hashedBackend(), batchLimit: 10, threadCount: 4,
        parallel: { count, body in for part in (0..<count).reversed() { body(part) } }, decode: letters)
    mixedRequests.forEach(reversed.submit)
    results.append(reversed.runToEnd().finished)
    let threaded = Generator(
        backend: hashedBackend(), batchLimit: 7, threadCount: 3,
        parallel: { count, body in
            withoutActuallyEscaping(body) { body in
                nonisolated(unsafe) let body = body  // guard: the parts of a generator's loop share nothing they write
                DispatchQueue.concurrentPerform(iterations: count) { body($0) }
            }
        }, decode: letters)
    mixedRequests.forEach(threaded.submit)
    results.append(threaded.runToEnd().finished)

    for result in results.dropFirst() { #expect(result == results[0]) }
    #expect(results[0].count == mixedRequests.count)
    let third = try #require(results[0][3])
    #expect(third.map(\.index) == Array(0..<8))
    #expect(Set(third.map(\.tokens)).count > 1)
    #expect(try #require(results[0][5]).map(\.index) == [1, 3, 5])
}

@Test func `a completion is the same alone as in its group, whatever its slot and the caller's number`() throws {
    let whole = makeGenerator(hashedBackend(), batchLimit: 4)
    whole.submit(request(1, completions: Array(0..<6), ordinal: 5))
    let group = try #require(whole.runToEnd().finished[1])
    let alone = makeGenerator(hashedBackend(), batchLimit: 2)
    alone.submit(request(70, prompt: [6], completions: [0]))
    alone.submit(request(71, completions: [4], ordinal: 5))
    #expect(try #require(alone.runToEnd().finished[71]) == [group[4]])
    let otherSeed = makeGenerator(hashedBackend(), batchLimit: 4)
    otherSeed.submit(request(1, completions: Array(0..<6), ordinal: 5, seed: 12))
    #expect(try #require(otherSeed.runToEnd().finished[1]) != group)
}

/// A completion is `first` prompt token long: it ends with token 0, everything else is token 1.
private func countdownBackend() -> ScriptedBackend {
    ScriptedBackend(vocabularySize: 8) { history in
        certain(history.count >= Int(history[0]) ? 0 : 1, vocabularySize: 8)
    }
}

@Test func `a finished completion's slot is refilled before the next decode`() {
    let backend = countdownBackend()
    let generator = makeGenerator(backend, batchLimit: 2)
    // Lengths with a prompt of one token: 3, 1, 4, 2 tokens.
    for (identifier, length) in [3, 1, 4, 2].enumerated() {
        generator.submit(request(UInt64(identifier), prompt: [Int32(length)]))
    }
    func finished(_ events: [GenerationEvent]) -> [UInt64] { events.finished.keys.sorted() }
    // 1. Both slots start; request 1 ends with its first token, so no decode happens with a free slot.
    #expect(finished(generator.step()) == [1])
    #expect(backend.batchSizes == [] && generator.busySlots == 1 && generator.waitingCompletions == 2)
    // 2. Request 2 starts in the freed slot and decodes with request 0.
    #expect(finished(generator.step()) == [])
    #expect(backend.batchSizes == [2] && generator.busySlots == 2)
    // 3. Request 0 samples its third token.
    #expect(finished(generator.step()) == [0])
    // 4. Request 3 starts and both end.
    #expect(finished(generator.step()) == [2, 3])
    #expect(backend.batchSizes == [2, 2, 2])
    #expect(generator.isIdle && generator.step() == [])
    #expect(backend.prefilled == [[3], [1], [4], [2]])
    var counters = Generator.Counters()
    counters.tokensSampled = 10
    counters.prefillTokens = 4
    counters.decodeSteps = 3
    counters.decodedRows = 6
    counters.completionsFinished = 4
    #expect(generator.counters == counters)
    #expect(backend.violations == [])
}

@Test func `a group's prompt is computed once though the group straddles the batch limit`() {
    let backend = hashedBackend()
    let generator = makeGenerator(backend, batchLimit: 3)
    generator.submit(request(1, prompt: [5, 6, 7, 8], completions: Array(0..<8)) { $0.maxNewTokens = 4 })
    generator.submit(request(2, prompt: [4], completions: Array(0..<2)) { $0.maxNewTokens = 4 })
    var events = generator.step()
    #expect(backend.prefilled == [[5, 6, 7, 8]] && backend.openPrefixes == 1)
    events += generator.runToEnd()
    #expect(backend.prefilled == [[5, 6, 7, 8], [4]])
    #expect(generator.counters.prefillTokens == 5)
    #expect(events.finished[1]?.count == 8 && events.finished[2]?.count == 2)
    #expect(backend.violations == [] && backend.openPrefixes == 0 && backend.openSequences == 0)
}

@Test func `a cancelled request frees its slots for those that wait and is never heard of again`() {
    let backend = hashedBackend()
    let generator = makeGenerator(backend, batchLimit: 3)
    generator.submit(request(1, prompt: [3], completions: Array(0..<5), endTokens: []))
    generator.submit(request(2, prompt: [4], completions: [0, 1], endTokens: []))
    generator.submit(request(3, prompt: [5], completions: [0], endTokens: []))
    _ = generator.step()
    #expect(generator.busySlots == 3 && generator.waitingCompletions == 5 && backend.openPrefixes == 1)
    generator.cancel(1)
    #expect(generator.busySlots == 0 && backend.openPrefixes == 0 && backend.openSequences == 0)
    generator.cancel(3)
    #expect(generator.waitingCompletions == 2)
    let events = generator.runToEnd()
    #expect(events.finished.keys.sorted() == [2] && events.failures.isEmpty)
    #expect(events.announced(1, 0) == [] && events.announced(3, 0) == [])
    #expect(events.announced(2, 1).count == 20)
    generator.cancel(2)
    #expect(backend.prefilled == [[3], [4]] && backend.violations == [])
    // The number may be used again.
    generator.submit(request(1, prompt: [3], completions: [0]))
    #expect(generator.runToEnd().finished.keys.sorted() == [1])
}

@Test func `a generator that goes gives back what it holds`() {
    let backend = hashedBackend()
    do {
        let generator = makeGenerator(backend, batchLimit: 3)
        generator.submit(request(1, completions: Array(0..<5), endTokens: []))
        _ = generator.step()
        #expect(backend.openPrefixes == 1 && backend.openSequences == 3)
    }
    #expect(backend.openPrefixes == 0 && backend.openSequences == 0 && backend.violations == [])
}

@Test func `numbers that are not finite fail their group in words and no other`() {
    let backend = ScriptedBackend(vocabularySize: vocabulary) { history in
        var logits = hashedLogits(history, vocabularySize: vocabulary)
        if history[0] == 9, history.count == 4 { logits[17] = .nan }
        if history[0] == 8 { logits = Array(repeating: -.infinity, count: vocabulary) }
        return logits
    }
    let generator = makeGenerator(backend, batchLimit: 4)
    generator.submit(request(1, prompt: [9, 1], completions: Array(0..<6), endTokens: []))
    generator.submit(request(2, prompt: [8], completions: Array(0..<6)))
    generator.submit(request(3, prompt: [7], completions: [0], endTokens: []))
    let events = generator.runToEnd()
    #expect(events.failures == [
        1: "the logit of token 17 is not a number or +inf after 2 tokens of completion 0",
        2: "every logit is -inf after 0 tokens of completion 0",
    ])
    #expect(events.finished.keys.sorted() == [3])
    #expect(events.announced(1, 0).count == 2 && events.announced(2, 0) == [])
    #expect(backend.violations == [] && backend.openPrefixes == 0 && backend.openSequences == 0)
}

@Test func `what cannot be sampled fails in words and reaches no backend`() {
    let backend = hashedBackend(contextTokens: 8)
    let generator = makeGenerator(backend, batchLimit: 2)
    var badKey = request(12)
    badKey.key.ordinal = -1
    let requests = [
        request(1, prompt: []),
        request(2, prompt: Array(repeating: 1, count: 8)),
        request(3, prompt: [1, 23]),
        request(4, prompt: [-1]),
        request(5, endTokens: [99]),
        request(6, completions: []),
        request(7, completions: [3, 3]),
        request(8, completions: [-1]),
        request(9) { $0.temperature = -.infinity },
        request(10) { $0.topP = 0 },
        request(11) { $0.stopStrings = ["x", ""] },
        badKey,
        request(13) { $0.topK = -1 },
        request(14) { $0.minP = 1.5 },
        request(15) { $0.maxNewTokens = 0 },
        request(16) { $0.temperature = .nan },
    ]
    requests.forEach(generator.submit)
    #expect(!generator.isIdle)
    let failures = generator.step().failures
    #expect(generator.isIdle)
    #expect(failures.keys.sorted() == (1...16).map(UInt64.init))
    #expect(failures[2] == "the prompt has 8 tokens, which leaves no room in a context of 8")
    #expect(failures[3] == "prompt token 23 is outside the vocabulary of 23")
    #expect(failures[9] == "temperature -inf: must be 0 (greedy) or a positive number")
    #expect(failures[12] == "group 1/-1: step must be in 0..<1073741824, ordinal in 0..<16777216")
    #expect(backend.prefilled == [] && generator.step() == [])
}

@Test func `a cancelled request that could not be sampled is not reported`() {
    let generator = makeGenerator(hashedBackend(), batchLimit: 2)
    generator.submit(request(1, prompt: []))
    generator.cancel(1)
    #expect(generator.isIdle && generator.step() == [])
}

@Test func `greedy takes the most probable token, of equals the lowest, with certainty`() throws {
    let backend = ScriptedBackend(vocabularySize: 5) { history in
        history.count < 4 ? [0, 2, 1, 2, -1] : [9, 0, 0, 0, 0]
    }
    let generator = makeGenerator(backend, batchLimit: 1)
    generator.submit(request(1, prompt: [1]) { $0.temperature = 0 })
    let completion = try #require(generator.runToEnd().finished[1]?.first)
    #expect(completion.tokens == [1, 1, 1, 0])
    #expect(completion.sampledLogProbs == [0, 0, 0, 0])
    // ln(e²/(1 + 2e² + e + e⁻¹)) = 2 − ln 18.8642…, and at the end 9 − ln(e⁹ + 4)
    #expect(abs(completion.policyLogProbs[0] - -0.937_269_9) < 1e-6)
    #expect(abs(completion.policyLogProbs[3] - -0.000_493_518) < 1e-6)
    #expect(completion.versions == Array(repeating: PolicyVersion(4), count: 4))
    #expect(completion.finish == .stop)
    #expect(String(decoding: completion.textBytes, as: UTF8.self) == "bbb")
}

@Test func `untruncated, the sampled and the policy log-prob of every token are equal`() throws {
    let generator = makeGenerator(hashedBackend(), batchLimit: 8)
    generator.submit(request(1, completions: Array(0..<8)) { $0.temperature = 1.3 })
    for completion in try #require(generator.runToEnd().finished[1]) {
        #expect(completion.sampledLogProbs == completion.policyLogProbs)
        #expect(completion.tokens.count == completion.entropies.count)
        #expect(completion.policyLogProbs.allSatisfy { $0 < 0 } && completion.entropies.allSatisfy { $0 > 0 })
    }
}

@Test func `weights that change between tokens take over with the next row, and every token says whose it is`() {
    let backend = hashedBackend()
    let generator = makeGenerator(backend, batchLimit: 2)
    generator.submit(request(1, prompt: [3, 4], completions: [0, 1, 2]) { $0.maxNewTokens = 6 })
    var events = generator.step()
    events += generator.step()
    generator.change(to: PolicyVersion(7))
    events += generator.runToEnd()
    guard case .finished(_, let completions)? = events.last else {
        Issue.record("the group did not end")
        return
    }
    for completion in completions {
        #expect(completion.versions.count == completion.tokens.count)
        // The first token comes from the prompt's row, which was computed before the change.
        #expect(completion.versions.first != PolicyVersion(7))
        #expect(completion.versions == completion.versions.sorted())
    }
    // The third completion started after the change: only its first token is of the weights before.
    #expect(completions[2].versions.dropFirst().allSatisfy { $0 == PolicyVersion(7) })
    #expect(completions.contains { $0.versions.filter { $0 == PolicyVersion(7) }.count > 1 })
    #expect(backend.violations == [] && backend.openSequences == 0 && backend.openPrefixes == 0)
}
