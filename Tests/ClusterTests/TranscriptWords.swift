// How a transcript prints what the core says: one line an effect.

import Cluster
import Rollouts

enum TranscriptWords {
    static func words(_ effect: Effect, name: (PeerIdentifier) -> String) -> String {
        switch effect {
        case .send(let message, let peer): "\(name(peer)) ← \(words(message))"
        case .persist(let record): "persist \(words(record))"
        case .drawPrompts(let purpose, let step, let ordinals, let position):
            "draw \(purpose) step \(step): prompts \(ordinals) from position \(position)"
        case .report(let metrics): "report \(words(metrics))"
        case .reportEvaluation(let report): "report \(words(report))"
        case .rewind(let step): "rewind to step \(step)"
        case .removeBlobs(let blobs): "remove blobs \(blobs.map { words($0.digest) }.joined(separator: " "))"
        case .forgetBlobs(let version): "forget blobs before version \(version.rawValue)"
        case .note(let note): "note \(note.level): \(note.text)"
        case .answer(let answer, let number): "answer \(number) \(answer.isDone ? "done" : "refused"): \(answer.text)"
        case .retire(let process, let host): "retire process \(process) on \(host)"
        case .finish(let outcome): "finish \(words(outcome))"
        }
    }

    static func words(_ message: Message) -> String {
        switch message {
        case .welcome(let welcome): "welcome to \(welcome.run)"
        case .refused(let reason): "refused: \(reason)"
        case .policy(let manifest): "policy \(words(manifest))"
        case .rollout(let lease, let assignment):
            "rollout [\(words(lease))] \(words(assignment.prompt.key)) × \(assignment.groupSize) "
                + "version \(assignment.version.rawValue)\(assignment.newer ? " or newer" : "") temperature \(assignment.sampling.temperature)"
        case .verify(let lease, let assignment):
            "verify [\(words(lease))] \(words(assignment.key)) × \(assignment.completions.count)"
        case .trainingGroup(let lease, let group):
            "group [\(words(lease))] \(words(group.prompt.key)) rewards \(group.rewards) "
                + "verdicts \(group.verdicts.map { "\($0.outcome)" }.joined(separator: " "))"
        case .train(let lease, let assignment):
            "train [\(words(lease))] step \(assignment.step) from version \(assignment.base.rawValue), "
                + "\(assignment.groupCount) groups, rate \(assignment.learningRate)"
                + (assignment.checkpoint ? ", checkpoint" : "")
                + (assignment.parts.isEmpty ? "" : ", of \(assignment.parts.map(words).joined(separator: " "))")
        case .gradient(let lease, let assignment):
            "gradient [\(words(lease))] step \(assignment.step) from version \(assignment.base.rawValue), "
                + "\(assignment.groupCount) groups, shards \(words(assignment.shards))"
                + (assignment.keep ? ", kept" : "")
        case .pretrain(let lease, let assignment):
            "pretrain [\(words(lease))] \(assignment.sequences.count) sequences"
        case .saveCheckpoint(let lease): "save checkpoint [\(words(lease))]"
        case .cancel(let lease): "cancel [\(words(lease))]"
        case .acknowledge(let lease): "acknowledge [\(words(lease))]"
        case .shutdown(let reason): "shutdown: \(reason)"
        default: "\(message)"
        }
    }

    static func words(_ shards: ShardRange) -> String {
        shards.count == 1 ? "\(shards.first)" : "\(shards.first)–\(shards.first + shards.count - 1)"
    }
    static func words(_ part: GradientPart) -> String {
        "\(words(part.shards)) (\(part.blob.map { words($0.digest) } ?? "kept"))"
    }
    static func words(_ key: GroupKey) -> String { "\(key.purpose) \(key.step)/\(key.ordinal)" }
    static func words(_ digest: Digest) -> String { String(digest.description.prefix(8)) }
    /// The epoch before a point, where there was a restart.
    static func words(_ lease: LeaseIdentifier) -> String { lease.words }
    static func words(_ manifest: PolicyManifest) -> String {
        "\(manifest.version.rawValue) (\(words(manifest.weightsHash)))"
            + (manifest.optimizer == nil ? "" : " + optimizer")
    }

    private static func words(_ record: Record) -> String {
        switch record {
        case .workerJoined(let name, let host, let roles):
            "worker joined: \(name) on \(host), \(roles.map(\.rawValue).joined(separator: " "))"
        case .workerLeft(let name, let reason): "worker left: \(name), \(reason)"
        case .workerDrained(let name): "worker drained: \(name)"
        case .completionsAccepted(let prompt, let completions):
            "completions of \(words(prompt.key)): \(completions.map(\.text).joined(separator: " | "))"
        case .verdictsAccepted(let key, let verdicts):
            "verdicts of \(words(key)): \(verdicts.map { "\($0.outcome)" }.joined(separator: " "))"
        case .groupDropped(let key, let reason): "dropped \(words(key)): \(reason)"
        case .stepTrained(let metrics, let manifest, let groups, let nextPosition):
            "step \(metrics.step) trained: version \(words(manifest)), "
                + "groups \(groups.map { "\($0.ordinal)" }.joined(separator: " ")), next position \(nextPosition)"
        case .checkpointed(let checkpoint):
            "checkpoint of step \(checkpoint.step): version \(words(checkpoint.manifest)), "
                + "next position \(checkpoint.nextPosition)"
        case .evaluated(let report): "evaluation after step \(report.step)"
        case .finished(let outcome): "finished \(words(outcome))"
        }
    }

    private static func words(_ metrics: StepMetrics) -> String {
        let values = metrics.values.map { "\($0.name) \(rounded($0.value))" }.joined(separator: ", ")
        return
            "step \(metrics.step), version \(metrics.policyVersion.rawValue) (\(words(metrics.weightsHash))): \(values)"
    }

    private static func words(_ report: EvaluationReport) -> String {
        let sources = report.bySource.map { "\($0.source) \($0.right)/\($0.judged)" }.joined(separator: ", ")
        return "evaluation after step \(report.step), version \(report.version.rawValue): \(report.right) right, "
            + "\(report.wrong) wrong, \(report.noVerdict) without verdict, "
            + "\(rounded(report.completionTokensMean)) tokens, by source \(sources), \(report.examples.count) examples"
    }

    private static func words(_ outcome: RunOutcome) -> String {
        switch outcome {
        case .completed(let step): "completed at step \(step)"
        case .interrupted(let step): "interrupted at step \(step)"
        case .failed(let step, let reason): "failed at step \(step): \(reason)"
        }
    }

    private static func rounded(_ value: Double) -> Double { (value * 10_000).rounded() / 10_000 }
}
