// Do the keys of a recipe agree with each other? A value that would be without effect or without sense is an error.

import Rollouts

struct RecipeChecks {
    let options: RunOptions
    /// To point at the line of the key at fault.
    let root: RecipeNode

    func run() throws(RecipeError) {
        try model()
        try sources()
        try verifier(options.verifier, at: "verifier")
        try parts()
        try sampling()
        try learning()
        try evaluation()
        try cluster()
    }

    private func require(_ condition: Bool, _ key: String, _ problem: @autoclosure () -> String) throws(RecipeError) {
        if !condition { throw RecipeError(at: root.place(of: key), key: key, problem()) }
    }

    private func model() throws(RecipeError) {
        let model = options.model
        guard let shape = model.initialise else {
            try require(
                model.pretrain == nil, "model.pretrain",
                "pre-training is for a model made by `model.initialize`; take it out or initialize a model")
            try require(
                !model.path.isEmpty, "model.path",
                "no model: set `model.path` to a file or folder, or `model.initialize`")
            return
        }
        try require(
            model.path.isEmpty, "model.path", "`model.path` and `model.initialize` are both set: keep one")
        let key = "model.initialize"
        try require(
            shape.hiddenSize.isMultiple(of: 2 * shape.heads), "\(key).heads",
            "hidden_size \(shape.hiddenSize) must be an even number of times heads \(shape.heads)")
        try require(
            shape.heads.isMultiple(of: shape.keyValueHeads), "\(key).key_value_heads",
            "must divide heads (\(shape.heads)), found \(shape.keyValueHeads)")
        let longest = options.rollout.sampling.maxNewTokens
        try require(
            longest < shape.contextTokens, "\(key).context_tokens",
            "must exceed rollout.max_new_tokens (\(longest)), found \(shape.contextTokens)")
        if model.pretrain != nil {
            try require(
                options.data.sources.contains { $0.task != nil }, "model.pretrain",
                "pre-training text is made from generated tasks: add a source with a `task`")
        }
    }

    private func sources() throws(RecipeError) {
        try require(
            !options.data.sources.isEmpty, "data.sources", "no prompts: add a source with a `task` or a `path`")
        let standard = DataSource()
        for (index, source) in options.data.sources.enumerated() {
            let key = "data.sources.\(index)"
            try require(
                (source.task == nil) != (source.path == nil), key,
                source.task == nil ? "set `task` or `path`" : "`task` and `path` are both set: keep one")
            if source.task != nil {
                try require(source.promptField == standard.promptField, "\(key).prompt_field", Self.onlyForPath)
                try require(source.answerField == standard.answerField, "\(key).answer_field", Self.onlyForPath)
                try require(source.answerAfter == nil, "\(key).answer_after", Self.onlyForPath)
                try require(source.filterField == nil, "\(key).filter_field", Self.onlyForPath)
                try require(source.filterValue == nil, "\(key).filter_value", Self.onlyForPath)
            } else {
                try require(
                    source.count == standard.count, "\(key).count",
                    "is for generated tasks; a file has the rows it has"
                )
                try require(
                    (source.filterField == nil) == (source.filterValue == nil), "\(key).filter_field",
                    "`filter_field` and `filter_value` come together: set both or none")
            }
        }
    }

    private static let onlyForPath = "is for a JSONL file (`path`); a generated task has no fields"

    private func verifier(_ verifier: VerifierOptions, at key: String) throws(RecipeError) {
        typealias Kind = VerifierOptions.Kind
        let standard = VerifierOptions()
        let kind = verifier.kind
        func only(_ unset: Bool, _ name: String, _ kinds: [Kind]) throws(RecipeError) {
            let words = kinds.map(\.rawValue).joined(separator: " and ")
            try require(
                unset || kinds.contains(kind), "\(key).\(name)",
                "is for \(words); with `kind: \(kind.rawValue)` it does nothing")
        }
        try only(verifier.extract == standard.extract, "extract", [.exact, .numeric, .choice, .regex])
        try only(!verifier.ignoreCase, "ignore_case", [.exact, .choice])
        try only(verifier.tolerance == 0, "tolerance", [.numeric])
        try only(verifier.units.isEmpty, "units", [.numeric])
        try only(verifier.choices.isEmpty, "choices", [.choice])
        try only(verifier.pattern.isEmpty, "pattern", [.regex, .format])
        try only(verifier.parts.isEmpty, "parts", [.weightedSum])
        try require(
            verifier.marker == standard.marker || verifier.extract == .afterMarker, "\(key).marker",
            "is for `extract: after_marker`; with `extract: \(verifier.extract.rawValue)` it does nothing")
        if kind == .regex || kind == .format {
            try require(!verifier.pattern.isEmpty, "\(key).pattern", "`kind: \(kind.rawValue)` needs a pattern")
        }
        if kind == .choice {
            try require(
                Set(verifier.choices).count == verifier.choices.count, "\(key).choices", "a label is given twice")
        }
    }

    private func parts() throws(RecipeError) {
        guard options.verifier.kind == .weightedSum else { return }
        try require(!options.verifier.parts.isEmpty, "verifier.parts", "`kind: weighted_sum` needs at least one part")
        for (index, part) in options.verifier.parts.enumerated() {
            let key = "verifier.parts.\(index).verifier"
            try require(
                part.verifier.kind != .weightedSum, "\(key).kind",
                "a part cannot be a weighted_sum: list its parts here")
            try verifier(part.verifier, at: key)
        }
    }

    private func sampling() throws(RecipeError) {
        let sampling = options.rollout.sampling
        try require(
            options.schedule.steps == 0 || sampling.temperature > 0, "rollout.temperature",
            "must be above 0 to train: greedy completions of one prompt are all equal and teach nothing")
        if options.algorithm.overlong == .penalty {
            let buffer = options.algorithm.overlongBuffer
            try require(
                buffer < sampling.maxNewTokens, "algorithm.overlong_buffer",
                "must be below rollout.max_new_tokens (\(sampling.maxNewTokens)), found \(buffer)")
        }
    }

    private func learning() throws(RecipeError) {
        let optimizer = options.optimizer
        try require(
            optimizer.warmupSteps <= options.schedule.steps, "optimizer.warmup_steps",
            "must not exceed schedule.steps (\(options.schedule.steps)), found \(optimizer.warmupSteps)")
        try require(
            optimizer.shards & (optimizer.shards - 1) == 0, "optimizer.shards",
            "must be a power of two, found \(optimizer.shards)")
        let schedule = options.schedule
        try require(
            !schedule.inflight || schedule.lag == 0, "schedule.lag",
            "is for exact schedules; with `inflight: true` set max_staleness_versions instead")
        try require(
            schedule.inflight || schedule.maxStalenessVersions == ScheduleOptions().maxStalenessVersions,
            "schedule.max_staleness_versions", "is for `inflight: true`; with `lag` it does nothing")
        try require(
            options.algorithm.importanceCap == 0 || options.algorithm.epochsPerBatch == 1, "algorithm.importance_cap",
            "corrects one pass over a step's groups: with `epochs_per_batch` above 1 it must be 0")
        try require(
            optimizer.shards == 1 || options.algorithm.epochsPerBatch == 1, "optimizer.shards",
            "learners share the gradient of one pass over a step's groups: with `algorithm.epochs_per_batch` above 1 "
                + "it must be 1")
        try require(
            options.lora == nil || options.model.pretrain == nil, "lora",
            "adapters need a base that stays as it is; with `model.pretrain` all weights are trained: take one out")
        try require(
            optimizer.finalShare == 0 || optimizer.decay != .constant, "optimizer.final_share",
            "is for `decay: linear` and `decay: cosine`; with `decay: constant` it does nothing")
    }

    private func evaluation() throws(RecipeError) {
        let evaluation = options.evaluation
        guard evaluation.everySteps > 0 else { return }
        try require(
            options.data.heldOutShare > 0, "data.held_out_share",
            "evaluation needs held-out prompts: set it above 0, or `evaluation.every_steps: 0`")
        let temperature = evaluation.temperature ?? options.rollout.sampling.temperature
        try require(
            evaluation.samplesPerPrompt == 1 || temperature > 0, "evaluation.samples_per_prompt",
            "must be 1 at temperature 0: greedy completions of one prompt are all equal")
    }

    private func cluster() throws(RecipeError) {
        let cluster = options.cluster
        try require(
            cluster.localLearner <= options.optimizer.shards, "cluster.local_learner",
            "must not exceed optimizer.shards (\(options.optimizer.shards)), found \(cluster.localLearner): as many "
                + "learners can share a step")
        let silence = cluster.heartbeatSeconds * Double(cluster.heartbeatsMissed)
        try require(
            cluster.leaseSeconds >= silence, "cluster.lease_seconds",
            "must be at least heartbeat_seconds × heartbeats_missed (\(silence)), found \(cluster.leaseSeconds)")
        try require(
            cluster.spotCheck == 0 || !options.schedule.inflight, "cluster.spot_check",
            "samples again and compares; with `schedule.inflight: true` nothing is sampled twice alike: set it to 0")
        try require(
            cluster.spotCheck == 0 || options.model.precision == .bfloat16, "cluster.spot_check",
            "compares bit for bit, and in float32 honest workers differ in the last digits: set "
                + "`model.precision: bfloat16`, or `cluster.spot_check: 0`")
    }
}
