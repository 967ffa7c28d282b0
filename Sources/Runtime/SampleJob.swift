// `coordinator sample`: talk to a policy on the terminal.

import Foundation
import Rollouts

package struct SampleJob {
    var subject: String
    var prompt: String?
    var system: String?
    var sampling = SamplingOptions()
    var seed: UInt64
    var runs: String

    package init(
        subject: String, prompt: String?, system: String?, temperature: Double, topK: Int, topP: Double,
        maxNewTokens: Int, seed: UInt64?, runs: String
    ) {
        self.subject = subject
        self.prompt = prompt
        self.system = system
        sampling.temperature = temperature
        sampling.topK = topK
        sampling.topP = topP
        sampling.maxNewTokens = maxNewTokens
        self.seed = seed ?? .random(in: 0 ..< .max)
        self.runs = runs
    }

    package func run() throws -> Int32 {
        guard sampling.temperature >= 0, sampling.temperature.isFinite, sampling.topP > 0, sampling.topP <= 1,
            sampling.topK >= 0, sampling.maxNewTokens > 0
        else {
            throw RuntimeError(
                "sampling settings out of range: --temperature at least 0, --top-p above 0 and at most 1, "
                    + "--top-k at least 0, --max-new-tokens at least 1")
        }
        let session = try ModelSession(try Subject.find(subject, runs: runs), options: RunOptions())
        defer { session.close() }
        var messages = system.map { [ChatMessage(role: "system", content: $0)] } ?? []
        if let prompt {
            messages.append(ChatMessage(role: "user", content: prompt))
            return try answer(session, messages, turn: 0) == nil ? 130 : 0
        }
        if isatty(0) == 1 { Output.note("Type a line; Ctrl-D ends, Ctrl-C stops an answer.") }
        var turn = 0
        while true {
            if isatty(0) == 1 { Output.text("> ") }
            guard let line = readLine() else { return 0 }
            guard !line.isEmpty else { continue }
            messages.append(ChatMessage(role: "user", content: line))
            if let completion = try answer(session, messages, turn: turn) {
                messages.append(ChatMessage(role: "assistant", content: completion.text))
            } else {
                messages.removeLast()
            }
            turn += 1
        }
    }

    private func answer(_ session: ModelSession, _ messages: [ChatMessage], turn: Int) throws -> Completion? {
        let tokens =
            session.tokenizer.chatTemplate == nil
            ? session.tokenizer.encodeText(messages.map(\.content).joined(separator: "\n"))
            : try session.tokenizer.encodeChat(messages, addGenerationPrompt: true)
        let completion = try session.sample(tokens, turn: turn, sampling: sampling, seed: seed) { Output.text($0) }
        Output.text("\n")
        return completion
    }
}
