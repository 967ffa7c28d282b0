// One line for what happens in a simulated world, for `simulate --trace`.

import Cluster
import Rollouts

enum Narration {
    private static let lengthLimit = 160

    static func words(_ event: Event) -> String {
        switch event {
        case .received(let message, let peer): "\(message.words) from \(peer)"
        case .promptsDrawn(let prompts): "\(prompts.count) prompts"
        default: short("\(event)")
        }
    }

    static func words(_ effect: Effect) -> String {
        switch effect {
        case .send(let message, let peer): "→ \(peer): \(message.words)"
        case .persist(.stepTrained(let metrics, let manifest, _, _)):
            "persist step \(metrics.step) trained, \(manifest.weightsHash)"
        case .persist(.completionsAccepted(let prompt, _)): "persist completions of \(prompt.key)"
        case .note(let note): "note: \(note.text)"
        default: short("\(effect)")
        }
    }

    static func words(_ event: WorkerEvent) -> String {
        switch event {
        case .received(let message): message.words
        case .workFinished(let lease, let report): short("finished \(lease.rawValue): \(report)")
        default: short("\(event)")
        }
    }

    static func words(_ effect: WorkerEffect) -> String {
        switch effect {
        case .send(let message): "→ coordinator: \(message.words)"
        case .startWork(let lease, let order): short("start \(lease.rawValue): \(order)")
        case .note(let note): "note: \(note.text)"
        default: short("\(effect)")
        }
    }

    fileprivate static func short(_ text: String) -> String {
        text.count <= lengthLimit ? text : text.prefix(lengthLimit) + "…"
    }
}

extension Message {
    fileprivate var words: String {
        switch self {
        case .hello(let hello):
            "hello \(hello.worker), holding \(hello.held.map { "\($0.version.rawValue)" } ?? "nothing")"
        case .welcome: "welcome"
        case .policy(let manifest):
            "policy \(manifest.version.rawValue) \(manifest.weightsHash)"
                + (manifest.optimizer == nil ? "" : " + optimizer")
        case .rollout(let lease, let assignment): "rollout \(lease.rawValue) \(assignment.prompt.key)"
        case .verify(let lease, let assignment): "verify \(lease.rawValue) \(assignment.key)"
        case .trainingGroup(let lease, let group): "group \(lease.rawValue) \(group.prompt.key)"
        case .rolloutResult(let lease, let completions, _): "completions \(lease.rawValue) × \(completions.count)"
        default: Narration.short("\(self)")
        }
    }
}
