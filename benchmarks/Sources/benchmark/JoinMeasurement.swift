// How long do thousands of encrypted workers take to join, what do their heartbeats cost, and their memory?

import ArgumentParser
import Foundation
import Measurement
import RunStore
import Runtime

struct JoinMeasurement: ParsableCommand {
    static let name = "measure-join"
    static let configuration = CommandConfiguration(commandName: name, shouldDisplay: false)

    @Option var workers = 5000
    /// Between a worker's heartbeats.
    @Option var heartbeat = 5.0
    /// How long heartbeats are counted for.
    @Option var watch = 15

    func run() throws {
        BareContext.raiseDescriptorLimit()
        let folder = NSTemporaryDirectory() + "rookery-join-\(getpid())"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        // A leftover in the temporary folder harms nobody.
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var options = DispatchLoad.options(workers: workers, slots: 1, steps: 1)
        options.cluster.heartbeatSeconds = heartbeat
        // Nobody proves a policy here, and nobody is to be given up for it.
        options.cluster.leaseSeconds = 3600
        let ground = try DispatchGround(options: options, curve: true)
        let shell = DispatchShell(store: try RunStore(path: folder + "/run.sqlite"))
        let before = ProcessMemory.currentBytes
        let start = monotonicNanoseconds()
        let child = try WorkersProcess(
            ["--manner", "idle", "--workers", "\(workers)", "--heartbeat", "\(heartbeat)", "--seconds", "600"]
                + ground.arguments)
        var joined: Double?
        var watched: (cpu: Double, at: UInt64)?
        shell.onJoin = { [workers] count in
            if count == workers { joined = seconds(since: start) }
        }
        shell.onLook = { [workers, watch, unowned shell] in
            guard let joined else {
                if seconds(since: start) < 300 { return }
                progress("only \(shell.joinedCount) of \(workers) workers joined within 300 s")
                child.end()
                Foundation.exit(1)
            }
            guard let began = watched else {
                // A few seconds for what follows a join.
                if seconds(since: start) > joined + 3 { watched = (ProcessorTime.own, monotonicNanoseconds()) }
                return
            }
            guard seconds(since: began.at) >= Double(watch) else { return }
            let share = (ProcessorTime.own - began.cpu) / seconds(since: began.at)
            let bytes = (ProcessMemory.currentBytes - before) / Double(workers)
            print(
                Readings([
                    "joined_s": [joined], "bytes_per_worker": [bytes], "heartbeat_core_share": [share],
                ]).line)
            child.end()
            // The run itself never ends: nobody works in it.
            try? FileManager.default.removeItem(atPath: folder)  // a leftover in the temporary folder harms nobody
            Foundation.exit(0)
        }
        _ = try ground.run(shell)
    }
}
