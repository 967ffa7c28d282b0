// How groups of completions are sampled together: continuous batching over a decode backend.
import Rollouts

/// Samples many requests at once, one token of every running completion a step.
///
/// A prompt is computed once for its group. Its first tokens are sampled from the prompt's last row when a completion
/// gets its slot; then the completion has a sequence of its own in the backend and takes part in every decode:
///
///     waiting ──slot──► first token ──not ended──► decoding ──ended──► retired
///                            └──────────ended───────────────────────────►┘
///
/// A decode never runs with a free slot while a completion waits. The prompt's prefix is released with the group's
/// last completion. What a completion becomes depends on its request alone, not on what it shared batches with, as
/// far as the backend's rows do not. One owner; not re-entrant.
package final class Generator {
    /// Calls the body for 0..<count on any threads, and returns when all calls have.
    package typealias ParallelLoop = (_ count: Int, _ body: (Int) -> Void) -> Void

    package struct Counters: Equatable, Sendable {
        package var tokensSampled = 0
        package var prefillTokens = 0
        package var decodeSteps = 0
        /// Rows over all decode steps; divided by steps · slots it is the occupancy.
        package var decodedRows = 0
        package var completionsFinished = 0
        package init() {}
    }

    package let batchLimit: Int
    package private(set) var counters = Counters()
    private let backend: any DecodeBackend
    private let parallel: ParallelLoop
    private let decodeBytes: (Int32) -> [UInt8]
    /// One for each thread that samples.
    private let samplers: [Sampler]
    /// (batchLimit, V)
    private let decodeLogits: LogitsRows
    private var scheduler: BatchScheduler
    private var groups: [UInt64: Group] = [:]
    private var slots: [RunningCompletion?]
    private var rejected: [(identifier: UInt64, reason: String)] = []
    /// The version that took over; nil while each request's own is the backend's.
    private var changed: PolicyVersion?

    /// - Parameters:
    ///   - batchLimit: most sequences decoded at once.
    ///   - threadCount: over how many parts the sampling of a step's rows is spread by `parallel`.
    ///   - decode: the bytes that a token stands for, for texts and stop strings.
    package init(
        backend: any DecodeBackend, batchLimit: Int, threadCount: Int = 1,
        parallel: @escaping ParallelLoop = { count, body in for index in 0..<count { body(index) } },
        decode: @escaping (Int32) -> [UInt8]
    ) {
        precondition(batchLimit >= 1 && threadCount >= 1, "Generator: \(batchLimit) slots, \(threadCount) threads")
        self.backend = backend
        self.batchLimit = batchLimit
        self.parallel = parallel
        decodeBytes = decode
        samplers = (0..<min(threadCount, batchLimit)).map { _ in Sampler(vocabularySize: backend.vocabularySize) }
        decodeLogits = LogitsRows(count: batchLimit, vocabularySize: backend.vocabularySize)
        scheduler = BatchScheduler(slotCount: batchLimit)
        slots = Array(repeating: nil, count: batchLimit)
    }

    deinit {
        for identifier in groups.keys { cancel(identifier) }  // in any order: nothing is computed any more
    }

    /// The backend's weights are another version's from here on: what is drawn from the rows it computes next carries
    /// that version.
    package func change(to version: PolicyVersion) { changed = version }

    /// Queues a group behind all earlier ones. One that cannot be sampled is answered by `.failed` in the next step.
    package func submit(_ request: GenerationRequest) {
        let identifier = request.identifier
        precondition(
            groups[identifier] == nil && !rejected.contains { $0.identifier == identifier },
            "Generator: request \(identifier) is already open")
        let contextTokens = backend.contextTokens
        if let fault = request.fault(vocabularySize: backend.vocabularySize, contextTokens: contextTokens) {
            rejected.append((identifier, fault))
            return
        }
        groups[identifier] = Group(request, contextTokens: contextTokens)
        scheduler.submit(identifier, completionIndices: request.completionIndices)
    }

    /// Ends a request without an event and gives back all it holds. Nothing happens when it has ended already.
    package func cancel(_ identifier: UInt64) {
        rejected.removeAll { $0.identifier == identifier }
        for slot in scheduler.remove(identifier) {
            if let sequence = slots[slot]?.sequence { backend.releaseSequence(sequence) }
            slots[slot] = nil
        }
        if let prefix = groups.removeValue(forKey: identifier)?.prefix { backend.releasePrefix(prefix) }
    }

    /// No request is open: `step` would do nothing.
    package var isIdle: Bool { groups.isEmpty && rejected.isEmpty }
    /// Completions that hold a slot.
    package var busySlots: Int { scheduler.running.count }
    /// Completions that wait for a slot.
    package var waitingCompletions: Int { scheduler.waitingCount }

    /// Schedule → run → sample → retire: at most one decode, and at most one prefill for each slot that fell free.
    /// When completions end with their first token and others wait, it returns before the decode so that the next step
    /// fills the slots first.
    package func step() -> [GenerationEvent] {
        var events = rejected.map { GenerationEvent.failed(identifier: $0.identifier, reason: $0.reason) }
        rejected = []
        let started = start(scheduler.fillSlots())
        apply(sample(started), to: started, &events)
        guard busySlots > 0, busySlots == batchLimit || waitingCompletions == 0 else { return events }
        let decoded = decodeRunning()
        apply(sample(decoded), to: decoded, &events)
        return events
    }

    // MARK: - Run

    /// Rows from which the first tokens are sampled.
    private func start(_ places: [BatchScheduler.Place]) -> [Row] {
        prefill(places)
        return places.map { place in
            let group = groups[place.identifier]!
            slots[place.slot] = RunningCompletion(group: group, index: place.completionIndex)
            let row = Row(
                slot: place.slot, group: group, storage: group.logits!.storage, rowIndex: group.logits!.rowIndex,
                version: group.prefixVersion)
            group.notStarted -= 1
            if group.notStarted == 0 { group.logits = nil }
            return row
        }
    }

    /// Prompts of these completions that were not computed before, all in one call.
    private func prefill(_ places: [BatchScheduler.Place]) {
        var pending: [Group] = []
        for place in places {
            let group = groups[place.identifier]!
            if group.prefix == nil, !pending.contains(where: { $0 === group }) { pending.append(group) }
        }
        guard !pending.isEmpty else { return }
        let logits = LogitsRows(count: pending.count, vocabularySize: backend.vocabularySize)
        let prefixes = backend.prefill(pending.map(\.request.prompt), logits: logits.all)
        for (rowIndex, group) in pending.enumerated() {
            group.prefix = prefixes[rowIndex]
            group.prefixVersion = changed ?? group.request.version
            group.logits = (logits, rowIndex)
            counters.prefillTokens += group.request.prompt.count
        }
    }

    /// One batched forward over the last token of every running completion.
    private func decodeRunning() -> [Row] {
        let running = scheduler.running
        let tokens = running.map { slots[$0.slot]!.tokens.last! }
        let sequences = running.map { slots[$0.slot]!.sequence! }
        backend.decode(tokens, sequences: sequences, logits: decodeLogits.first(running.count))
        counters.decodeSteps += 1
        counters.decodedRows += running.count
        return running.enumerated().map { rowIndex, place in
            let group = groups[place.identifier]!
            return Row(
                slot: place.slot, group: group, storage: decodeLogits, rowIndex: rowIndex,
                version: changed ?? group.request.version)
        }
    }

    // MARK: - Sample

    private func sample(_ rows: [Row]) -> [SamplingOutcome] {
        let uniforms = rows.map { row in
            let completion = slots[row.slot]!
            return KeyedRandom.token(
                seed: row.group.request.seed, group: row.group.request.key, completion: completion.index,
                position: completion.tokens.count)
        }
        let parts = min(samplers.count, rows.count)
        var outcomes = Array(repeating: SamplingOutcome.notFinite(token: nil), count: rows.count)
        outcomes.withUnsafeMutableBufferPointer { outcomes in
            parallel(parts) { part in  // each part writes its own range
                for index in rows.count * part / parts..<rows.count * (part + 1) / parts {
                    outcomes[index] = samplers[part].sample(
                        rows[index].logits, options: rows[index].group.request.sampling, uniform: uniforms[index])
                }
            }
        }
        return outcomes
    }

    // MARK: - Retire

    private func apply(_ outcomes: [SamplingOutcome], to rows: [Row], _ events: inout [GenerationEvent]) {
        for (row, outcome) in zip(rows, outcomes) {
            // An earlier row may have failed the whole group.
            guard groups[row.group.request.identifier] === row.group else { continue }
            switch outcome {
            case .notFinite(let token):
                events.append(fail(row, token))
            case .drawn(let sampled):
                counters.tokensSampled += 1
                events.append(.tokens(
                    identifier: row.group.request.identifier, completionIndex: slots[row.slot]!.index,
                    token: sampled.token))
                let finish = slots[row.slot]!.append(sampled, row.version, bytes: decodeBytes(sampled.token))
                if let finish {
                    retire(row.slot, row.group, finish, &events)
                } else if slots[row.slot]!.sequence == nil {
                    // The last token is never decoded, so a sequence holds one token less than the completion.
                    slots[row.slot]!.sequence = backend.makeSequence(
                        prefix: row.group.prefix!, reserve: row.group.tokenLimit - 1)
                }
            }
        }
    }

    private func retire(_ slot: Int, _ group: Group, _ finish: FinishReason, _ events: inout [GenerationEvent]) {
        let completion = slots[slot]!
        if let sequence = completion.sequence { backend.releaseSequence(sequence) }
        slots[slot] = nil
        scheduler.retire(slot: slot)
        counters.completionsFinished += 1
        group.finished.append(completion.result(finish: finish))
        guard group.finished.count == group.request.completionIndices.count else { return }
        backend.releasePrefix(group.prefix!)
        groups[group.request.identifier] = nil
        events.append(.finished(
            identifier: group.request.identifier, group.finished.sorted { $0.index < $1.index }))
    }

    private func fail(_ row: Row, _ token: Int?) -> GenerationEvent {
        let completion = slots[row.slot]!
        let what = token.map { "the logit of token \($0) is not a number or +inf" } ?? "every logit is -inf"
        cancel(row.group.request.identifier)
        return .failed(
            identifier: row.group.request.identifier,
            reason: "\(what) after \(completion.tokens.count) tokens of completion \(completion.index)")
    }
}

/// A row of logits to sample and whose it is.
private struct Row {
    var slot: Int
    var group: Group
    /// Keeps the memory of `logits` alive.
    var storage: LogitsRows
    var rowIndex: Int
    /// Whose weights computed it.
    var version: PolicyVersion
    var logits: UnsafeBufferPointer<Float> { storage.row(rowIndex) }
}

/// A request under way.
private final class Group {
    let request: GenerationRequest
    /// Most tokens of a completion: the recipe's limit or what the context leaves.
    let tokenLimit: Int
    /// From the start of the first completion to the end of the last.
    var prefix: PrefixIdentifier?
    /// The row after the prompt, from the start of the first completion to the start of the last.
    var logits: (storage: LogitsRows, rowIndex: Int)?
    /// Whose weights computed the prompt.
    var prefixVersion: PolicyVersion
    var notStarted: Int
    /// In the order in which they ended.
    var finished: [GeneratedCompletion] = []

    init(_ request: GenerationRequest, contextTokens: Int) {
        self.request = request
        prefixVersion = request.version
        tokenLimit = min(request.sampling.maxNewTokens, contextTokens - request.prompt.count)
        notStarted = request.completionIndices.count
    }
}

/// A completion that holds a slot.
private struct RunningCompletion {
    let index: Int
    /// nil until the first token is sampled.
    var sequence: SequenceIdentifier?
    private var stop: StopCondition
    private(set) var tokens: [Int32] = []
    private var sampledLogProbs: [Float] = []
    private var policyLogProbs: [Float] = []
    private var entropies: [Float] = []
    private var versions: [PolicyVersion] = []

    init(group: Group, index: Int) {
        self.index = index
        stop = StopCondition(
            endTokens: group.request.endTokens, stopStrings: group.request.sampling.stopStrings,
            tokenLimit: group.tokenLimit)
    }

    mutating func append(
        _ sampled: SampledToken, _ version: PolicyVersion, bytes: @autoclosure () -> [UInt8]
    ) -> FinishReason? {
        versions.append(version)
        tokens.append(sampled.token)
        sampledLogProbs.append(sampled.sampledLogProb)
        policyLogProbs.append(sampled.policyLogProb)
        entropies.append(sampled.entropy)
        return stop.append(sampled.token, bytes: bytes())
    }

    func result(finish: FinishReason) -> GeneratedCompletion {
        GeneratedCompletion(
            index: index, tokens: tokens, sampledLogProbs: sampledLogProbs, policyLogProbs: policyLogProbs,
            entropies: entropies, versions: versions, finish: finish,
            textBytes: stop.textBytes)
    }
}

/// Memory for rows of logits (count, V), aligned for vector loads.
private final class LogitsRows {
    private let buffer: FloatBuffer
    private let vocabularySize: Int

    init(count: Int, vocabularySize: Int) {
        buffer = FloatBuffer(count: count * vocabularySize)
        self.vocabularySize = vocabularySize
    }

    var all: UnsafeMutableBufferPointer<Float> { buffer.all }

    func first(_ count: Int) -> UnsafeMutableBufferPointer<Float> {
        UnsafeMutableBufferPointer(rebasing: all[..<(count * vocabularySize)])
    }

    func row(_ index: Int) -> UnsafeBufferPointer<Float> {
        UnsafeBufferPointer(rebasing: all[index * vocabularySize..<(index + 1) * vocabularySize])
    }
}
