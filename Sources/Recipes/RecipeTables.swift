// Which keys does a recipe have? One row a key: its name, the option it sets, what it takes, what it means.

import Rollouts

enum RecipeTables {
    static let run = RecipeTable<RunOptions>(
        { RunOptions() },
        [
            .text("name", \.name, "Name of the run; its folder is called after it.", .fileName),
            .unsigned("seed", \.seed, "Everything random follows from it: same recipe and seed, same result."),
            .section("model", \.model, model, "The model to train."),
            .section("data", \.data, data, "Where prompts come from."),
            .section("verifier", \.verifier, verifier, "How a completion is judged."),
            .section("rollout", \.rollout, rollout, "How completions are sampled."),
            .section("algorithm", \.algorithm, algorithm, "What the learner makes of rewards."),
            .section("optimizer", \.optimizer, optimizer, "How weights are changed (AdamW)."),
            .optionalSection("lora", \.lora, lora, "Train low-rank adapters over a frozen model; null: all weights."),
            .section("schedule", \.schedule, schedule, "How long, and how far sampling may run ahead."),
            .section("evaluation", \.evaluation, evaluation, "Held-out evaluation during the run."),
            .section("checkpoint", \.checkpoint, checkpoint, "Places the run can go on from."),
            .section("cluster", \.cluster, cluster, "Local workers, time limits, retries."),
        ])

    static let model = RecipeTable<ModelOptions>(
        { ModelOptions() },
        [
            .text("path", \.path, "A GGUF file or a Hugging Face folder; \"\" with `initialize`."),
            .choice("precision", \.precision, "Arithmetic: `bfloat16` is exact, the same bits on every worker."),
            .optionalSection(
                "initialize", \.initialise, initialization, "Make a small model with random weights instead."),
            .optionalSection(
                "pretrain", \.pretrain, pretraining, "Next-token training of an initialized model before step 1."),
        ])

    static let initialization = RecipeTable<ModelInitialisation>(
        { ModelInitialisation() },
        [
            .integer("layers", \.layers, 1...64, "Transformer blocks."),
            .integer("hidden_size", \.hiddenSize, 8...8192, "Width of the residual stream."),
            .integer("heads", \.heads, 1...128, "Attention heads; they share hidden_size evenly."),
            .integer("key_value_heads", \.keyValueHeads, 1...128, "Key and value heads; a divisor of heads."),
            .integer("intermediate_size", \.intermediateSize, 8...65536, "Width inside the feed-forward layers."),
            .integer("context_tokens", \.contextTokens, 16...131072, "Longest prompt plus completion, in tokens."),
        ])

    static let pretraining = RecipeTable<PretrainOptions>(
        { PretrainOptions() },
        [
            .integer("steps", \.steps, 1...1_000_000, "Optimizer updates."),
            .integer("sequences_per_step", \.sequencesPerStep, 1...65536, "Sequences in one update."),
            .number("learning_rate", \.learningRate, .above(0), "Learning rate of pre-training."),
            .number(
                "correct_share", \.correctShare, .between(0, 1),
                "Share of sequences with the right answer; the rest get a wrong one and leave RL something to learn."),
        ])

    static let data = RecipeTable<DataOptions>(
        { DataOptions() },
        [
            .list("sources", \.sources, source, "At least one; each a generated task or a JSONL file."),
            .number(
                "held_out_share", \.heldOutShare, .from(0, below: 1),
                "Share of distinct prompts that is never trained on, chosen by a hash of their text."),
            .optionalText("system", \.system, "System turn before every prompt; null leaves the chat template's own."),
            .flag(
                "chat", \.chat,
                "true: the prompt is a user turn under the chat template; false: plain text to continue."),
        ])

    static let source = RecipeTable<DataSource>(
        { DataSource() },
        [
            .optionalText("task", \.task, "Name of a generated task; null with `path`.", .nonEmpty),
            .optionalText("path", \.path, "A JSONL file, gzip or not; null with `task`.", .nonEmpty),
            .number("weight", \.weight, .above(0), "Relative share of prompts drawn from this source."),
            .integer(
                "count", \.count, 1...10_000_000,
                "Generated task: distinct instances to make, fewer where it has fewer."),
            .text(
                "prompt_field", \.promptField, "JSONL: field with the question, or with a list of turns.", .nonEmpty),
            .text("answer_field", \.answerField, "JSONL: field with the answer.", .nonEmpty),
            .optionalText(
                "answer_after", \.answerAfter, "JSONL: the answer is what follows the last of these in its field.",
                .nonEmpty),
            .optionalText("filter_field", \.filterField, "JSONL: only rows whose field of this name…", .nonEmpty),
            .optionalText("filter_value", \.filterValue, "…has this value; null takes all rows."),
            .text("template", \.template, "The user turn; {prompt} is replaced by the question.", .holdsPrompt),
        ])

    static let verifier = RecipeTable<VerifierOptions>(
        { VerifierOptions() },
        judging + [
            .list("parts", \.parts, part, "weighted_sum: verifiers whose scores are added by weight."),
            .flag(
                "shuffle", \.shuffle,
                "Control experiment: permute rewards inside each group, so that they say nothing."),
        ])

    static let part = RecipeTable<VerifierOptions.Part>(
        { VerifierOptions.Part() },
        [
            .number("weight", \.weight, .above(0), "Weight of this part's score."),
            .flag("required", \.required, "The completion is right only if this part is."),
            .section(
                "verifier", \.verifier, RecipeTable({ VerifierOptions() }, judging),
                "The part's verifier: any kind but weighted_sum."),
        ])

    /// What a verifier and the verifier of a part have in common.
    private static let judging: [RecipeKey<VerifierOptions>] = [
        .choice("kind", \.kind, "How the extracted text is compared with the answer."),
        .choice("extract", \.extract, "Which part of the completion is judged."),
        .text("marker", \.marker, "after_marker: what stands before the answer.", .nonEmpty),
        .flag("ignore_case", \.ignoreCase, "exact, choice: compare without regard to case."),
        .number("tolerance", \.tolerance, .from(0), "numeric: largest difference; 0 compares exactly as fractions."),
        .texts("units", \.units, "numeric: units that are stripped before and after the number."),
        .texts("choices", \.choices, "choice: the labels; empty means A…Z."),
        .text("pattern", \.pattern, "regex, format: must match; in regex {answer} stands for the answer."),
    ]

    static let rollout = RecipeTable<RolloutOptions>(
        { RolloutOptions() },
        [
            .integer("prompts_per_step", \.promptsPerStep, 1...65536, "Groups in one step."),
            .integer(
                "group_size", \.groupSize, 2...1024, "Completions per prompt; rewards are compared inside a group."),
            .number("temperature", \.sampling.temperature, .from(0), "1 samples from the policy itself; 0 is greedy."),
            .integer("top_k", \.sampling.topK, 0...1_000_000, "Sample among the k likeliest tokens; 0 is off."),
            .number(
                "top_p", \.sampling.topP, .above(0, upTo: 1),
                "Sample among the likeliest tokens of this mass; 1 is off."),
            .number(
                "min_p", \.sampling.minP, .between(0, 1),
                "Leave out tokens below this share of the likeliest; 0 is off."),
            .integer("max_new_tokens", \.sampling.maxNewTokens, 1...131072, "Longest completion, in tokens."),
            .texts("stop_strings", \.sampling.stopStrings, "A completion ends where one of these appears."),
            .integer("batch_limit", \.batchLimit, 1...65536, "Most sequences a worker decodes at once."),
        ])

    static let algorithm = RecipeTable<AlgorithmOptions>(
        { AlgorithmOptions() },
        [
            .choice("name", \.name, "The algorithm."),
            .choice("advantage_normalization", \.advantageNormalisation, "How rewards of a group become advantages."),
            .number("clip_low", \.clipLow, .from(0, below: 1), "Importance ratios below 1 − this stop pushing."),
            .number("clip_high", \.clipHigh, .from(0), "Importance ratios above 1 + this stop pushing."),
            .choice("loss_aggregation", \.lossAggregation, "How token losses are averaged."),
            .number(
                "kl_coefficient", \.klCoefficient, .from(0),
                "Weight of the distance to the reference policy; 0 is off."
            ),
            .choice("kl_estimator", \.klEstimator, "How that distance is estimated."),
            .choice("kl_placement", \.klPlacement, "Added to the loss or taken off the reward."),
            .number("entropy_coefficient", \.entropyCoefficient, .from(0), "Weight of the entropy bonus; 0 is off."),
            .number(
                "importance_cap", \.importanceCap, .from(0),
                "Truncated importance sampling instead of clipping: the largest ratio to the sampler; 0 is off."),
            .integer("epochs_per_batch", \.epochsPerBatch, 1...64, "Passes over a step's groups."),
            .choice("overlong", \.overlong, "What happens to completions cut off at max_new_tokens."),
            .integer(
                "overlong_buffer", \.overlongBuffer, 1...131072,
                "penalty: tokens before the limit over which it grows."
            ),
            .number("overlong_factor", \.overlongFactor, .from(0), "penalty: reward taken off at the limit."),
            .flag("drop_equal_groups", \.dropEqualGroups, "Leave out groups whose rewards are all equal."),
            .integer(
                "refill_limit", \.refillLimit, 1...100, "drop_equal_groups: draw at most this many times the prompts."),
        ])

    static let optimizer = RecipeTable<OptimizerOptions>(
        { OptimizerOptions() },
        [
            .number("learning_rate", \.learningRate, .above(0), "Largest learning rate of the schedule."),
            .integer("warmup_steps", \.warmupSteps, 0...1_000_000, "Steps over which it rises from 0."),
            .choice("decay", \.decay, "How it falls afterwards."),
            .number("final_share", \.finalShare, .between(0, 1), "linear, cosine: share of it left at the last step."),
            .number("beta1", \.beta1, .from(0, below: 1), "Memory of the gradient's mean."),
            .number("beta2", \.beta2, .from(0, below: 1), "Memory of the gradient's square."),
            .number("epsilon", \.epsilon, .above(0), "Added to the root of the square."),
            .number(
                "weight_decay", \.weightDecay, .from(0), "Share of a weight taken off per step and learning rate."),
            .number("gradient_clip", \.gradientClip, .from(0), "Largest global gradient norm; 0 is off."),
            .integer("token_budget", \.tokenBudget, 16...16_777_216, "Most tokens in one micro-batch."),
            .choice("state", \.state, "What AdamW's two moments are kept in: 8, 4 or about 2 bytes a weight."),
            .integer(
                "shards", \.shards, 1...64,
                "Parts of a step's gradient that as many learners can share; a power of two, part of the result."),
            .choice("recompute", \.recompute, "blocks: memory for one block's activations, about a tenth more time."),
        ])

    static let lora = RecipeTable<LoRAOptions>(
        { LoRAOptions() },
        [
            .integer("rank", \.rank, 1...1024, "Inner dimension of an adapter's two matrices."),
            .number("alpha", \.alpha, .above(0), "Their product counts alpha / rank."),
            .choices("target_modules", \.targetModules, "Which dense layers of every block have adapters."),
        ])

    static let schedule = RecipeTable<ScheduleOptions>(
        { ScheduleOptions() },
        [
            .integer("steps", \.steps, 0...10_000_000, "Optimizer updates; 0 only evaluates."),
            .integer("lag", \.lag, 0...64, "Completions of step n come from the policy of step n − 1 − lag."),
            .flag("inflight", \.inflight, "Weights change between tokens: fastest, not the same bits when run again."),
            .integer(
                "max_staleness_versions", \.maxStalenessVersions, 1...64,
                "inflight: tokens of step n come from the policy of step n − 1 − this at the oldest."),
        ])

    static let evaluation = RecipeTable<EvaluationOptions>(
        { EvaluationOptions() },
        [
            .integer(
                "every_steps", \.everySteps, 0...10_000_000,
                "Before step 1, every so many steps, and at the end; 0 is never."),
            .integer("prompts", \.prompts, 1...10_000_000, "Held-out prompts, fewer where there are fewer."),
            .integer("samples_per_prompt", \.samplesPerPrompt, 1...1024, "Completions per held-out prompt."),
            .optionalNumber("temperature", \.temperature, .from(0), "null: as in rollouts."),
        ])

    static let checkpoint = RecipeTable<CheckpointOptions>(
        { CheckpointOptions() },
        [
            .integer("every_steps", \.everySteps, 0...10_000_000, "0: only at the end and when interrupted."),
            .integer("keep", \.keep, 1...10_000, "The newest ones stay."),
        ])

    static let cluster = RecipeTable<ClusterOptions>(
        { ClusterOptions() },
        [
            .integer(
                "local_rollout", \.localRollout, 0...256, "Rollout workers that `coordinator start` starts itself."),
            .integer("local_verifier", \.localVerifier, 0...256, "Verifier workers that it starts itself."),
            .integer("local_learner", \.localLearner, 0...16, "Learners that it starts itself."),
            .number(
                "heartbeat_seconds", \.heartbeatSeconds, .above(0, upTo: 3600),
                "Time between a worker's signs of life."
            ),
            .integer("heartbeats_missed", \.heartbeatsMissed, 1...1000, "Silence of so many of them loses a worker."),
            .number(
                "lease_seconds", \.leaseSeconds, .above(0, upTo: 86400),
                "Work without progress for so long is given to another worker."),
            .integer("verification_attempts", \.verificationAttempts, 1...100, "Tries of a verification that fails."),
            .number(
                "no_verdict_share_limit", \.noVerdictShareLimit, .between(0, 1),
                "The run pauses when a larger share of a step has no verdict."),
            .number(
                "spot_check", \.spotCheck, .between(0, 1),
                "Share of groups that another worker samples again, compared bit for bit; needs `precision: bfloat16`."
            ),
        ])
}
