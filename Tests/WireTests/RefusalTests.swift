// What a peer may not say, and in which words it is told so.

import Cluster
import Rollouts
import Testing

@testable import Wire

private func refusal(_ bytes: [UInt8]) -> WireError? {
    do throws(WireError) {
        _ = try WireCodec.decode(bytes)
        return nil
    } catch {
        return error
    }
}

private func refusal(_ message: Message) -> String? { refusal(WireCodec.encode(message))?.description }

private func completion(tokens: Int = 2, _ change: (inout Completion) -> Void = { _ in }) -> Completion {
    var completion = Completion(
        index: 0, tokens: Array(repeating: 5, count: tokens), sampledLogProbs: Array(repeating: -1, count: tokens),
        policyLogProbs: Array(repeating: -1, count: tokens), entropies: Array(repeating: 1, count: tokens),
        versions: Array(repeating: .base, count: tokens), text: "x", finish: .stop)
    change(&completion)
    return completion
}

private func result(_ second: Completion) -> Message {
    .rolloutResult(lease: LeaseIdentifier(1), completions: [completion(), second], seconds: 1)
}

@Test func `arrays of different lengths are refused by name`() {
    #expect(
        refusal(result(completion { $0.entropies = [1] }))
            == "message, rollout_result.completions[1].entropies: expected 2 elements, as tokens has, found 1")
    #expect(
        refusal(result(completion { $0.sampledLogProbs = [] }))
            == "message, rollout_result.completions[1].sampled_log_probs: expected 2 elements, as tokens has, found 0")
    #expect(
        refusal(result(completion { $0.versions = [.base] }))
            == "message, rollout_result.completions[1].version_runs: expected 2 elements, as tokens has, found 1")
    #expect(
        refusal(result(completion { $0.versions = [.base, .base, .base] }))
            == "message, rollout_result.completions[1].version_run_lengths[0]: "
            + "expected 1 to the 2 tokens left, found 3")
    #expect(
        refusal(result(completion { $0.versions = [] }))
            == "message, rollout_result.completions[1].version_runs: expected 2 elements, as tokens has, found 0")
}

@Test func `numbers that are not finite are refused where they would be learned from`() {
    #expect(
        refusal(result(completion { $0.policyLogProbs[1] = .nan }))
            == "message, rollout_result.completions[1].policy_log_probs[1]: expected a finite number, found nan")
    #expect(
        refusal(.scoreResult(lease: LeaseIdentifier(1), logProbs: [0, -.infinity]))
            == "message, score_result.log_probs[1]: expected a finite number, found -inf")
    #expect(
        refusal(.rolloutResult(lease: LeaseIdentifier(1), completions: [], seconds: -1))?
            .hasPrefix("message, rollout_result.seconds: expected a number from 0.0 to") == true)
    #expect(
        refusal(
            .verificationResult(
                lease: LeaseIdentifier(1), verdicts: [.right("", score: .infinity)], seconds: 1))?
            .hasPrefix("message, verification_result.verdicts[0].score: expected a number from") == true)
    var samples = MessageSamples(seed: 1)
    var group = samples.group()
    group.completions = [completion()]
    group.verdicts = [.right("")]
    group.rewards = [.nan]
    #expect(
        refusal(.trainingGroup(lease: LeaseIdentifier(1), group))
            == "message, training_group.group.rewards[0]: expected a finite number, found nan")
    group.rewards = []
    #expect(
        refusal(.trainingGroup(lease: LeaseIdentifier(1), group))
            == "message, training_group.group.rewards: expected 1 elements, as completions has, found 0")
}

@Test func `a metric may be not a number, because a diverging loss is to be seen`() throws {
    var samples = MessageSamples(seed: 2)
    var report = samples.report()
    report.metrics = [StepMetrics.Value(name: "loss", value: .nan)]
    let bytes = WireCodec.encode(.trainingResult(lease: LeaseIdentifier(1), report, seconds: 1))
    guard case .trainingResult(_, let arrived, _) = try WireCodec.decode(bytes) else {
        Issue.record("another message arrived")
        return
    }
    #expect(arrived.metrics[0].value.isNaN)
}

@Test func `places outside the random key's room are refused`() {
    var samples = MessageSamples(seed: 3)
    var assignment = samples.rollout()
    assignment.prompt.key = GroupKey(purpose: .training, step: 1 << 30, ordinal: 0)
    #expect(
        refusal(.rollout(lease: LeaseIdentifier(1), assignment))
            == "message, rollout.prompt.key.step: expected 0 to 1073741823, found 1073741824")
    assignment.prompt.key = GroupKey(purpose: .training, step: 1, ordinal: -1)
    #expect(
        refusal(.rollout(lease: LeaseIdentifier(1), assignment))
            == "message, rollout.prompt.key.ordinal: expected 0 to 16777215, found 18446744073709551615")
    assignment.prompt.key.ordinal = 1
    assignment.groupSize = 0
    #expect(
        refusal(.rollout(lease: LeaseIdentifier(1), assignment))
            == "message, rollout.group_size: expected 1 to 1048576, found 0")
    assignment.groupSize = 1
    assignment.prompt.tokens = []
    #expect(
        refusal(.rollout(lease: LeaseIdentifier(1), assignment))
            == "message, rollout.prompt.tokens: expected at least one, found none")
    assignment.prompt.tokens = [4, -1]
    #expect(
        refusal(.rollout(lease: LeaseIdentifier(1), assignment))
            == "message, rollout.prompt.tokens[1]: expected a token id below 2^31, found 4294967295")
}

@Test func `a body that this release does not know is named by its number`() {
    // Field 99, two bytes.
    #expect(
        refusal([0x9A, 0x06, 0x02, 0x08, 0x01])?.description
            == "message: expected one body, found body 99, which this release does not know")
    #expect(refusal([])?.description == "message: expected one body, found none")
}

@Test func `a second body or a field given twice is refused before protobuf merges it`() {
    let cancel = WireCodec.encode(.cancel(lease: LeaseIdentifier(1)))
    let goodbye = WireCodec.encode(.goodbye(reason: "x"))
    #expect(refusal(cancel + goodbye)?.description == "message, goodbye: expected one body, found a second one")
    #expect(refusal(goodbye + goodbye)?.description == "message, goodbye: expected the field once, found it twice")
    // goodbye { reason: "x", reason: "y" }
    #expect(
        refusal([0x5A, 0x06, 0x0A, 0x01, 0x78, 0x0A, 0x01, 0x79])?.description
            == "message, goodbye.reason: expected the field once, found it twice")
}

@Test func `text that is not UTF-8, a short digest and an unknown outcome are refused`() {
    #expect(
        refusal([0x5A, 0x04, 0x0A, 0x02, 0xC3, 0x28])?.description
            == "message, goodbye.reason: expected UTF-8 text, found 2 bytes that are not")
    // policy_ready { weights_hash: 3 bytes }
    #expect(
        refusal([0x32, 0x05, 0x12, 0x03, 1, 2, 3])?.description
            == "message, policy_ready.weights_hash: expected a digest of 32 bytes, found 3")
    // verification_result { verdicts { outcome: 9 } }
    #expect(
        refusal([0x22, 0x04, 0x12, 0x02, 0x08, 0x09])?.description
            == "message, verification_result.verdicts[0].outcome: expected a value of the enumeration, found 9")
    // verification_result { verdicts { } }
    #expect(
        refusal([0x22, 0x02, 0x12, 0x00])?.description
            == "message, verification_result.verdicts[0].outcome: expected a value of the enumeration, found 0")
}

@Test func `a length past the end, a long number, a group and an unpacked array are refused`() {
    #expect(
        refusal([0x5A, 0x7F, 0x0A])?.description == "message, goodbye: expected 127 bytes, found 1 until the end")
    #expect(
        refusal([UInt8](repeating: 0xFF, count: 11))?.description
            == "message: expected a number of 64 bits at byte 10, found a longer one")
    #expect(
        refusal([0x5B])?.description == "message: expected wire type 0, 1, 2 or 5 of field 11, found 3")
    // heartbeat { leases: 1 } as a plain number
    #expect(
        refusal([0x12, 0x02, 0x08, 0x01])?.description
            == "message, heartbeat.leases: expected wire type delimited, found varint")
}

@Test func `unknown fields inside a known message are skipped`() throws {
    // cancel { lease: 5, field 15: 1, field 16: "ab" }
    let bytes: [UInt8] = [0xDA, 0x02, 0x09, 0x08, 0x05, 0x78, 0x01, 0x82, 0x01, 0x02, 0x61, 0x62]
    #expect(try WireCodec.decode(bytes) == .cancel(lease: LeaseIdentifier(5)))
}

@Test func `decoding takes no more memory than the limit for its size`() {
    // rollout_result with 60,000 empty completions in two bytes each: 8 MiB of structures and pointers.
    let empty = (0..<60_000).flatMap { _ in [0x12, 0x00] as [UInt8] }
    let length = empty.count
    let bytes: [UInt8] =
        [0x1A, UInt8(length & 0x7F) | 0x80, UInt8(length >> 7 & 0x7F) | 0x80, UInt8(length >> 14)] + empty
    let error = refusal(bytes)
    #expect(error?.kind == .tooLarge)
    #expect(error?.expected == "a message that decodes into at most \(bytes.count * 64 + 65_536) bytes")
    #expect(WireLimits.decodingBytes(payload: WireLimits.maximumPayloadBytes) == 128 << 20)
    #expect(WireLimits.decodingBytes(payload: .max) == 128 << 20)
}

@Test func `the allocator hands out so much, aligned and apart, and refuses the rest`() throws {
    for blockBytes in [16, 64, 100] {
        let allocator = BoundedAllocator(limitBytes: 100, blockBytes: blockBytes)
        let table = allocator.table
        let first = try #require(table.alloc(table.allocator_data, 57))
        #expect(table.alloc(table.allocator_data, 44) == nil)
        #expect(allocator.refusedRequest == 44)
        let others = try [0, 3, 40].map { try #require(table.alloc(table.allocator_data, $0)) }
        #expect(allocator.heldBytes == 100)
        #expect(table.alloc(table.allocator_data, 1) == nil)
        let blocks = zip([first] + others, [57, 0, 3, 40]).sorted { $0.0 < $1.0 }
        for (pointer, size) in blocks {
            #expect(Int(bitPattern: pointer).isMultiple(of: 16))
            pointer.initializeMemory(as: UInt8.self, repeating: 1, count: size)
        }
        for (left, right) in zip(blocks, blocks.dropFirst()) { #expect(left.0 + max(left.1, 1) <= right.0) }
        table.free(table.allocator_data, first)
        table.free(table.allocator_data, nil)
    }
}

@Test func `only messages with tokens or completions may pass one mebibyte`() {
    let long = String(repeating: "x", count: WireLimits.controlPayloadBytes)
    #expect(refusal(WireCodec.encode(.goodbye(reason: long)))?.kind == .tooLarge)
    let short = String(repeating: "x", count: WireLimits.controlPayloadBytes - 100)
    #expect(refusal(.goodbye(reason: short)) == nil)
    var samples = MessageSamples(seed: 4)
    var assignment = samples.rollout()
    assignment.prompt.text = long
    #expect(refusal(.rollout(lease: LeaseIdentifier(1), assignment)) == nil)
}

@Test func `options travel as one document, and a missing one is named`() throws {
    var options = RunOptions()
    options.seed = .max
    options.optimizer.learningRate = 0.1 + 0.2
    options.rollout.sampling.temperature = .infinity
    let bytes = OptionsDocument.encode(options)
    #expect(bytes == OptionsDocument.encode(options))
    #expect(try bytes.withUnsafeBytes { try OptionsDocument.decode($0) } == options)

    let shorter = String(decoding: bytes, as: UTF8.self).replacing("\"layers\"", with: "\"stories\"")
        .replacing("\"groupSize\":8,", with: "")
    let error = #expect(throws: WireError.self) {
        try Array(shorter.utf8).withUnsafeBytes { try OptionsDocument.decode($0) }
    }
    #expect(
        error?.description
            == "message, options_json: expected the options of this release, found none for `rollout.groupSize`")
    let large = [UInt8](repeating: UInt8(ascii: " "), count: WireLimits.optionsBytes + 1)
    #expect(throws: WireError.self) { try large.withUnsafeBytes { try OptionsDocument.decode($0) } }
}
