// The head node's program: one command line, one subcommand a file.

import ArgumentParser
import Runtime

@main
struct CoordinatorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coordinator",
        abstract: "Reinforcement learning for language models on the machines you have.",
        discussion: """
            Start with `coordinator start cluster/recipes/quickstart.yaml`. Other machines help with \
            `worker join TOKEN` (`coordinator invite` makes tokens). What a run does, sees and keeps is in runs/NAME/.
            """,
        subcommands: [
            StartCommand.self, PlanCommand.self, StatusCommand.self, EvaluateCommand.self, ScoreCommand.self,
            SampleCommand.self, VerifyCommand.self, ExportCommand.self, InviteCommand.self, WorkersCommand.self,
            PauseCommand.self, ResumeCommand.self, StopCommand.self, DrainCommand.self,
        ])
}

/// Errors as one line on standard error and a non-zero status, never a trace.
func runOrExplain(_ body: () throws -> Int32) throws {
    let status: Int32
    do {
        status = try body()
    } catch let error as ExitCode {
        throw error
    } catch let error as ValidationError {
        throw error
    } catch {
        Output.error("\(error)")
        throw ExitCode(1)
    }
    if status != 0 { throw ExitCode(status) }
}
