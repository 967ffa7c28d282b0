// Which completions go through the model together.

/// What a group costs to train: its prompt once, and every trained completion.
package struct GroupShape: Equatable, Sendable {
    package var promptTokenCount: Int
    /// Trained completions, in index order.
    package var completionTokenCounts: [Int]

    package init(promptTokenCount: Int, completionTokenCounts: [Int]) {
        self.promptTokenCount = promptTokenCount
        self.completionTokenCounts = completionTokenCounts
    }

    package var tokenCount: Int { completionTokenCounts.reduce(promptTokenCount, +) }
}

/// Groups, or parts of groups, whose gradients are computed in one pass.
package struct MicroBatch: Equatable, Sendable {
    package struct Part: Equatable, Sendable {
        /// Place in the step's list of groups.
        package var group: Int
        /// Places among the group's trained completions.
        package var completions: Range<Int>

        package init(group: Int, completions: Range<Int>) {
            self.group = group
            self.completions = completions
        }
    }
    package var parts: [Part]
    /// Completion tokens plus each part's prompt once.
    package var tokenCount: Int

    package init(parts: [Part], tokenCount: Int) {
        self.parts = parts
        self.tokenCount = tokenCount
    }
}

/// A fixed partition of a step's groups, decided by the data and the budget alone, so the order in which gradients are
/// summed is the same on every machine.
///
/// Groups are taken in order and stay whole where they fit into the budget; a larger one is cut between completions,
/// its prompt counted again in each part. A single completion that exceeds the budget gets a micro-batch of its own.
/// Groups without trained completions are left out.
/// - Parameter tokenBudget: most tokens in one micro-batch, at least 1.
package func microBatches(of groups: [GroupShape], tokenBudget: Int) -> [MicroBatch] {
    precondition(tokenBudget > 0, "token budget \(tokenBudget) must be positive")
    var batches: [MicroBatch] = []
    var open = MicroBatch(parts: [], tokenCount: 0)
    func close() {
        if !open.parts.isEmpty { batches.append(open) }
        open = MicroBatch(parts: [], tokenCount: 0)
    }
    for (index, group) in groups.enumerated() where !group.completionTokenCounts.isEmpty {
        if group.tokenCount <= tokenBudget {
            if open.tokenCount + group.tokenCount > tokenBudget { close() }
            open.parts.append(MicroBatch.Part(group: index, completions: group.completionTokenCounts.indices))
            open.tokenCount += group.tokenCount
            continue
        }
        close()
        var start = 0
        var cost = group.promptTokenCount
        for (completion, tokens) in group.completionTokenCounts.enumerated() {
            if completion > start && cost + tokens > tokenBudget {
                open = MicroBatch(
                    parts: [MicroBatch.Part(group: index, completions: start..<completion)], tokenCount: cost)
                close()
                start = completion
                cost = group.promptTokenCount
            }
            cost += tokens
        }
        // The last part stays open: the next group may share its pass.
        open = MicroBatch(
            parts: [MicroBatch.Part(group: index, completions: start..<group.completionTokenCounts.count)],
            tokenCount: cost)
    }
    close()
    return batches
}
