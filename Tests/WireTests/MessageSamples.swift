// Messages of every case with contents drawn from a seed.

import Cluster
import Rollouts

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}

struct MessageSamples {
    var random: SplitMix
    /// Arrays have 0 to this many elements.
    var longest = 5

    init(seed: UInt64) { random = SplitMix(state: seed) }

    static let caseCount = 26

    /// One message of each case, in the order of the schema.
    mutating func all() -> [Message] { (0..<MessageSamples.caseCount).map { message($0) } }

    mutating func message(_ index: Int) -> Message {
        switch index {
        case 0: .hello(hello())
        case 1: .heartbeat(progress: list { LeaseProgress(lease: $0.lease(), unitsDone: $0.random.next()) })
        case 2: .rolloutResult(lease: lease(), completions: list { $0.completion() }, seconds: double())
        case 3: .verificationResult(lease: lease(), verdicts: list { $0.verdict() }, seconds: double())
        case 4: .trainingResult(lease: lease(), report(), seconds: double())
        case 5: .policyReady(version(), weightsHash: digest())
        case 6: .scoreResult(lease: lease(), logProbs: list { $0.float() })
        case 7: .partialText(lease: lease(), text: text())
        case 8:
            bool()
                ? .failed(lease: lease(), reason: text(), retryable: bool())
                : .disputed(lease: lease(), [groupKey()] + list { $0.groupKey() }, reason: text())
        case 9: .policyFailed(version(), reason: text())
        case 10: .goodbye(reason: text())
        case 11: .welcome(welcome())
        case 12: .refused(reason: text())
        case 13: .policy(manifest())
        case 14: .rollout(lease: lease(), rollout())
        case 15:
            .verify(
                lease: lease(),
                VerificationAssignment(
                    key: groupKey(), promptText: text(), answer: text(), completions: list { $0.text() }))
        case 16: .trainingGroup(lease: lease(), group())
        case 17:
            .train(
                lease: lease(),
                TrainingAssignment(
                    step: integer(1...100), base: version(), groupCount: integer(0...64), learningRate: double(),
                    checkpoint: bool(), reference: bool() ? manifest() : nil, parts: list { $0.gradientPart() }))
        case 18:
            .pretrain(
                lease: lease(),
                PretrainingAssignment(
                    sequences: list { $0.list { $0.token() } }, sequencesPerStep: integer(1...32),
                    learningRate: double()))
        case 19: .score(lease: lease(), ScoreAssignment(version: version(), tokens: list { $0.token() }))
        case 20: .saveCheckpoint(lease: lease())
        case 21: .cancel(lease: lease())
        case 22: .acknowledge(lease: lease())
        case 23: .shutdown(reason: text())
        case 24: .gradientResult(lease: lease(), step: integer(1...100), gradientPart(), seconds: double())
        default:
            .gradient(
                lease: lease(),
                GradientAssignment(
                    step: integer(1...100), base: version(), groupCount: integer(0...64), shards: shards(),
                    keep: bool(), attempt: random.next(), reference: bool() ? manifest() : nil))
        }
    }

    mutating func shards() -> ShardRange {
        let count = 1 << integer(0...5)
        return ShardRange(first: count * integer(0...8), count: count)!
    }
    mutating func gradientPart() -> GradientPart {
        GradientPart(
            shards: shards(), blob: bool() ? blob() : nil,
            sums: list { StepMetrics.Value(name: $0.text(), value: $0.double()) })
    }

    mutating func list<Element>(_ make: (inout MessageSamples) -> Element) -> [Element] {
        (0..<integer(0...longest)).map { _ in make(&self) }
    }
    mutating func integer(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
    mutating func bool() -> Bool { random.next() & 1 == 0 }
    mutating func lease() -> LeaseIdentifier { LeaseIdentifier(random.next()) }
    mutating func version() -> PolicyVersion { PolicyVersion(UInt64(integer(0...3))) }
    mutating func token() -> Int32 { Int32(integer(0...Int(Int32.max))) }
    /// Finite, of any size, subnormal or not, never negative.
    mutating func double() -> Double {
        while true {
            let value = Double(bitPattern: random.next() & (.max >> 1))
            if value.isFinite { return value }
        }
    }
    /// Finite, any bits.
    mutating func float() -> Float {
        while true {
            let value = Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
            if value.isFinite { return value }
        }
    }
    /// Zero bytes, combining marks and characters outside the basic plane included.
    mutating func text() -> String {
        let pieces = ["a", "\u{0}", "é", "e\u{301}", "語", "🪶", "\n", "\""]
        return list { pieces[$0.integer(0...7)] }.joined()
    }
    mutating func digest() -> Digest {
        var bytes: [UInt8] = []
        for _ in 0..<4 { withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) } }
        return Digest(bytes: bytes)!
    }
    mutating func blob() -> BlobReference { BlobReference(digest: digest(), byteCount: integer(0...Int.max)) }
    mutating func manifest() -> PolicyManifest {
        PolicyManifest(
            version: PolicyVersion(random.next()), weightsHash: digest(), weights: blob(),
            optimizer: bool() ? blob() : nil)
    }
    mutating func groupKey() -> GroupKey {
        GroupKey(
            purpose: Purpose.allCases[integer(0...2)], step: integer(0...((1 << 30) - 1)),
            ordinal: integer(0...((1 << 24) - 1)))
    }
    mutating func prompt() -> Prompt {
        Prompt(
            key: groupKey(), tokens: [token()] + list { $0.token() }, text: text(), answer: text(), source: text())
    }
    mutating func completion() -> Completion {
        let tokens = list { $0.token() }
        return Completion(
            index: integer(0...((1 << 20) - 1)), tokens: tokens, sampledLogProbs: tokens.map { _ in float() },
            policyLogProbs: tokens.map { _ in float() }, entropies: tokens.map { _ in float() },
            versions: tokens.map { _ in version() }, text: text(), finish: bool() ? .stop : .length)
    }
    mutating func verdict() -> Verdict {
        Verdict([.right, .wrong, .noVerdict][integer(0...2)], score: double(), reason: text())
    }
    mutating func group() -> CompletionGroup {
        let completions = list { $0.completion() }
        return CompletionGroup(
            prompt: prompt(), completions: completions, verdicts: completions.map { _ in verdict() },
            rewards: completions.map { _ in -double() })
    }
    mutating func report() -> TrainingReport {
        TrainingReport(
            step: integer(0...1000), manifest: manifest(),
            metrics: list { StepMetrics.Value(name: $0.text(), value: $0.double()) })
    }
    mutating func hello() -> Hello {
        Hello(
            protocolVersion: ProtocolVersion(
                major: UInt16(integer(0...65_535)), minor: UInt16(integer(0...65_535))),
            worker: text(), host: text(), processIdentifier: Int32(integer(-5...Int(Int32.max))),
            roles: list { WorkerRole.allCases[$0.integer(0...2)] }, threads: integer(0...512),
            rolloutSlots: integer(0...64), verificationSlots: integer(0...64), kernel: text(),
            held: bool() ? manifest() : nil)
    }
    mutating func sampling() -> SamplingOptions {
        var options = SamplingOptions()
        options.temperature = double()
        options.topK = integer(0...1000)
        options.topP = Double.random(in: 0...1, using: &random)
        options.minP = Double.random(in: 0...1, using: &random)
        options.maxNewTokens = integer(0...4096)
        options.stopStrings = list { $0.text() }
        return options
    }
    mutating func rollout() -> RolloutAssignment {
        RolloutAssignment(
            prompt: prompt(), groupSize: integer(1...64), version: version(), sampling: sampling(),
            seed: random.next(), newer: bool())
    }
    mutating func welcome() -> Welcome {
        var options = RunOptions()
        options.name = text()
        options.seed = random.next()
        options.rollout.sampling = sampling()
        options.optimizer.learningRate = double()
        options.data.sources = list { _ in DataSource() }
        options.model.initialise = bool() ? ModelInitialisation() : nil
        var part = VerifierOptions.Part()
        part.verifier.pattern = text()
        options.verifier.parts = bool() ? [part] : []
        return Welcome(
            run: text(), options: options, modelBundle: blob(), blobAddress: text(), blobDirectory: text(),
            blobDirectoryProof: text())
    }
}
