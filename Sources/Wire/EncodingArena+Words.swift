// The values inside messages as their protobuf-c structures.

import CWire
import Rollouts

extension EncodingArena {
    func groupKey(_ key: GroupKey) -> UnsafeMutablePointer<Rookery__GroupKey> {
        make(rookery__group_key__init) {
            $0.purpose = Rookery__Purpose(rawValue: UInt32(key.purpose.rawValue))
            $0.step = unsigned(key.step)
            $0.ordinal = unsigned(key.ordinal)
        }
    }

    func blob(_ reference: BlobReference) -> UnsafeMutablePointer<Rookery__BlobReference> {
        make(rookery__blob_reference__init) {
            $0.digest = bytes(reference.digest.bytes)
            $0.byte_count = unsigned(reference.byteCount)
        }
    }

    func manifest(_ manifest: PolicyManifest) -> UnsafeMutablePointer<Rookery__PolicyManifest> {
        make(rookery__policy_manifest__init) {
            $0.version = manifest.version.rawValue
            $0.weights_hash = bytes(manifest.weightsHash.bytes)
            $0.weights = blob(manifest.weights)
            $0.optimizer = manifest.optimizer.map(blob)
        }
    }

    func prompt(_ prompt: Prompt) -> UnsafeMutablePointer<Rookery__Prompt> {
        make(rookery__prompt__init) {
            $0.key = groupKey(prompt.key)
            $0.n_tokens = prompt.tokens.count
            $0.tokens = tokens(prompt.tokens)
            $0.text = text(prompt.text)
            $0.answer = text(prompt.answer)
            $0.source = text(prompt.source)
        }
    }

    func completion(_ completion: Completion) -> UnsafeMutablePointer<Rookery__Completion> {
        var runs: [UInt64] = []
        var lengths: [UInt32] = []
        for version in completion.versions {
            if version.rawValue == runs.last {
                lengths[lengths.count - 1] += 1
            } else {
                runs.append(version.rawValue)
                lengths.append(1)
            }
        }
        return make(rookery__completion__init) {
            $0.index = unsigned(completion.index)
            $0.n_tokens = completion.tokens.count
            $0.tokens = tokens(completion.tokens)
            $0.n_sampled_log_probs = completion.sampledLogProbs.count
            $0.sampled_log_probs = copy(completion.sampledLogProbs)
            $0.n_policy_log_probs = completion.policyLogProbs.count
            $0.policy_log_probs = copy(completion.policyLogProbs)
            $0.n_entropies = completion.entropies.count
            $0.entropies = copy(completion.entropies)
            $0.n_version_runs = runs.count
            $0.version_runs = copy(runs)
            $0.n_version_run_lengths = lengths.count
            $0.version_run_lengths = copy(lengths)
            $0.text = text(completion.text)
            $0.finish = Rookery__Finish(rawValue: UInt32(completion.finish.rawValue))
        }
    }

    func verdict(_ verdict: Verdict) -> UnsafeMutablePointer<Rookery__Verdict> {
        make(rookery__verdict__init) {
            $0.outcome = Rookery__Outcome(rawValue: UInt32(verdict.outcome.rawValue))
            $0.score = verdict.score
            $0.reason = text(verdict.reason)
        }
    }

    func group(_ group: CompletionGroup) -> UnsafeMutablePointer<Rookery__CompletionGroup> {
        make(rookery__completion_group__init) {
            $0.prompt = prompt(group.prompt)
            $0.n_completions = group.completions.count
            $0.completions = pointers(group.completions, completion)
            $0.n_verdicts = group.verdicts.count
            $0.verdicts = pointers(group.verdicts, verdict)
            $0.n_rewards = group.rewards.count
            $0.rewards = copy(group.rewards)
        }
    }

    func gradientPart(_ part: GradientPart) -> UnsafeMutablePointer<Rookery__GradientPart> {
        make(rookery__gradient_part__init) {
            $0.first_shard = unsigned(part.shards.first)
            $0.shard_count = unsigned(part.shards.count)
            $0.blob = part.blob.map(blob)
            $0.n_sums = part.sums.count
            $0.sums = pointers(part.sums, metric)
        }
    }

    func metric(_ metric: StepMetrics.Value) -> UnsafeMutablePointer<Rookery__MetricValue> {
        make(rookery__metric_value__init) {
            $0.name = text(metric.name)
            $0.value = metric.value
        }
    }
}
