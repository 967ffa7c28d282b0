// One run from open store to outcome: everything is made, used and closed here.

import Cluster
import Datasets
import Foundation
import Rollouts
import Recipes
import RunStore
import Telemetry
import Transport
import Weights

package struct RunSession {
    var options: RunOptions
    var directory: RunDirectory
    var layout: LocalLayout
    var listen: ListenPlan
    var plain: Bool
    /// Nothing on the screen but warnings.
    var quiet = false
    /// Evaluation prompts are all rows of the data, in their order, not the held-out ones.
    var asksEveryRow = false
    /// What version 0 is; nil takes the recipe's model.
    var subject: Subject?

    package func run() throws -> Int32 {
        let outcome = try execute()
        switch outcome.outcome {
        case .completed:
            for line in beforeAndAfter(outcome.evaluations) { Output.line(line) }
            Output.line(nextSteps())
            return 0
        case .interrupted(let step):
            Output.line(
                "Stopped after step \(step) of \(options.schedule.steps). Go on: the same command with --resume.")
            return 2
        case .failed(let step, let reason):
            Output.error("the run stopped after step \(step): \(reason)")
            return 1
        }
    }

    package struct Result {
        package var outcome: RunOutcome
        package var evaluations: [EvaluationReport]
    }

    /// Runs to the end; children are gone and files closed afterwards.
    package func execute() throws -> Result {
        let dataset = try Dataset.load(options.data, seed: options.seed)
        try directory.create()
        // Before the store, by which a run exists: whoever has that can resume.
        let resolved = RecipeReader.render(options)
        try resolved.write(toFile: directory.recipe, atomically: true, encoding: .utf8)
        let store = try RunStore(path: directory.store)
        let screen = Screen(options: options, run: directory.name, plain: plain || !Output.isTerminal, quiet: quiet)
        defer { screen.close() }
        let log = RunLogger(
            try RunLogFile(folder: directory.logs, process: "coordinator", echo: { _ in }), run: directory.name,
            verbose: true)
        let blobs = try BlobStore(directory: directory.blobs)
        try store.storeRecipe(resolved, options: options)

        screen.show(Note(.info, "loading the model"))
        let model =
            try subject.map { found throws in try ModelPreparation.prepare(found, blobs: blobs) }
            ?? ModelPreparation.prepare(options, blobs: blobs)
        let prompts = try PromptSource(
            dataset: dataset, tokenizer: model.tokenizer, options: options, contextTokens: model.config.contextTokens)
        let recorded = try store.checkpoints().map(\.step)
        try CheckpointStore(directory: directory.checkpoints).remove(except: recorded)
        let resumed = try Subject.newestCheckpoint(directory)
        if let resumed { try resumed.restore(into: blobs) }
        for step in recorded where step > resumed?.content.step ?? -1 { try store.removeCheckpoint(step: step) }

        try removeLeftovers(blobs)
        let differences = try StoredDifferences(blobs: blobs) { log.log($0) }

        let desk = try RequestDesk(folder: directory.requests)
        defer { desk.close() }

        let openFiles = OpenFiles.raiseLimit()
        if !listen.isEmpty, let text = OpenFiles.warning(limit: openFiles) { screen.show(Note(.warning, text)) }
        let wake = try WakePipe()
        Signals.install(wake: wake.descriptor)
        let context = try Context()
        let controlAddress = try directory.socketAddress("control")
        let blobAddress = try directory.socketAddress("blobs")
        // Before anything listens: without it nobody is let in.
        let gate = listen.encrypted.isEmpty ? nil : try AccessGate(directory, context: context, wake: wake)
        let link = try ControlServer(
            context, listen: [try Address(controlAddress)] + listen.plain, curve: gate?.listener(listen.encrypted))
        let addresses = Array(link.addresses.dropFirst())
        let blobServer = try BlobServer(
            context, listen: [try Address(blobAddress)] + listen.plain.map(ListenAddress.forBlobs),
            curve: gate?.listener(listen.encrypted.map(ListenAddress.forBlobs)),
            storage: ServedBlobs(blobs, differences: differences),
            uploaders: gate?.access.learners, relaying: true)
        try gate?.openJoining(
            listen.encrypted, control: Array(addresses.dropFirst(listen.plain.count)),
            blobs: Array(blobServer.addresses.suffix(listen.encrypted.count)))
        defer {
            gate?.stop()
            blobServer.stop()
            directory.removeSockets([controlAddress, blobAddress])
        }

        let start = try runStart(
            model: model, prompts: prompts, store: store, resumed: resumed?.content,
            blobAddress: announcedBlobs(blobServer.addresses).description, blobs: blobs)
        let workers = layout.isEmpty ? nil : try LocalWorkers(address: controlAddress, logFolder: directory.logs)
        let shell = try RunShell(
            directory: directory, options: options, store: store, blobs: blobs, prompts: prompts,
            bundle: try blobs.read(model.bundle, offset: 0, count: model.bundle.byteCount), workers: workers, log: log,
            screen: screen,
            policies: [start.checkpoint.manifest] + start.policies, evaluations: try store.evaluations())
        shell.gate = gate
        shell.differences = differences
        shell.desk = desk
        shell.isOpen = listen.isOpen
        try shell.rewind(toStep: start.checkpoint.step)
        try shell.reportUnsaid()
        for (roles, threads) in layout.processes(cores: WorkerProcess.coreCount) {
            try workers?.start(roles: roles, threads: threads)
        }
        var loop = try CoordinatorLoop(
            link: link, core: Coordinator(options: options, start: start), shell: shell, wake: wake,
            run: directory.name)
        announce(addresses, on: screen)
        let use = ProcessorUse()
        let outcome = loop.run()
        let stepsMade = try store.stepMetrics().count { $0.step > start.checkpoint.step }
        shell.note(Note(.info, use.words(steps: stepsMade, at: .now)))
        if !listen.isEmpty { loop.linger(.milliseconds(500)) }
        workers?.stop(grace: .seconds(10))
        try differences.end()
        try tidy(blobs, proof: start.welcome.blobDirectoryProof, after: outcome)
        return Result(outcome: outcome, evaluations: shell.evaluations)
    }

    private func runStart(
        model: PreparedModel, prompts: PromptSource, store: RunStore, resumed: Checkpoint?, blobAddress: String,
        blobs: BlobStore
    ) throws -> RunStart {
        let proof = ".seen-\(UInt64.random(in: 0 ..< .max))"
        guard FileManager.default.createFile(atPath: directory.blobs + "/" + proof, contents: nil) else {
            throw RuntimeError("cannot write in `\(directory.blobs)`: \(errnoText())")
        }
        let welcome = Welcome(
            run: directory.name, options: options, modelBundle: model.bundle, blobAddress: blobAddress,
            blobDirectory: directory.blobs, blobDirectoryProof: proof)
        var fresh = RunStart(
            run: directory.name, checkpoint: Checkpoint(step: 0, manifest: model.base, nextPosition: 0),
            welcome: welcome,
            evaluationPrompts: try prompts.evaluation(options.evaluation.prompts, everyRow: asksEveryRow),
            vocabularyCount: model.config.vocabularySize)
        if let pretrain = options.model.pretrain { fresh.pretraining = try prompts.pretraining(pretrain) }
        if store.leaseEpoch() == 0 { return fresh }
        var start = RunHistory(try store.records()).resumed(fresh, leaseEpoch: store.leaseEpoch())
        if let resumed {
            start.checkpoint = resumed
            start.pretraining = nil
        } else {
            start.checkpoint = fresh.checkpoint
            start.pretraining = fresh.pretraining
        }
        return start
    }

    /// What a killed process of this run left half-written or unsaid.
    private func removeLeftovers(_ blobs: BlobStore) throws {
        try blobs.removeLeftovers()
        for blob in try blobs.list() where GradientSnapshot.isPart(file: blobs.path(for: blob)) {
            try blobs.remove(blob)
        }
        try CheckpointStore(directory: directory.checkpoints).removeLeftovers()
        for name in try FileManager.default.contentsOfDirectory(atPath: directory.blobs)
        where name.hasPrefix(".seen-") {
            try FileManager.default.removeItem(atPath: directory.blobs + "/" + name)
        }
    }

    /// A complete run keeps its checkpoints, which have the same bytes under names of their own. An interrupted one
    /// keeps the blobs too: a lag needs versions that are in no checkpoint.
    private func tidy(_ blobs: BlobStore, proof: String, after outcome: RunOutcome) throws {
        unlink(directory.blobs + "/" + proof)
        guard case .completed = outcome else { return }
        for blob in try blobs.list() { try blobs.remove(blob) }
        rmdir(directory.blobs)
    }

    /// Workers that see the run's folder need none; the others are on TCP.
    private func announcedBlobs(_ addresses: [Address]) -> Address {
        let tcp = addresses.first { if case .tcp = $0 { true } else { false } }
        return tcp ?? addresses.dropFirst().first ?? addresses[0]
    }

    private func announce(_ addresses: [Address], on screen: Screen) {
        for address in addresses.prefix(listen.plain.count) {
            let joined = address.seen(from: .tcp(host: ProcessInfo.processInfo.hostName, port: 0))
            screen.say("Workers join with: worker join \(joined)\(joined.isLoopback ? "" : " --insecure")")
        }
        let encrypted = addresses.dropFirst(listen.plain.count)
        if !encrypted.isEmpty {
            let runs = (directory.shown as NSString).deletingLastPathComponent
            let command = "coordinator invite \(directory.name)" + (runs == "runs" ? "" : " --runs \(runs)")
            let places = encrypted.map(\.description).joined(separator: ", ")
            screen.say("Listening, encrypted, on \(places). Workers join with a token: \(command)")
        }
    }

    private func nextSteps() -> String {
        let program = CommandLine.arguments.first ?? "coordinator"
        let runs = (directory.shown as NSString).deletingLastPathComponent
        let place = runs == "runs" ? "" : " --runs \(runs)"
        let export = options.lora == nil
            ? "--format gguf\(place)\n    take it elsewhere (or --format safetensors)"
            : "--format safetensors\(place)\n    take the adapters to PEFT (with --merge the adapted model, gguf too)"
        return """

            Everything is in \(directory.shown)/: metrics.jsonl (one object a step), tensorboard/, checkpoints/, logs/.
            Try next:
              \(program) sample \(directory.name)\(place)
                talk to the trained model
              \(program) export \(directory.name) \(export)
              \(program) start \(directory.shown)/recipe.yaml --set verifier.shuffle=true --name control\(place)
                the same with rewards that say nothing
            """
    }
}

/// The table a run ends with: the first evaluation against the last.
func beforeAndAfter(_ evaluations: [EvaluationReport]) -> [String] {
    guard let first = evaluations.min(by: { $0.step < $1.step }), let last = evaluations.max(by: { $0.step < $1.step })
    else { return [] }
    return [""] + (first.step == last.step ? Summary.lines(last) : Summary.lines(before: first, after: last))
}
