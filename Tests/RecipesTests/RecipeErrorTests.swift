// Does every mistake in a recipe give one clear line?

import Foundation
import Rollouts
import Testing

@testable import Recipes

private func message(_ yaml: String, _ overrides: String...) -> String {
    do {
        _ = try RecipeReader.parse(yaml: yaml, file: "r.yaml", overrides: overrides)
        return "accepted"
    } catch {
        return error.description
    }
}

@Suite struct `A mistake in a recipe` {
    @Test func `an unknown key names file, line, path and the nearest key`() {
        #expect(
            message("model: {path: m}\nrollout:\n  group_siz: 8\n")
                == "r.yaml:3:3: rollout.group_siz: unknown key; did you mean `rollout.group_size`?")
    }

    @Test func `a key in the wrong section is pointed to the right one`() {
        #expect(
            message("learning_rate: 1\n")
                == "r.yaml:1:1: learning_rate: unknown key; did you mean `optimizer.learning_rate`?")
    }

    @Test func `a key that has two homes is pointed to both`() {
        #expect(
            message("every_steps: 1\n").hasSuffix("did you mean `evaluation.every_steps` or `checkpoint.every_steps`?")
        )
    }

    @Test func `British spelling is understood as a slip`() {
        #expect(message("model:\n  initialise: {}\n").hasSuffix("did you mean `model.initialize`?"))
        #expect(
            message("algorithm: {advantage_normalisation: none}")
                .hasSuffix("did you mean `algorithm.advantage_normalization`?"))
    }

    @Test func `a key like no other lists what is known`() {
        #expect(
            message("schedule: {zzzzzz: 1}")
                == "r.yaml:1:12: schedule.zzzzzz: unknown key; known here: steps, lag, inflight, max_staleness_versions")
    }

    @Test func `an unknown key inside a list names the item`() {
        #expect(
            message("data:\n  sources:\n    - task: a\n    - tusk: b\n")
                == "r.yaml:4:7: data.sources.1.tusk: unknown key; did you mean `data.sources.1.task`?")
    }

    @Test func `a duplicate key names the line`() {
        #expect(
            message("seed: 1\nname: a\nseed: 2\n")
                == "r.yaml:1:1: `seed` is given twice in the same section: keep one")
    }

    @Test func `a syntax error names line and column`() {
        let text = message("name: a\nmodel: {path: [\n")
        #expect(text.hasPrefix("r.yaml:3:1: not valid YAML: "))
        #expect(!text.contains("\n"))
    }

    @Test func `two documents are one too many`() {
        #expect(message("name: a\n---\nname: b\n").contains("another document"))
    }

    @Test func `deep nesting is refused, not followed`() {
        #expect(message(String(repeating: "[", count: 100_000)).contains("nesting"))
    }

    @Test func `a missing file says where recipes are`() {
        let error = #expect(throws: RecipeError.self) { try RecipeReader.load(path: "/nowhere/x.yaml", overrides: []) }
        #expect(
            error?.description
                == "/nowhere/x.yaml: the recipe cannot be opened (No such file or directory); the ones that come along "
                + "are in cluster/recipes")
    }

    @Test func `bytes that are not text are refused`() throws {
        let path = NSTemporaryDirectory() + "recipe-\(UUID().uuidString).yaml"
        defer { try? FileManager.default.removeItem(atPath: path) }  // a leftover temporary file harms nobody
        try Data([0xff, 0xfe, 0x80]).write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: RecipeError.self) { try RecipeReader.load(path: path, overrides: []) }
        #expect(error?.problem == "is not UTF-8 text: this is no recipe")
        try Data(count: RecipeReader.byteLimit + 1).write(to: URL(fileURLWithPath: path))
        let long = #expect(throws: RecipeError.self) { try RecipeReader.load(path: path, overrides: []) }
        #expect(long?.problem == "longer than 1048576 bytes: this is no recipe")
    }

    @Test func `a folder is no recipe`() {
        let error = #expect(throws: RecipeError.self) { try RecipeReader.load(path: "/", overrides: []) }
        #expect(error?.description == "/: the recipe cannot be read: Is a directory")
    }

    @Test(arguments: [
        ("rollout.group_size=1", "rollout.group_size: expected integer 2…1024, found `1`"),
        ("rollout.group_size=2.5", "rollout.group_size: expected integer 2…1024, found `2.5`"),
        ("rollout.group_size='8'", "rollout.group_size: expected integer 2…1024, found the text \"8\""),
        ("rollout.group_size=99999999999999999999", "expected integer 2…1024, found `99999999999999999999`"),
        ("rollout.temperature=-0.1", "rollout.temperature: expected number ≥ 0, found `-0.1`"),
        ("rollout.temperature=nan", "expected number ≥ 0, found `nan`"),
        ("rollout.top_p=0", "rollout.top_p: expected number > 0, ≤ 1, found `0`"),
        ("optimizer.learning_rate=0", "optimizer.learning_rate: expected number > 0, found `0`"),
        ("optimizer.learning_rate=1e999", "expected number > 0, found `1e999`"),
        ("optimizer.token_budget=15", "expected integer 16…16777216, found `15`"),
        ("algorithm.clip_high=-1", "algorithm.clip_high: expected number ≥ 0, found `-1`"),
        ("schedule.steps=-1", "schedule.steps: expected integer 0…10000000, found `-1`"),
        ("cluster.no_verdict_share_limit=1.01", "expected number 0…1, found `1.01`"),
        ("cluster.spot_check=-0.1", "cluster.spot_check: expected number 0…1, found `-0.1`"),
        ("cluster.spot_check=0.1", "in float32 honest workers differ in the last digits"),
        ("data.held_out_share=1", "data.held_out_share: expected number ≥ 0, < 1, found `1`"),
        ("data.chat=yes", "data.chat: expected true or false, found `yes`"),
        ("seed=-1", "seed: expected integer 0…18446744073709551615, found `-1`"),
        ("verifier.kind=fuzzy", "expected one of exact, numeric, choice, regex, format, weighted_sum, found `fuzzy`"),
        (
            "verifier.marker=####",
            "expected text (not empty), found nothing; put text that YAML reads otherwise in quotes"
        ),
        ("data.system=You: be kind", "expected text, or null, found a section; put text that YAML"),
        ("rollout=5", "rollout: expected a section of keys, found `5`"),
        ("data.sources={}", "data.sources: expected a list of sections (lines that start with `-`), found a section"),
        ("rollout.stop_strings=['']", "rollout.stop_strings: expected list of non-empty texts, found a list"),
        ("name=../up", "expected text of 1…64 letters, digits, `-`, `_` or `.`, not starting with `.`, found `../up`"),
        ("data.sources.0.template=hello", "expected text with {prompt} in it, found `hello`"),
        ("data.sources.3.weight=1", "`3` is no place in a list of 1 (0…1; the last adds one)"),
        ("name.first=1", "there is no `first` inside `run`"),
        ("rollout.group_size", "expected key.path=value"),
        ("rollout..group_size=3", "expected key.path=value, found an empty name in the path"),
        ("rollout.stop_strings=[", "not valid YAML"),
    ])
    func `an override with a bad value names itself`(override: String, expected: String) {
        let text = message("name: run\n" + shortest, override)
        #expect(text.hasPrefix("--set \(override): "))
        #expect(text.contains(expected), "\(text)")
        #expect(!text.contains("\n"))
    }

    @Test(arguments: [
        (["data.sources.0.path=x"], "data.sources.0: `task` and `path` are both set: keep one"),
        (["data.sources.0.task=null"], "data.sources.0: set `task` or `path`"),
        (["data.sources=[]"], "data.sources: no prompts"),
        (["data.sources.0.prompt_field=q"], "data.sources.0.prompt_field: is for a JSONL file"),
        (["data.sources.0={path: x, count: 3}"], "data.sources.0.count: is for generated tasks"),
        (["data.sources.0={path: x, filter_field: a}"], "`filter_field` and `filter_value` come together"),
        (["model.path=null"], "model.path: expected text"),
        (["model.path="], "model.path: no model"),
        (["model.initialize={}"], "model.path: `model.path` and `model.initialize` are both set"),
        (["model.path=", "model.initialize={}", "model.pretrain={}", "lora={}"], "lora: adapters need a base that stays"),
        (["model.pretrain={}"], "model.pretrain: pre-training is for a model made by `model.initialize`"),
        (["model={initialize: {heads: 3}}"], "hidden_size 64 must be an even number of times heads 3"),
        (["model={initialize: {heads: 4, key_value_heads: 3}}"], "must divide heads (4), found 3"),
        (["model={initialize: {context_tokens: 64}}"], "must exceed rollout.max_new_tokens (64), found 64"),
        (
            ["model={initialize: {}, pretrain: {}}", "data.sources=[{path: x}]"],
            "model.pretrain: pre-training text is made from generated tasks"
        ),
        (["verifier.kind=regex"], "verifier.pattern: `kind: regex` needs a pattern"),
        (["verifier.kind=format"], "verifier.pattern: `kind: format` needs a pattern"),
        (["verifier.kind=weighted_sum"], "verifier.parts: `kind: weighted_sum` needs at least one part"),
        (["verifier.parts=[{}]"], "verifier.parts: is for weighted_sum; with `kind: exact` it does nothing"),
        (
            ["verifier={kind: weighted_sum, parts: [{verifier: {kind: weighted_sum}}]}"],
            "verifier.parts.0.verifier.kind: a part cannot be a weighted_sum"
        ),
        (
            ["verifier={kind: weighted_sum, parts: [{verifier: {kind: regex}}]}"],
            "verifier.parts.0.verifier.pattern: `kind: regex` needs a pattern"
        ),
        (["verifier={kind: weighted_sum, parts: [{verifier: {shuffle: true}}]}"], "unknown key"),
        (["verifier.units=[m]"], "verifier.units: is for numeric; with `kind: exact` it does nothing"),
        (["verifier={kind: numeric, ignore_case: true}"], "verifier.ignore_case: is for exact and choice"),
        (["verifier.marker=x"], "verifier.marker: is for `extract: after_marker`"),
        (["verifier={kind: choice, choices: [A, A]}"], "verifier.choices: a label is given twice"),
        (
            ["algorithm={overlong: penalty, overlong_buffer: 64}"],
            "algorithm.overlong_buffer: must be below rollout.max_new_tokens (64), found 64"
        ),
        (["rollout.temperature=0"], "rollout.temperature: must be above 0 to train"),
        (["optimizer.warmup_steps=41"], "must not exceed schedule.steps (40), found 41"),
        (["optimizer.final_share=0.5"], "optimizer.final_share: is for `decay: linear` and `decay: cosine`"),
        (["schedule.inflight=true", "schedule.lag=1"], "schedule.lag: is for exact schedules"),
        (
            ["schedule.inflight=true", "cluster.spot_check=0.1", "model.precision=bfloat16"],
            "cluster.spot_check: samples again and compares"
        ),
        (["schedule.max_staleness_versions=3"], "schedule.max_staleness_versions: is for `inflight: true`"),
        (
            ["algorithm.importance_cap=2", "algorithm.epochs_per_batch=2"],
            "algorithm.importance_cap: corrects one pass"
        ),
        (["optimizer.shards=3"], "optimizer.shards: must be a power of two, found 3"),
        (
            ["optimizer.shards=2", "algorithm.epochs_per_batch=2"],
            "optimizer.shards: learners share the gradient of one pass"
        ),
        (["cluster.local_learner=2"], "cluster.local_learner: must not exceed optimizer.shards (1), found 2"),
        (["data.held_out_share=0"], "data.held_out_share: evaluation needs held-out prompts"),
        (["evaluation={temperature: 0, samples_per_prompt: 2}"], "must be 1 at temperature 0"),
        (["cluster.lease_seconds=4"], "must be at least heartbeat_seconds × heartbeats_missed (5.0), found 4.0"),
    ])
    func `keys that disagree are named`(overrides: [String], expected: String) throws {
        let error = #expect(throws: RecipeError.self) {
            try RecipeReader.parse(yaml: shortest, file: "r.yaml", overrides: overrides)
        }
        let text = error?.description ?? ""
        #expect(text.contains(expected), "\(text)")
        #expect(!text.contains("\n"))
    }

    @Test func `a disagreement points at the line of the key`() {
        #expect(
            message("model:\n  path: m\ndata:\n  sources:\n    - task: a\n    - task: b\n      path: c\n")
                == "r.yaml:6:7: data.sources.1: `task` and `path` are both set: keep one")
    }

    @Test func `an empty recipe is told what it lacks`() {
        #expect(message("# nothing\n").hasPrefix("r.yaml:1:1: model.path: no model"))
    }
}
