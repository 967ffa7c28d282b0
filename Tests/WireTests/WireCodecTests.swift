// Messages survive the wire exactly, and nothing else passes for one.

import Cluster
import Rollouts
import Testing

@testable import Wire

@Test func `every message comes back as it was sent`() throws {
    for seed in 0..<40 as Range<UInt64> {
        var samples = MessageSamples(seed: seed)
        samples.longest = seed < 20 ? 3 : 12
        for message in samples.all() {
            #expect(try WireCodec.decode(WireCodec.encode(message)) == message)
        }
    }
}

@Test func `the samples have every case of the schema once`() throws {
    var samples = MessageSamples(seed: 7)
    // The outermost tag is the body's field number.
    let bodies = samples.all().map { message -> Int in
        let bytes = WireCodec.encode(message)
        return bytes[0] < 0x80 ? Int(bytes[0] >> 3) : (Int(bytes[0] & 0x7F) | Int(bytes[1]) << 7) >> 3
    }
    #expect(bodies == Array(1...11) + Array(33...45) + [12, 46])
}

@Test func `empty arrays and empty texts come back empty`() throws {
    let completion = Completion(
        index: 0, tokens: [], sampledLogProbs: [], policyLogProbs: [], entropies: [], versions: [], text: "",
        finish: .length)
    let messages: [Message] = [
        .heartbeat(progress: []),
        .rolloutResult(lease: LeaseIdentifier(0), completions: [], seconds: 0),
        .rolloutResult(lease: LeaseIdentifier(1), completions: [completion, completion], seconds: 0),
        .pretrain(
            lease: LeaseIdentifier(1),
            PretrainingAssignment(sequences: [[], [1], []], sequencesPerStep: 1, learningRate: 0)),
        .score(lease: LeaseIdentifier(1), ScoreAssignment(version: .base, tokens: [])),
        .acknowledge(lease: LeaseIdentifier(0)),
        .goodbye(reason: ""),
    ]
    for message in messages {
        #expect(try WireCodec.decode(WireCodec.encode(message)) == message)
    }
}

@Test func `floats arrive bit for bit`() throws {
    let patterns: [UInt32] = [0, 0x8000_0000, 1, 0x8000_0001, 0x007F_FFFF, 0x0080_0000, 0x7F7F_FFFF, 0xBF80_0001]
    let sent = Message.scoreResult(lease: LeaseIdentifier(3), logProbs: patterns.map { Float(bitPattern: $0) })
    guard case .scoreResult(_, let values) = try WireCodec.decode(WireCodec.encode(sent)) else {
        Issue.record("another message arrived")
        return
    }
    #expect(values.map(\.bitPattern) == patterns)
}

@Test func `negative zero keeps its sign in an array and loses it alone`() throws {
    let verdict = Verdict(.wrong, score: -0.0, reason: "")
    guard case .verificationResult(_, let verdicts, _) = try WireCodec.decode(
        WireCodec.encode(.verificationResult(lease: LeaseIdentifier(1), verdicts: [verdict], seconds: 0)))
    else {
        Issue.record("another message arrived")
        return
    }
    #expect(verdicts[0].score.sign == .plus)
    var samples = MessageSamples(seed: 1)
    var group = samples.group()
    group.verdicts = [verdict]
    group.completions = [
        Completion(
            index: 0, tokens: [], sampledLogProbs: [], policyLogProbs: [], entropies: [], versions: [], text: "",
            finish: .stop)
    ]
    group.rewards = [-0.0]
    guard case .trainingGroup(_, let arrived) = try WireCodec.decode(
        WireCodec.encode(.trainingGroup(lease: LeaseIdentifier(1), group)))
    else {
        Issue.record("another message arrived")
        return
    }
    #expect(arrived.rewards[0].sign == .minus)
}

@Test func `a group of two hundred thousand tokens comes back as it was sent`() throws {
    let count = 200_000
    let tokens = (0..<count).map { Int32(truncatingIfNeeded: $0 &* 7) }
    let values = (0..<count).map { -Float($0) * 0.001 }
    let versions = (0..<count).map { PolicyVersion(UInt64($0 / 60_000)) }
    let completion = Completion(
        index: 1, tokens: tokens, sampledLogProbs: values, policyLogProbs: values, entropies: values,
        versions: versions, text: String(repeating: "word ", count: 50_000), finish: .length)
    let message = Message.rolloutResult(lease: LeaseIdentifier(9), completions: [completion], seconds: 1.5)
    let bytes = WireCodec.encode(message)
    // Three floats a token, about three bytes of token id, no version a token, and the text.
    #expect(bytes.count < count * 15 + 250_000 + 100)
    #expect(try WireCodec.decode(bytes) == message)
}

@Test func `the bytes of a message do not change between releases`() throws {
    let message = Message.rollout(
        lease: LeaseIdentifier(7),
        RolloutAssignment(
            prompt: Prompt(
                key: GroupKey(purpose: .training, step: 3, ordinal: 300), tokens: [1, 128, 70_000], text: "2+2",
                answer: "4", source: "sums"),
            groupSize: 8, version: PolicyVersion(2), sampling: SamplingOptions(), seed: 5))
    let golden = [
        "a2023f", "0807",  // body 36, 63 bytes; lease 7
        "121f", "0a07" + "0801" + "1003" + "18ac02",  // prompt; its key: purpose 1, step 3, ordinal 300
        "1206" + "01" + "8001" + "f0a204",  // tokens, packed
        "1a03322b32", "220134", "2a0473756d73",  // text, answer, source
        "1808", "2002",  // group size, version
        "2a14", "09000000000000f03f", "19000000000000f03f", "2840",  // sampling: temperature 1, top-p 1, 64 new tokens
        "3005",  // seed
    ].joined()
    let bytes = WireCodec.encode(message)
    #expect(bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() == golden)
    #expect(try WireCodec.decode(bytes) == message)
}

@Test func `a message cut anywhere is an error or another whole message, never a trap`() {
    var samples = MessageSamples(seed: 11)
    for message in samples.all() {
        let bytes = WireCodec.encode(message)
        for length in 0..<bytes.count {
            // The outermost field has a length, so nothing shorter than all of it is a message.
            #expect(throws: WireError.self) { try WireCodec.decode(Array(bytes[..<length])) }
        }
    }
}

@Test func `a message with any one bit flipped decodes to a legal message or to an error`() {
    var samples = MessageSamples(seed: 12)
    var refused = 0
    var accepted = 0
    for message in samples.all() {
        var bytes = WireCodec.encode(message)
        for bit in 0..<min(bytes.count * 8, 4000) {
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            do throws(WireError) {
                let other = try WireCodec.decode(bytes)
                // What is accepted keeps the rules: it can be sent on.
                #expect(throws: Never.self) { try WireCodec.decode(WireCodec.encode(other)) }
                accepted += 1
            } catch {
                refused += 1
            }
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
        }
    }
    #expect(refused > 1000)
    #expect(accepted > 1000)
}

@Test func `random bytes and spliced messages never trap`() {
    var samples = MessageSamples(seed: 13)
    let messages = samples.all().map(WireCodec.encode)
    var refused = 0
    for _ in 0..<3000 {
        let first = messages[samples.integer(0...(messages.count - 1))]
        let second = messages[samples.integer(0...(messages.count - 1))]
        var bytes = Array(first.prefix(samples.integer(0...first.count)))
        bytes += second.suffix(samples.integer(0...second.count))
        for _ in 0..<samples.integer(0...4) where !bytes.isEmpty {
            bytes[samples.integer(0...(bytes.count - 1))] = UInt8(truncatingIfNeeded: samples.random.next())
        }
        do throws(WireError) { _ = try WireCodec.decode(bytes) } catch { refused += 1 }
    }
    #expect(refused > 2000)
}
