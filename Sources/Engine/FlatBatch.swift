// How sequences that share prompts lie in one flat list of rows, without padding.

/// Completions of one prompt: the prompt has at least one token, there is at least one completion, and each has at
/// least one token.
package struct SequenceGroup: Sendable {
    package var prompt: [Int32]
    package var completions: [[Int32]]
    package init(prompt: [Int32], completions: [[Int32]]) {
        self.prompt = prompt
        self.completions = completions
    }

    /// Rows a forward pass computes: a completion's last token predicts nothing that is asked for.
    package var rowCount: Int { prompt.count + completions.reduce(0) { $0 + $1.count - 1 } }
}

/// One number of each kind per completion token, in (group, completion, position) order.
package struct TokenScores: Sendable {
    /// ln p(token), nats.
    package var logProbs: [Float]
    /// −Σ p·ln p of the distribution the token was drawn from, nats.
    package var entropies: [Float]
    package init(logProbs: [Float], entropies: [Float]) {
        self.logProbs = logProbs
        self.entropies = entropies
    }
}

/// ∂loss/∂log-prob and ∂loss/∂entropy per completion token, in the order of `TokenScores`.
package struct TokenGradients: Sendable {
    package var logProbs: [Float]
    package var entropies: [Float]?
    package init(logProbs: [Float], entropies: [Float]? = nil) {
        self.logProbs = logProbs
        self.entropies = entropies
    }
}

/// Rows of one forward pass: each group's prompt, then its completions without their last token. A completion's
/// first token is predicted by the prompt's last row, the others by the row before them.
struct FlatBatch {
    struct Group {
        var promptStart: Int
        var promptCount: Int
        /// Indices in `starts` and `counts`.
        var completions: Range<Int>
    }

    private(set) var tokens: [Int32] = []
    private(set) var positions: [Int32] = []
    private(set) var groups: [Group] = []
    /// First row and number of rows of each completion.
    private(set) var starts: [Int32] = []
    private(set) var counts: [Int32] = []

    /// Rows whose logits are needed; row number r has targets offsets[r]..<offsets[r + 1].
    private(set) var headRows: [Int32] = []
    private(set) var offsets: [Int32] = [0]
    private(set) var targets: [Int32] = []
    /// Index in `TokenScores` of each target.
    private(set) var outputs: [Int32] = []

    var rowCount: Int { tokens.count }
    var scoreCount: Int { targets.count }
    var longestContext: Int { positions.max().map { Int($0) + 1 } ?? 0 }

    /// A prompt alone, of which nothing is scored.
    init(prompt: [Int32], vocabularySize: Int, contextTokens: Int) {
        self.init(prompts: CollectionOfOne(prompt), vocabularySize: vocabularySize, contextTokens: contextTokens)
    }

    /// Prompts one after the other, of which nothing is scored.
    init(prompts: some Collection<[Int32]>, vocabularySize: Int, contextTokens: Int) {
        for prompt in prompts {
            FlatBatch.check(prompt, vocabularySize)
            precondition(
                !prompt.isEmpty && prompt.count <= contextTokens,
                "FlatBatch: a prompt of \(prompt.count) tokens, the context is \(contextTokens)")
            groups.append(Group(promptStart: rowCount, promptCount: prompt.count, completions: 0..<0))
            append(prompt, at: 0)
        }
    }

    init(_ sequenceGroups: some Collection<SequenceGroup>, vocabularySize: Int, contextTokens: Int) {
        for group in sequenceGroups {
            precondition(!group.prompt.isEmpty, "FlatBatch: a group without prompt tokens")
            precondition(!group.completions.isEmpty, "FlatBatch: a group without completions")
            FlatBatch.check(group.prompt, vocabularySize)
            let promptStart = rowCount
            append(group.prompt, at: 0)
            let firstCompletion = starts.count
            let firstOutput = scoreCount
            appendPromptTargets(of: group, lastRow: rowCount - 1, firstOutput: firstOutput)
            var output = firstOutput
            for completion in group.completions {
                FlatBatch.check(completion, vocabularySize)
                precondition(
                    group.prompt.count + completion.count - 1 <= contextTokens,
                    "FlatBatch: \(group.prompt.count) + \(completion.count) tokens, the context is \(contextTokens)")
                starts.append(Int32(rowCount))
                counts.append(Int32(completion.count - 1))
                for index in 1..<max(completion.count, 1) {
                    headRows.append(Int32(rowCount + index - 1))
                    targets.append(completion[index])
                    outputs.append(Int32(output + index))
                    offsets.append(Int32(targets.count))
                }
                append(completion.dropLast(), at: group.prompt.count)
                output += completion.count
            }
            groups.append(Group(
                promptStart: promptStart, promptCount: group.prompt.count,
                completions: firstCompletion..<starts.count))
        }
    }

    private mutating func append(_ new: some Collection<Int32>, at position: Int) {
        tokens.append(contentsOf: new)
        positions.append(contentsOf: (0..<new.count).map { Int32(position + $0) })
    }

    private mutating func appendPromptTargets(of group: SequenceGroup, lastRow: Int, firstOutput: Int) {
        var output = firstOutput
        headRows.append(Int32(lastRow))
        for completion in group.completions {
            precondition(!completion.isEmpty, "FlatBatch: a completion without tokens")
            targets.append(completion[0])
            outputs.append(Int32(output))
            output += completion.count
        }
        offsets.append(Int32(targets.count))
    }

    private static func check(_ tokens: [Int32], _ vocabularySize: Int) {
        for token in tokens {
            precondition(
                token >= 0 && Int(token) < vocabularySize, "FlatBatch: token \(token), vocabulary \(vocabularySize)")
        }
    }
}
