// Does every key of the table read, write and come back the same?

import Rollouts
import Testing

@testable import Recipes

/// The shortest recipe that is accepted.
let shortest = """
    model: {path: m.gguf}
    data: {sources: [{task: add_1digit}]}
    """

func parse(_ yaml: String, _ overrides: String...) throws -> RunOptions {
    try RecipeReader.parse(yaml: yaml, file: "r.yaml", overrides: overrides)
}

/// One line per key: a value other than the default, and what else must be set for it to make sense.
private let samples: [(path: String, value: String, with: [String])] = [
    ("name", "other-run.2", []),
    ("seed", "18446744073709551615", []),
    ("model.path", "\"a folder/m.gguf\"", []),
    ("model.precision", "bfloat16", []),
    ("model.initialize.layers", "3", ["model.path="]),
    ("model.initialize.hidden_size", "128", ["model.path="]),
    ("model.initialize.heads", "2", ["model.path="]),
    ("model.initialize.key_value_heads", "1", ["model.path="]),
    ("model.initialize.intermediate_size", "100", ["model.path="]),
    ("model.initialize.context_tokens", "512", ["model.path="]),
    ("model.pretrain.steps", "7", ["model.path=", "model.initialize={}"]),
    ("model.pretrain.sequences_per_step", "8", ["model.path=", "model.initialize={}"]),
    ("model.pretrain.learning_rate", "1e-2", ["model.path=", "model.initialize={}"]),
    ("model.pretrain.correct_share", "0.25", ["model.path=", "model.initialize={}"]),
    ("data.sources.0.task", "max_of_3", []),
    ("data.sources.0.path", "x.jsonl", ["data.sources.0.task=null"]),
    ("data.sources.0.weight", "2.5", []),
    ("data.sources.0.count", "17", []),
    ("data.sources.0.prompt_field", "question", ["data.sources.0.task=null", "data.sources.0.path=x.jsonl"]),
    ("data.sources.0.answer_field", "final", ["data.sources.0.task=null", "data.sources.0.path=x.jsonl"]),
    ("data.sources.0.answer_after", "'####'", ["data.sources.0.task=null", "data.sources.0.path=x.jsonl"]),
    (
        "data.sources.0.filter_field", "task",
        ["data.sources.0.task=null", "data.sources.0.path=x.jsonl", "data.sources.0.filter_value=a"]
    ),
    (
        "data.sources.0.filter_value", "5",
        ["data.sources.0.task=null", "data.sources.0.path=x.jsonl", "data.sources.0.filter_field=a"]
    ),
    ("data.sources.0.template", "\"Q: {prompt}\\nA: \\\"\\u0007\"", []),
    ("data.held_out_share", "0.5", []),
    ("data.system", "\"null\"", []),
    ("data.chat", "false", []),
    ("verifier.kind", "numeric", []),
    ("verifier.extract", "last_line", []),
    ("verifier.marker", "'Answer:'", ["verifier.extract=after_marker"]),
    ("verifier.ignore_case", "true", []),
    ("verifier.tolerance", "0.001", ["verifier.kind=numeric"]),
    ("verifier.units", "[km, '%', \"a, b\"]", ["verifier.kind=numeric"]),
    ("verifier.choices", "[A, B]", ["verifier.kind=choice"]),
    ("verifier.pattern", "'^[0-9]+\\s*$'", ["verifier.kind=regex"]),
    ("verifier.parts.0.weight", "0.5", weighted),
    ("verifier.parts.0.required", "true", weighted),
    ("verifier.parts.0.verifier.kind", "numeric", weighted),
    ("verifier.parts.0.verifier.extract", "boxed", weighted),
    ("verifier.parts.0.verifier.marker", "'='", weighted + ["verifier.parts.0.verifier.extract=after_marker"]),
    ("verifier.parts.0.verifier.ignore_case", "true", weighted),
    ("verifier.parts.0.verifier.tolerance", "1", weighted + ["verifier.parts.0.verifier.kind=numeric"]),
    ("verifier.parts.0.verifier.units", "[m]", weighted + ["verifier.parts.0.verifier.kind=numeric"]),
    ("verifier.parts.0.verifier.choices", "[yes, no]", weighted + ["verifier.parts.0.verifier.kind=choice"]),
    ("verifier.parts.0.verifier.pattern", "abc", weighted + ["verifier.parts.0.verifier.kind=format"]),
    ("verifier.shuffle", "true", []),
    ("rollout.prompts_per_step", "3", []),
    ("rollout.group_size", "4", []),
    ("rollout.temperature", "0.7", []),
    ("rollout.top_k", "50", []),
    ("rollout.top_p", "0.9", []),
    ("rollout.min_p", "0.05", []),
    ("rollout.max_new_tokens", "32", []),
    ("rollout.stop_strings", "[\"\\n\", '</answer>']", []),
    ("rollout.batch_limit", "9", []),
    ("algorithm.name", "grpo", []),
    ("algorithm.advantage_normalization", "leave_one_out", []),
    ("algorithm.clip_low", "0.1", []),
    ("algorithm.clip_high", "0.28", []),
    ("algorithm.loss_aggregation", "constant_length", []),
    ("algorithm.kl_coefficient", "1e-3", []),
    ("algorithm.kl_estimator", "k2", []),
    ("algorithm.kl_placement", "reward", []),
    ("algorithm.entropy_coefficient", "0.01", []),
    ("algorithm.importance_cap", "2", []),
    ("algorithm.epochs_per_batch", "2", []),
    ("algorithm.overlong", "mask", []),
    ("algorithm.overlong_buffer", "8", ["algorithm.overlong=penalty"]),
    ("algorithm.overlong_factor", "0.5", []),
    ("algorithm.drop_equal_groups", "true", []),
    ("algorithm.refill_limit", "5", []),
    ("optimizer.learning_rate", "1e-5", []),
    ("optimizer.warmup_steps", "4", []),
    ("optimizer.decay", "cosine", []),
    ("optimizer.final_share", "0.1", ["optimizer.decay=linear"]),
    ("optimizer.beta1", "0.8", []),
    ("optimizer.beta2", "0.95", []),
    ("optimizer.epsilon", "1e-6", []),
    ("optimizer.weight_decay", "0.1", []),
    ("optimizer.gradient_clip", "0", []),
    ("optimizer.token_budget", "16", []),
    ("optimizer.state", "8bit", []),
    ("optimizer.shards", "4", []),
    ("optimizer.recompute", "blocks", []),
    ("lora.rank", "8", []),
    ("lora.alpha", "1.5", []),
    ("lora.target_modules", "[v_proj, q_proj]", []),
    ("schedule.steps", "0", []),
    ("schedule.lag", "2", []),
    ("schedule.inflight", "true", []),
    ("schedule.max_staleness_versions", "3", ["schedule.inflight=true"]),
    ("evaluation.every_steps", "0", []),
    ("evaluation.prompts", "5", []),
    ("evaluation.samples_per_prompt", "3", []),
    ("evaluation.temperature", "0", []),
    ("checkpoint.every_steps", "0", []),
    ("checkpoint.keep", "1", []),
    ("cluster.local_rollout", "0", []),
    ("cluster.local_verifier", "2", []),
    ("cluster.local_learner", "0", []),
    ("cluster.heartbeat_seconds", "0.25", []),
    ("cluster.heartbeats_missed", "3", []),
    ("cluster.lease_seconds", "30", []),
    ("cluster.verification_attempts", "1", []),
    ("cluster.no_verdict_share_limit", "1", []),
    ("cluster.spot_check", "0.02", ["model.precision=bfloat16"]),
]
private let weighted = ["verifier.kind=weighted_sum", "verifier.parts=[{}]"]
private let onlyValue = ["algorithm.name"]

private var leaves: [KeyDescription] {
    RecipeTables.run.describe(path: "").filter { !$0.form.hasPrefix("section") && !$0.form.hasPrefix("list of sec") }
}

@Suite struct `Every key` {
    @Test func `has a sample, in the documented order`() {
        #expect(leaves.map(\.path) == samples.map(\.path))
    }

    @Test(arguments: samples.indices)
    func `changes the options and comes back the same after rendering`(index: Int) throws {
        let sample = samples[index]
        let base = try? RecipeReader.parse(yaml: shortest, file: "r.yaml", overrides: sample.with)
        let set = "\(sample.path)=\(sample.value)"
        let changed = try RecipeReader.parse(yaml: shortest, file: "r.yaml", overrides: sample.with + [set])
        #expect((changed != base) == !onlyValue.contains(sample.path), "\(set) changes nothing")
        let again = try parse(RecipeReader.render(changed))
        #expect(again == changed)
    }

    @Test(arguments: samples.indices)
    func `refuses a list of lists and names itself`(index: Int) throws {
        let sample = samples[index]
        let error = #expect(throws: RecipeError.self) {
            try RecipeReader.parse(yaml: shortest, file: "r.yaml", overrides: sample.with + ["\(sample.path)=[[1]]"])
        }
        #expect(error?.key == sample.path)
        #expect(error?.description.contains("expected") == true)
    }

    @Test func `of the options has a key, and every key an option`() {
        var options = RunOptions()
        options.model.initialise = ModelInitialisation()
        options.model.pretrain = PretrainOptions()
        options.lora = LoRAOptions()
        options.data.sources = [DataSource()]
        options.verifier.parts = [.init()]
        // A part's verifier has neither parts nor shuffle of its own.
        #expect(leafCount(options) == leaves.count + 2)
    }

    @Test func `is in the reference with its default and its meaning`() {
        let reference = RecipeReader.reference
        #expect(reference.contains("rollout.group_size: integer 2…1024, default 8\n    Completions per prompt"))
        #expect(reference.contains("data.held_out_share: number ≥ 0, < 1, default 0.2\n"))
        #expect(reference.contains("algorithm.kl_estimator: one of k1, k2, k3, default k3\n"))
        #expect(reference.contains("evaluation.temperature: number ≥ 0, or null, default null\n"))
        #expect(reference.contains("optimizer.learning_rate: number > 0, default 1.0e-06\n"))
        for key in RecipeTables.run.describe(path: "") {
            #expect(reference.contains("\(key.path): \(key.form)"))
            #expect(!key.meaning.isEmpty && !key.meaning.contains("\n"))
        }
    }
}

private func leafCount(_ value: Any) -> Int {
    let mirror = Mirror(reflecting: value)
    switch mirror.displayStyle {
    case .optional: return mirror.children.first.map { leafCount($0.value) } ?? 1
    case .struct where !(value is String || value is Double || value is Int || value is UInt64 || value is Bool):
        return mirror.children.map { leafCount($0.value) }.reduce(0, +)
    case .collection:
        if value is [String] || value is [LoRAOptions.Module] { return 1 }
        return max(1, mirror.children.map { leafCount($0.value) }.reduce(0, +))
    default: return 1
    }
}
