// A backend without a model: logits are a function of the token history, and every handle is counted.
import Engine
import Rollouts

final class ScriptedBackend: DecodeBackend {
    let vocabularySize: Int
    let contextTokens: Int
    /// History (prompt and all appended tokens) → logits (V).
    private let script: ([Int32]) -> [Float]
    private(set) var prefilled: [[Int32]] = []
    /// Rows of every decode call.
    private(set) var batchSizes: [Int] = []
    /// What a generator must not do, in words.
    private(set) var violations: [String] = []
    private var prefixes: [Int: [Int32]] = [:]
    private var sequences: [Int: Sequence] = [:]
    private var nextIdentifier = 0

    private struct Sequence {
        var prefix: Int
        var history: [Int32]
        var room: Int
    }

    init(vocabularySize: Int, contextTokens: Int = 256, script: @escaping ([Int32]) -> [Float]) {
        self.vocabularySize = vocabularySize
        self.contextTokens = contextTokens
        self.script = script
    }

    var openPrefixes: Int { prefixes.count }
    var openSequences: Int { sequences.count }

    func prefill(_ tokens: [Int32], logits: UnsafeMutableBufferPointer<Float>) -> PrefixIdentifier {
        prefilled.append(tokens)
        write(script(tokens), to: logits, row: 0)
        nextIdentifier += 1
        prefixes[nextIdentifier] = tokens
        return PrefixIdentifier(rawValue: nextIdentifier)
    }

    func makeSequence(prefix: PrefixIdentifier, reserve tokens: Int) -> SequenceIdentifier {
        nextIdentifier += 1
        guard let history = prefixes[prefix.rawValue] else {
            violations.append("sequence of a released prefix")
            return SequenceIdentifier(rawValue: nextIdentifier)
        }
        if tokens < 1 || history.count + tokens > contextTokens { violations.append("reserve of \(tokens)") }
        sequences[nextIdentifier] = Sequence(prefix: prefix.rawValue, history: history, room: tokens)
        return SequenceIdentifier(rawValue: nextIdentifier)
    }

    func releasePrefix(_ prefix: PrefixIdentifier) {
        if prefixes.removeValue(forKey: prefix.rawValue) == nil { violations.append("prefix released twice") }
        if sequences.values.contains(where: { $0.prefix == prefix.rawValue }) {
            violations.append("prefix released before its last sequence")
        }
    }

    func releaseSequence(_ sequence: SequenceIdentifier) {
        if sequences.removeValue(forKey: sequence.rawValue) == nil { violations.append("sequence released twice") }
    }

    func decode(_ tokens: [Int32], sequences handles: [SequenceIdentifier], logits: UnsafeMutableBufferPointer<Float>) {
        batchSizes.append(tokens.count)
        if Set(handles).count != tokens.count { violations.append("\(tokens.count) tokens, sequences \(handles)") }
        if logits.count != tokens.count * vocabularySize { violations.append("\(logits.count) logits") }
        for (row, handle) in handles.enumerated() {
            guard sequences[handle.rawValue] != nil else {
                violations.append("decode of a released sequence")
                continue
            }
            sequences[handle.rawValue]!.history.append(tokens[row])
            sequences[handle.rawValue]!.room -= 1
            if sequences[handle.rawValue]!.room < 0 { violations.append("more tokens than reserved") }
            write(script(sequences[handle.rawValue]!.history), to: logits, row: row)
        }
    }

    private func write(_ values: [Float], to logits: UnsafeMutableBufferPointer<Float>, row: Int) {
        for (token, value) in values.enumerated() { logits[row * vocabularySize + token] = value }
    }
}

/// Logits in [−3, 3) that depend on every token of the history.
func hashedLogits(_ history: [Int32], vocabularySize: Int) -> [Float] {
    let seed = history.reduce(UInt64(14_695_981_039_346_656_037)) {
        ($0 ^ UInt64(UInt32(bitPattern: $1))) &* 1_099_511_628_211
    }
    return (0..<vocabularySize).map {
        Float(KeyedRandom.uniform(seed: seed, use: .jitter, UInt64($0)) * 6 - 3)
    }
}

/// All probability on one token.
func certain(_ token: Int32, vocabularySize: Int) -> [Float] {
    (0..<vocabularySize).map { $0 == Int(token) ? 0 : -.infinity }
}

extension Generator {
    /// Steps until idle; all events in order.
    func runToEnd() -> [GenerationEvent] {
        var events: [GenerationEvent] = []
        while !isIdle { events += step() }
        return events
    }
}

extension [GenerationEvent] {
    /// Results by request.
    var finished: [UInt64: [GeneratedCompletion]] {
        reduce(into: [:]) { results, event in
            if case .finished(let identifier, let completions) = event { results[identifier] = completions }
        }
    }

    var failures: [UInt64: String] {
        reduce(into: [:]) { results, event in
            if case .failed(let identifier, let reason) = event { results[identifier] = reason }
        }
    }

    /// Tokens as they were announced, of one completion.
    func announced(_ identifier: UInt64, _ completion: Int) -> [Int32] {
        compactMap {
            guard case .tokens(identifier, completion, let token) = $0 else { return nil }
            return token
        }
    }
}

func request(
    _ identifier: UInt64, prompt: [Int32] = [1, 2], completions: [Int] = [0], ordinal: Int? = nil, seed: UInt64 = 11,
    endTokens: [Int32] = [0], _ change: (inout SamplingOptions) -> Void = { _ in }
) -> GenerationRequest {
    var sampling = SamplingOptions()
    sampling.maxNewTokens = 20
    change(&sampling)
    return GenerationRequest(
        identifier: identifier, key: GroupKey(purpose: .training, step: 1, ordinal: ordinal ?? Int(identifier)),
        prompt: prompt, completionIndices: completions, sampling: sampling, seed: seed, version: PolicyVersion(4),
        endTokens: endTokens)
}
