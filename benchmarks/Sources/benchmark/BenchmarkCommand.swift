// Which questions are measured. One row a question.

import ArgumentParser

@main
struct BenchmarkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "benchmarks/run", abstract: "Measure Rookery against this machine and against its peers.",
        subcommands: [
            KernelsCase.self,
            RolloutCase.self,
            LearnCase.self,
            GradientsCase.self,
            StepCase.self,
            DispatchCase.self,
            JoinCase.self,
            WeightsCase.self,
            // What the cases above start as processes of their own.
            RolloutMeasurement.self,
            QueueMeasurement.self,
            DecodeMeasurement.self,
            LearnMeasurement.self,
            GradientsMeasurement.self,
            DispatchMeasurement.self,
            JoinMeasurement.self,
            ScriptedWorkers.self,
            WeightsMeasurement.self,
        ])
}
