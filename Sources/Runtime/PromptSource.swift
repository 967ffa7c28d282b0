// From data rows to prompts: chat template, tokens, key.

import Datasets
import Rollouts
import Tokenization

package struct PromptSource: Sendable {
    private let dataset: Dataset
    private let tokenizer: Tokenizer
    private let options: RunOptions
    private let contextTokens: Int

    package init(
        dataset: Dataset, tokenizer: Tokenizer, options: RunOptions, contextTokens: Int
    ) throws(RuntimeError) {
        self.dataset = dataset
        self.tokenizer = tokenizer
        self.options = options
        self.contextTokens = contextTokens
        if options.data.chat, tokenizer.chatTemplate == nil {
            throw RuntimeError("the model has no chat template: set data.chat to false to continue plain text")
        }
        if options.schedule.steps > 0, dataset.training.isEmpty {
            throw RuntimeError("no prompt is left to train on: lower data.held_out_share or add rows")
        }
        // One row each side, so that a template that cannot render fails before anything starts.
        for row in [dataset.training.first, dataset.heldOut.first] {
            if let row { _ = try prompt(row, key: GroupKey(purpose: .training, step: 0, ordinal: 0)) }
        }
    }

    /// The prompts at `position`, `position + 1`, … of the data cursor, for a step's ordinals.
    package func training(step: Int, ordinals: Range<Int>, position: Int) throws(RuntimeError) -> [Prompt] {
        var prompts: [Prompt] = []
        for ordinal in ordinals {
            let row = dataset.trainingRow(at: position + ordinal - ordinals.lowerBound)
            prompts.append(try prompt(row, key: GroupKey(purpose: .training, step: step, ordinal: ordinal)))
        }
        return prompts
    }

    /// - Parameter everyRow: the data's rows in their order, where nothing is held out because nothing is trained.
    package func evaluation(_ count: Int, everyRow: Bool) throws(RuntimeError) -> [Prompt] {
        var prompts: [Prompt] = []
        let rows = everyRow ? Array(dataset.training.prefix(count)) : dataset.heldOutRows(count)
        for (ordinal, row) in rows.enumerated() {
            prompts.append(try prompt(row, key: GroupKey(purpose: .evaluation, step: 0, ordinal: ordinal)))
        }
        return prompts
    }

    /// "Prompt → answer" sequences for pre-training a fresh model, from the training split alone.
    package func pretraining(_ pretrain: PretrainOptions) throws(RuntimeError) -> PretrainingAssignment {
        var sequences: [[Int32]] = []
        let count = pretrain.steps * pretrain.sequencesPerStep
        for index in 0..<count {
            let row = dataset.trainingRow(at: index)
            // A wrong answer is another row's answer of the same source: right in form, not in content.
            let dice = KeyedRandom.uniform(seed: options.seed, use: .generatedTask, UInt64(index), 1 << 40)
            var answer = row.answer
            if dice >= pretrain.correctShare {
                let candidates = dataset.training.count
                for attempt in 0..<16 {
                    let other = dataset.training[
                        Int(
                            KeyedRandom.integer(
                                below: UInt64(candidates), seed: options.seed, use: .generatedTask, UInt64(index),
                                1 << 41 | UInt64(attempt)))]
                    if other.source == row.source {
                        answer = other.answer
                        break
                    }
                }
            }
            let key = GroupKey(purpose: .training, step: 0, ordinal: index)
            let tokens = try prompt(row, key: key).tokens
            var sequence = tokens + tokenizer.encode(answer, specials: false)
            if let end = tokenizer.endTokens.first { sequence.append(end) }
            if sequence.count <= contextTokens { sequences.append(sequence) }
        }
        return PretrainingAssignment(
            sequences: sequences, sequencesPerStep: pretrain.sequencesPerStep, learningRate: pretrain.learningRate)
    }

    private func prompt(_ row: DataRow, key: GroupKey) throws(RuntimeError) -> Prompt {
        let tokens: [Int32]
        do {
            if options.data.chat {
                let system = options.data.system.map { [ChatMessage(role: "system", content: $0)] } ?? []
                tokens = try tokenizer.encodeChat(system + row.messages, addGenerationPrompt: true)
            } else {
                tokens = tokenizer.encodeText(row.messages.map(\.content).joined(separator: "\n"))
            }
        } catch {
            throw RuntimeError("row `\(row.identifier)` of `\(row.source)` cannot be rendered: \(error)")
        }
        guard !tokens.isEmpty else {
            throw RuntimeError("row `\(row.identifier)` of `\(row.source)` is an empty prompt")
        }
        guard tokens.count + 1 < contextTokens else {
            throw RuntimeError(
                "row `\(row.identifier)` of `\(row.source)` has \(tokens.count) tokens; the model's context holds "
                    + "\(contextTokens): filter long rows out")
        }
        return Prompt(key: key, tokens: tokens, text: row.text, answer: row.answer, source: row.source)
    }
}

extension Tokenizer {
    /// Plain text as the model saw it in training: with the beginning token where it has one.
    func encodeText(_ text: String) -> [Int32] {
        let tokens = encode(text, specials: false)
        guard addsBOS, let bos else { return tokens }
        return [bos] + tokens
    }
}
