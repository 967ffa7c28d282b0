// Runs seeds of the simulator and says which one fails, with the command that replays it.

import ArgumentParser
import Simulation

#if canImport(Glibc)
    import Glibc
#endif

@main
struct Simulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Run the cluster's real core in a simulated world that breaks it, one world per seed.",
        discussion: """
            Every seed is a run, a cluster and a mix of faults: connections that break, clog, delay and duplicate; \
            workers, learners and coordinators that crash at any moment; verifiers that fail. Invariants are checked \
            after every event. Then the world heals, and the run must complete with the weights of an undisturbed run.
            """)

    @Option(name: .long, help: "How many seeds to run.")
    var seeds: UInt64 = 100

    @Option(name: .long, help: "The first seed.")
    var first: UInt64 = 1

    @Option(
        name: .long,
        help: """
            small, brief (short runs: the most seeds a second), wide (many workers), long (many steps) or vast \
            (10,000 workers).
            """)
    var scenario = Scenario.Size.small

    @Option(
        name: .long,
        help: """
            Break the simulation's own shell on purpose, to see that the checkers notice: forget-records, \
            send-before-persist, train-unordered, sample-stale or forget-optimizer.
            """)
    var sabotage: Sabotage?

    @Flag(name: .long, help: "Print everything that happens in each world.")
    var trace = false

    @Flag(name: .long, help: "Go on after a failure.")
    var keepGoing = false

    func run() throws {
        var narrate: (@Sendable (String) -> Void)?
        if trace { narrate = { (line: String) in print(line) } }
        var marks = Marks()
        var eventCount = 0
        var failureCount = 0
        var simulatedSeconds = 0.0
        let clock = ContinuousClock()
        let begin = clock.now
        for seed in first..<first + seeds {
            runningSeed.pointee = seed
            signal(SIGILL, printRunningSeed)
            signal(SIGTRAP, printRunningSeed)
            let result = Simulator.run(seed: seed, size: scenario, sabotage: sabotage, narrate: narrate)
            marks.add(result.marks)
            eventCount += result.eventCount
            simulatedSeconds += result.simulatedTime.inSeconds
            if let failure = result.failure {
                failureCount += 1
                print("seed \(seed) FAILED after \(result.eventCount) events: \(failure)")
                print("replay: \(replay(seed))")
                if !keepGoing { break }
            } else if seeds == 1 {
                print(
                    "seed \(seed): \(result.eventCount) events, trace \(result.traceHash), weights "
                        + (result.finalWeights?.description ?? "none"))
            }
        }
        let seconds = (clock.now - begin).inSeconds
        print(
            "\(seeds) seeds, \(Int(Double(seeds) / max(seconds, 1e-9))) seeds/s, \(eventCount) events, "
                + "\(Int(simulatedSeconds)) simulated seconds, \(marks.faultCount) faults, \(failureCount) failed")
        for mark in Marks.Mark.allCases { print("  \(mark): \(marks[mark])") }
        if failureCount > 0 { throw ExitCode.failure }
    }

    private func replay(_ seed: UInt64) -> String {
        "simulate --seeds 1 --first \(seed) --scenario \(scenario.rawValue)"
            + (sabotage.map { " --sabotage \($0.rawValue)" } ?? "")
    }
}

extension Scenario.Size: ExpressibleByArgument {}
extension Sabotage: ExpressibleByArgument {}

/// Written by the one thread before each seed, read by the signal handler of the same thread.
nonisolated(unsafe) private let runningSeed: UnsafeMutablePointer<UInt64> = {
    let pointer = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
    pointer.initialize(to: 0)
    return pointer
}()

/// A trap of the core kills the process: say which seed it was, with calls that are safe in a signal handler.
private func printRunningSeed(_ number: Int32) {
    signal(number, SIG_DFL)
    var text: StaticString = "seed "
    write(2, text.utf8Start, text.utf8CodeUnitCount)
    var place: UInt64 = 1
    while runningSeed.pointee / place >= 10 { place *= 10 }
    while place > 0 {
        var digit = UInt8(ascii: "0") + UInt8(runningSeed.pointee / place % 10)
        write(2, &digit, 1)
        place /= 10
    }
    text = " trapped; replay it with simulate --seeds 1 --first and this number\n"
    write(2, text.utf8Start, text.utf8CodeUnitCount)
    raise(number)
}
