// The values inside messages from their decoded protobuf-c structures.

import CWire
import Cluster
import Rollouts

extension WireCodec {
    static func groupKey(_ key: Rookery__GroupKey) throws(WireError) -> GroupKey {
        GroupKey(
            purpose: try enumeration(key.purpose.rawValue, "purpose", Purpose.init(rawValue:)),
            step: try Checked.integer(key.step, "step", in: WireLimits.stepRange),
            ordinal: try Checked.integer(key.ordinal, "ordinal", in: WireLimits.ordinalRange))
    }

    static func blob(_ blob: Rookery__BlobReference) throws(WireError) -> BlobReference {
        BlobReference(
            digest: try Checked.digest(blob.digest, "digest"),
            byteCount: try Checked.integer(blob.byte_count, "byte_count", in: 0...Int.max))
    }

    static func manifest(_ manifest: Rookery__PolicyManifest) throws(WireError) -> PolicyManifest {
        PolicyManifest(
            version: PolicyVersion(manifest.version),
            weightsHash: try Checked.digest(manifest.weights_hash, "weights_hash"),
            weights: try Checked.nested(manifest.weights, "weights", blob),
            optimizer: manifest.optimizer == nil ? nil : try Checked.nested(manifest.optimizer, "optimizer", blob))
    }

    static func prompt(_ prompt: Rookery__Prompt) throws(WireError) -> Prompt {
        guard prompt.n_tokens > 0 else {
            throw WireError(.message, "tokens", expected: "at least one", found: "none")
        }
        return Prompt(
            key: try Checked.nested(prompt.key, "key", groupKey),
            tokens: try Checked.tokens(prompt.n_tokens, prompt.tokens, "tokens"),
            text: try Checked.text(prompt.text, "text"), answer: try Checked.text(prompt.answer, "answer"),
            source: try Checked.text(prompt.source, "source", limitBytes: WireLimits.nameBytes))
    }

    static func completion(_ completion: Rookery__Completion) throws(WireError) -> Completion {
        let count = completion.n_tokens
        try Checked.count(completion.n_sampled_log_probs, "sampled_log_probs", is: count, of: "tokens")
        try Checked.count(completion.n_policy_log_probs, "policy_log_probs", is: count, of: "tokens")
        try Checked.count(completion.n_entropies, "entropies", is: count, of: "tokens")
        return Completion(
            index: try Checked.integer(completion.index, "index", in: WireLimits.completionIndexRange),
            tokens: try Checked.tokens(count, completion.tokens, "tokens"),
            sampledLogProbs: try Checked.floats(count, completion.sampled_log_probs, "sampled_log_probs"),
            policyLogProbs: try Checked.floats(count, completion.policy_log_probs, "policy_log_probs"),
            entropies: try Checked.floats(count, completion.entropies, "entropies"),
            versions: try versions(completion), text: try Checked.text(completion.text, "text"),
            finish: try enumeration(completion.finish.rawValue, "finish", FinishReason.init(rawValue:)))
    }

    /// One version per token from runs; the sum of the runs is checked before anything is repeated.
    private static func versions(_ completion: Rookery__Completion) throws(WireError) -> [PolicyVersion] {
        let runCount = completion.n_version_runs
        try Checked.count(completion.n_version_run_lengths, "version_run_lengths", is: runCount, of: "version_runs")
        var result: [PolicyVersion] = []
        guard runCount > 0, let values = completion.version_runs, let lengths = completion.version_run_lengths else {
            try Checked.count(0, "version_runs", is: completion.n_tokens, of: "tokens")
            return result
        }
        result.reserveCapacity(completion.n_tokens)
        for run in 0..<runCount {
            let left = completion.n_tokens - result.count
            guard lengths[run] >= 1, Int(lengths[run]) <= left else {
                throw WireError(
                    .message, "version_run_lengths[\(run)]", expected: "1 to the \(left) tokens left",
                    found: "\(lengths[run])")
            }
            result.append(contentsOf: repeatElement(PolicyVersion(values[run]), count: Int(lengths[run])))
        }
        try Checked.count(result.count, "version_runs", is: completion.n_tokens, of: "tokens")
        return result
    }

    static func verdict(_ verdict: Rookery__Verdict) throws(WireError) -> Verdict {
        Verdict(
            try enumeration(verdict.outcome.rawValue, "outcome", Verdict.Outcome.init(rawValue:)),
            score: try Checked.finite(verdict.score, "score"), reason: try Checked.text(verdict.reason, "reason"))
    }

    static func group(_ group: Rookery__CompletionGroup) throws(WireError) -> CompletionGroup {
        try Checked.count(group.n_verdicts, "verdicts", is: group.n_completions, of: "completions")
        try Checked.count(group.n_rewards, "rewards", is: group.n_completions, of: "completions")
        return CompletionGroup(
            prompt: try Checked.nested(group.prompt, "prompt", prompt),
            completions: try Checked.list(group.n_completions, group.completions, "completions", completion),
            verdicts: try Checked.list(group.n_verdicts, group.verdicts, "verdicts", verdict),
            rewards: try Checked.doubles(group.n_rewards, group.rewards, "rewards"))
    }

    static func hello(_ hello: Rookery__Hello) throws(WireError) -> Hello {
        var roles: [WorkerRole] = []
        for index in 0..<hello.n_roles {
            roles.append(try enumeration(hello.roles[index].rawValue, "roles", role))
        }
        return Hello(
            protocolVersion: ProtocolVersion(
                major: UInt16(try Checked.integer(UInt64(hello.protocol_major), "protocol_major", in: 0...65_535)),
                minor: UInt16(try Checked.integer(UInt64(hello.protocol_minor), "protocol_minor", in: 0...65_535))),
            worker: try Checked.text(hello.worker, "worker", limitBytes: WireLimits.nameBytes),
            host: try Checked.text(hello.host, "host", limitBytes: WireLimits.nameBytes),
            processIdentifier: hello.process_identifier, roles: roles,
            threads: try Checked.integer(hello.threads, "threads", in: WireLimits.slotRange),
            rolloutSlots: try Checked.integer(hello.rollout_slots, "rollout_slots", in: WireLimits.slotRange),
            verificationSlots: try Checked.integer(
                hello.verification_slots, "verification_slots", in: WireLimits.slotRange),
            kernel: try Checked.text(hello.kernel, "kernel", limitBytes: WireLimits.nameBytes),
            held: hello.held == nil ? nil : try Checked.nested(hello.held, "held", manifest))
    }

    static func heartbeat(_ heartbeat: Rookery__Heartbeat) throws(WireError) -> [LeaseProgress] {
        try Checked.count(heartbeat.n_units_done, "units_done", is: heartbeat.n_leases, of: "leases")
        guard let leases = heartbeat.leases, let units = heartbeat.units_done else { return [] }
        return (0..<heartbeat.n_leases).map {
            LeaseProgress(lease: LeaseIdentifier(leases[$0]), unitsDone: units[$0])
        }
    }

    static func trainingResult(_ result: Rookery__TrainingResult) throws(WireError) -> Message {
        .trainingResult(
            lease: LeaseIdentifier(result.lease),
            TrainingReport(
                step: try Checked.integer(result.step, "step", in: WireLimits.stepRange),
                manifest: try Checked.nested(result.manifest, "manifest", manifest),
                metrics: try Checked.list(result.n_metrics, result.metrics, "metrics", metric)),
            seconds: try Checked.nonNegative(result.seconds, "seconds"))
    }

    static func welcome(_ welcome: Rookery__Welcome) throws(WireError) -> Welcome {
        Welcome(
            run: try Checked.text(welcome.run, "run", limitBytes: WireLimits.nameBytes),
            options: try OptionsDocument.decode(
                UnsafeRawBufferPointer(start: welcome.options_json.data, count: welcome.options_json.len)),
            modelBundle: try Checked.nested(welcome.model_bundle, "model_bundle", blob),
            blobAddress: try Checked.text(welcome.blob_address, "blob_address", limitBytes: WireLimits.nameBytes),
            blobDirectory: try Checked.text(
                welcome.blob_directory, "blob_directory", limitBytes: WireLimits.nameBytes),
            blobDirectoryProof: try Checked.text(
                welcome.blob_directory_proof, "blob_directory_proof", limitBytes: WireLimits.nameBytes))
    }

    static func rollout(_ rollout: Rookery__Rollout) throws(WireError) -> RolloutAssignment {
        RolloutAssignment(
            prompt: try Checked.nested(rollout.prompt, "prompt", prompt),
            groupSize: try Checked.integer(rollout.group_size, "group_size", in: WireLimits.groupSizeRange),
            version: PolicyVersion(rollout.version),
            sampling: try Checked.nested(rollout.sampling, "sampling", sampling), seed: rollout.seed,
            newer: rollout.newer != 0)
    }

    private static func sampling(_ sampling: Rookery__Sampling) throws(WireError) -> SamplingOptions {
        var options = SamplingOptions()
        options.temperature = try Checked.nonNegative(sampling.temperature, "temperature")
        options.topK = try Checked.integer(sampling.top_k, "top_k", in: 0...Int(Int32.max))
        options.topP = try Checked.finite(sampling.top_p, "top_p", in: 0...1)
        options.minP = try Checked.finite(sampling.min_p, "min_p", in: 0...1)
        options.maxNewTokens = try Checked.integer(sampling.max_new_tokens, "max_new_tokens", in: 0...Int(Int32.max))
        options.stopStrings = try Checked.texts(sampling.n_stop_strings, sampling.stop_strings, "stop_strings")
        return options
    }

    static func training(_ train: Rookery__Train) throws(WireError) -> TrainingAssignment {
        TrainingAssignment(
            step: try Checked.integer(train.step, "step", in: WireLimits.stepRange),
            base: PolicyVersion(train.base_version),
            groupCount: try Checked.integer(train.group_count, "group_count", in: WireLimits.ordinalRange),
            learningRate: try Checked.nonNegative(train.learning_rate, "learning_rate"),
            checkpoint: train.checkpoint != 0,
            reference: train.reference == nil ? nil : try Checked.nested(train.reference, "reference", manifest),
            parts: try Checked.list(train.n_parts, train.parts, "parts", gradientPart))
    }

    static func gradient(_ body: Rookery__Gradient) throws(WireError) -> GradientAssignment {
        GradientAssignment(
            step: try Checked.integer(body.step, "step", in: WireLimits.stepRange),
            base: PolicyVersion(body.base_version),
            groupCount: try Checked.integer(body.group_count, "group_count", in: WireLimits.ordinalRange),
            shards: try shards(body.first_shard, body.shard_count), keep: body.keep != 0, attempt: body.attempt,
            reference: body.reference == nil ? nil : try Checked.nested(body.reference, "reference", manifest))
    }

    static func gradientPart(_ part: Rookery__GradientPart) throws(WireError) -> GradientPart {
        GradientPart(
            shards: try shards(part.first_shard, part.shard_count),
            blob: part.blob == nil ? nil : try Checked.nested(part.blob, "blob", blob),
            sums: try Checked.list(part.n_sums, part.sums, "sums", metric))
    }

    private static func shards(_ first: UInt64, _ count: UInt64) throws(WireError) -> ShardRange {
        let count = try Checked.integer(count, "shard_count", in: WireLimits.shardCountRange)
        let first = try Checked.integer(first, "first_shard", in: 0...WireLimits.shardCountRange.upperBound)
        guard let shards = ShardRange(first: first, count: count) else {
            throw WireError(
                .message, "shard_count", expected: "a power of two that divides the first shard",
                found: "\(count) from \(first)")
        }
        return shards
    }

    private static func metric(_ metric: Rookery__MetricValue) throws(WireError) -> StepMetrics.Value {
        StepMetrics.Value(
            name: try Checked.text(metric.name, "name", limitBytes: WireLimits.nameBytes), value: metric.value)
    }

    static func pretraining(_ pretrain: Rookery__Pretrain) throws(WireError) -> PretrainingAssignment {
        let tokens = try Checked.tokens(pretrain.n_tokens, pretrain.tokens, "tokens")
        var sequences: [[Int32]] = []
        sequences.reserveCapacity(pretrain.n_sequence_lengths)
        var start = 0
        for index in 0..<pretrain.n_sequence_lengths {
            let length = Int(pretrain.sequence_lengths[index])
            guard length <= tokens.count - start else {
                throw WireError(
                    .message, "sequence_lengths[\(index)]",
                    expected: "at most the \(tokens.count - start) tokens left", found: "\(length)")
            }
            sequences.append(Array(tokens[start..<(start + length)]))
            start += length
        }
        guard start == tokens.count else {
            throw WireError(
                .message, "sequence_lengths", expected: "lengths that sum to \(tokens.count) tokens", found: "\(start)")
        }
        return PretrainingAssignment(
            sequences: sequences,
            sequencesPerStep: try Checked.integer(
                pretrain.sequences_per_step, "sequences_per_step", in: WireLimits.groupSizeRange),
            learningRate: try Checked.nonNegative(pretrain.learning_rate, "learning_rate"))
    }

    private static func enumeration<Value>(
        _ raw: UInt32, _ name: StaticString, _ make: (UInt8) -> Value?
    ) throws(WireError) -> Value {
        guard let byte = UInt8(exactly: raw), let value = make(byte) else {
            throw WireError(
                .message, "\(name)", expected: "a value of the enumeration", found: "\(Int32(bitPattern: raw))")
        }
        return value
    }

    private static func role(_ raw: UInt8) -> WorkerRole? {
        switch UInt32(raw) {
        case ROOKERY__ROLE__ROLE_ROLLOUT.rawValue: .rollout
        case ROOKERY__ROLE__ROLE_VERIFIER.rawValue: .verifier
        case ROOKERY__ROLE__ROLE_LEARNER.rawValue: .learner
        default: nil
        }
    }
}
