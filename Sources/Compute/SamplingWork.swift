// Rollouts on the compute thread: assignments into the generator, generated tokens into completions with text.

import Cluster
import Engine
import Rollouts
import Tokenization

package final class SamplingWork {
    private let policies: PolicyHolder
    private let tokenizer: Tokenizer
    private let batchLimit: Int
    private let threads: ThreadPool
    private var generator: Generator?
    /// What the generator decodes with.
    private var decoder: Decoder?
    /// For one generator after the other.
    private var pages: PagePool?
    private var assignments: [LeaseIdentifier: RolloutAssignment] = [:]
    private var began: [LeaseIdentifier: ContinuousClock.Instant] = [:]
    private var tokensDone: [LeaseIdentifier: UInt64] = [:]
    private var streams: [LeaseIdentifier: StreamingDecoder] = [:]
    /// Leases that ended before the generator saw them, with what to say.
    private var refusals: [(LeaseIdentifier, String)] = []

    init(policies: PolicyHolder, tokenizer: Tokenizer, batchLimit: Int, threads: ThreadPool) {
        self.policies = policies
        self.tokenizer = tokenizer
        self.batchLimit = batchLimit
        self.threads = threads
    }

    var isIdle: Bool { assignments.isEmpty && refusals.isEmpty }

    /// Cached keys and values belong to the weights that made them: a new policy starts with none, unless everything
    /// that is being sampled admits it. Then it takes over with the next token, and what is cached stays, as usual
    /// where weights change in flight: each token's log-prob is the one it was drawn with.
    func policyChanged() {
        guard let manifest = policies.samplingManifest, let parameters = policies.sampling, let generator, let decoder,
            assignments.values.allSatisfy({ $0.newer && $0.admits(manifest.version) }), !assignments.isEmpty
        else { return policyLost() }
        decoder.change(to: policies.model(over: parameters))
        generator.change(to: manifest.version)
    }

    /// No weights are held any more, or others that nothing may go on with.
    func policyLost() {
        generator = nil
        decoder = nil
        for lease in assignments.keys.sorted() { refusals.append((lease, "the policy changed before it was done")) }
        assignments = [:]
    }

    func submit(_ lease: LeaseIdentifier, _ assignment: RolloutAssignment) {
        guard let manifest = policies.samplingManifest, assignment.admits(manifest.version) else {
            let error = ComputeError.wrongPolicy(held: policies.samplingManifest?.version, wanted: assignment.version)
            refusals.append((lease, "\(error)"))
            return
        }
        assignments[lease] = assignment
        began[lease] = ContinuousClock.now
        if assignment.prompt.key.purpose == .conversation {
            streams[lease] = StreamingDecoder(tokenizer, skipSpecials: true)
        }
        currentGenerator().submit(
            GenerationRequest(
                identifier: lease.rawValue, key: assignment.prompt.key, prompt: assignment.prompt.tokens,
                completionIndices: Array(0..<assignment.groupSize), sampling: assignment.sampling,
                seed: assignment.seed, version: manifest.version, endTokens: tokenizer.endTokens))
    }

    func cancel(_ lease: LeaseIdentifier) {
        guard assignments[lease] != nil else { return }
        generator?.cancel(lease.rawValue)
        forget(lease)
    }

    func advance(report: (WorkOutcome) -> Void) {
        let refused = refusals
        refusals = []
        for (lease, reason) in refused {
            forget(lease)
            report(.finished(lease, .failed(reason: reason, retryable: true), blobs: []))
        }
        guard let generator, !assignments.isEmpty else { return }
        var touched: [LeaseIdentifier] = []
        for event in generator.step() {
            switch event {
            case .tokens(let identifier, _, let token):
                let lease = LeaseIdentifier(identifier)
                tokensDone[lease, default: 0] += 1
                if touched.last != lease { touched.append(lease) }
                if let text = streams[lease]?.append(token), !text.isEmpty { report(.partialText(lease, text)) }
            case .finished(let identifier, let generated):
                finish(LeaseIdentifier(identifier), generated, report: report)
            case .failed(let identifier, let reason):
                let lease = LeaseIdentifier(identifier)
                forget(lease)
                report(.finished(lease, .failed(reason: reason, retryable: false), blobs: []))
            }
        }
        for lease in touched {
            if let done = tokensDone[lease] { report(.progress(lease, unitsDone: done)) }
        }
    }

    /// Log-probs of every token after the first, temperature 1.
    func score(_ assignment: ScoreAssignment) throws(ComputeError) -> [Float] {
        guard let parameters = policies.sampling, policies.samplingManifest?.version == assignment.version else {
            throw ComputeError.wrongPolicy(held: policies.samplingManifest?.version, wanted: assignment.version)
        }
        let tokens = assignment.tokens
        guard tokens.count <= policies.config.contextTokens else {
            throw ComputeError.text(
                "\(tokens.count) tokens exceed the model's context of \(policies.config.contextTokens)")
        }
        guard tokens.allSatisfy({ $0 >= 0 && $0 < policies.config.vocabularySize }) else {
            throw ComputeError.text("a token id is outside the vocabulary of \(policies.config.vocabularySize)")
        }
        guard tokens.count > 1 else { return [] }
        let model = policies.model(over: parameters)
        let group = SequenceGroup(prompt: [tokens[0]], completions: [Array(tokens.dropFirst())])
        return model.score([group], temperature: 1).logProbs
    }

    private func finish(
        _ lease: LeaseIdentifier, _ generated: [GeneratedCompletion], report: (WorkOutcome) -> Void
    ) {
        guard let start = began[lease] else { return }
        let completions = generated.map { completion in
            Completion(
                index: completion.index, tokens: completion.tokens, sampledLogProbs: completion.sampledLogProbs,
                policyLogProbs: completion.policyLogProbs, entropies: completion.entropies,
                versions: completion.versions, text: String(decoding: completion.textBytes, as: UTF8.self),
                finish: completion.finish)
        }
        if let rest = streams[lease]?.finish(), !rest.isEmpty { report(.partialText(lease, rest)) }
        forget(lease)
        let seconds = (ContinuousClock.now - start).inSeconds
        report(.finished(lease, .completions(completions, seconds: seconds), blobs: []))
    }

    private func forget(_ lease: LeaseIdentifier) {
        assignments[lease] = nil
        began[lease] = nil
        tokensDone[lease] = nil
        streams[lease] = nil
    }

    private func currentGenerator() -> Generator {
        if let generator { return generator }
        guard let parameters = policies.sampling else { preconditionFailure("submit checked that a policy is held") }
        let tokenizer = tokenizer
        let pages = pages ?? PagePool(config: parameters.config)
        self.pages = pages
        let decoder = Decoder(model: policies.model(over: parameters), pages: pages)
        self.decoder = decoder
        let made = Generator(
            backend: decoder, batchLimit: batchLimit,
            threadCount: threads.threadCount, parallel: threads.parallel,
            decode: { tokenizer.isSpecial($0) ? [] : tokenizer.bytes(of: $0) })
        generator = made
        return made
    }
}
