// Where the peers are, and the models they need.

import Foundation

struct Peers {
    private let python: String
    private let threads: Int
    /// Rookery's folder; the working directory of every command.
    private static let folder = "benchmarks"
    private static let models = folder + "/.models"

    /// - Throws: in words, when there is no environment.
    init(threads: Int) throws {
        let environment = ProcessInfo.processInfo.environment["ROOKERY_PEERS"] ?? Self.folder + "/.peers"
        python = environment + "/bin/python"
        self.threads = threads
        guard FileManager.default.isExecutableFile(atPath: python) else {
            throw BenchmarkError(
                "there is no `\(python)`: benchmarks/peers/setup makes the peers' environment; ROOKERY_PEERS names "
                    + "another place")
        }
    }

    /// One of benchmarks/peers/*.py.
    func process(_ script: String, _ arguments: [String]) -> MeasuringProcess {
        MeasuringProcess(
            executable: python,
            arguments: ["\(Self.folder)/peers/\(script)", "--threads", String(threads)] + arguments,
            environment: [
                "OMP_NUM_THREADS": String(threads), "MKL_NUM_THREADS": String(threads), "HF_HUB_OFFLINE": "1",
                "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONWARNINGS": "ignore",
                "TQDM_DISABLE": "1", "PYTHONDONTWRITEBYTECODE": "1",
            ])
    }

    /// A Hugging Face folder (float32) of the model, made when it is not there.
    static func huggingFaceFolder(of model: String) throws -> String {
        try exported(model, "hf", ["--format", "safetensors"])
    }

    /// A GGUF file of the model with bfloat16 matrices, made when it is not there.
    static func bfloat16File(of model: String) throws -> String {
        try exported(model, "bf16.gguf", ["--format", "gguf", "--type", "bf16"])
    }

    private static func exported(_ model: String, _ kind: String, _ options: [String]) throws -> String {
        let stem = URL(fileURLWithPath: model).deletingPathExtension().lastPathComponent
        let target = "\(models)/\(stem)-\(kind)"
        if FileManager.default.fileExists(atPath: target) { return target }
        progress("exporting \(model) to \(target)")
        try FileManager.default.createDirectory(atPath: models, withIntermediateDirectories: true)
        // Under another name first: an interrupted export is not taken for a whole one.
        let partial = "\(models)/partial-\(kind)"
        if FileManager.default.fileExists(atPath: partial) { try FileManager.default.removeItem(atPath: partial) }
        let program = try Programs.coordinator()
        _ = try MeasuringProcess(
            executable: program, arguments: ["export", model] + options + ["--output", partial]
        ).output()
        try FileManager.default.moveItem(atPath: partial, toPath: target)
        return target
    }
}

/// Rookery's own programs.
enum Programs {
    static func coordinator() throws -> String {
        let path = ".build/release/coordinator"
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw BenchmarkError("there is no `\(path)`: start this by benchmarks/run, which builds it")
        }
        return path
    }
}
