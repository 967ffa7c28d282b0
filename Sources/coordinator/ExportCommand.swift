// `coordinator export`: a run's policy as files other programs load.

import ArgumentParser
import Runtime

struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write a run's newest checkpoint (or a model) as a Hugging Face folder or a GGUF file.")

    enum Format: String, ExpressibleByArgument, CaseIterable { case safetensors, gguf }
    enum ElementType: String, ExpressibleByArgument, CaseIterable { case f32, f16, bf16 }

    @Argument(help: "A run's name, or a model (GGUF file or Hugging Face folder).")
    var subject: String

    @Option(help: "safetensors (a folder that transformers loads) or gguf (a file that llama.cpp loads).")
    var format: Format

    @Option(help: "f32, f16 or bf16.")
    var type: ElementType = .f32

    @Flag(help: "Of a run with `lora`: the model with its adapters merged in, instead of the adapters for PEFT.")
    var merge = false

    @Option(help: "Where to write. Default: runs/NAME/export or the model's name in the working directory.")
    var output: String?

    @Option(help: "Where runs are kept.")
    var runs: String = "runs"

    func run() throws {
        try runOrExplain {
            try ExportJob(
                subject: subject, format: format.rawValue, elementType: type.rawValue, merge: merge, output: output,
                runs: runs
            ).run()
        }
    }
}
