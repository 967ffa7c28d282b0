// How near do the kernels come to what the processor can do?

import ArgumentParser
import Engine
import Measurement
import Rollouts
import Weights

struct KernelsCase: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kernels",
        abstract: "The exact product by shape, rows and instruction set against the processor's peak; attention.",
        discussion: """
            Weights are cold: each call takes the next of so many copies that they exceed the caches, as the layers of \
            a decode step do. --peer: PyTorch's bfloat16 product (oneDNN) on the same shapes.
            """)

    @OptionGroup var options: CommonOptions

    @Option(help: "MiB of copies of each weight matrix that cold calls cycle through.")
    var coldMib = 340

    func validate() throws {
        guard (1...65_536).contains(coldMib) else { throw ValidationError("--cold-mib \(coldMib): from 1 to 65536") }
    }

    func run() throws {
        var machine = Machine(threads: options.threads)
        let choice = try KernelChoice.current
        let shapes = try ProductShape.layers(of: options.model)
        let peers = try options.peer ? Peers(threads: options.threads) : nil
        let rowCounts = options.quick ? [1, 8, 64] : ProductSpeeds.rowCounts
        var speeds = ProductSpeeds(
            threads: machine.threads, chosen: choice.kernel, rowCounts: rowCounts, rounds: options.roundCount,
            coldBytes: coldMib << 20, least: options.quick ? 0.01 : 0.05)
        for shape in shapes {
            progress("products \(shape.name)")
            speeds.measure(shape)
        }
        var theirs = Readings()
        if let peers {
            for round in 1...options.roundCount {
                progress("PyTorch, round \(round)/\(options.roundCount); ours again")
                theirs.append(try peers.process("kernels_torch.py", speeds.arguments(shapes)).readings())
                for shape in shapes { speeds.measureChosen(shape) }
            }
        }
        progress("attention and sampling")
        var attention = try AttentionSpeeds(
            model: options.model, threads: machine.threads, rounds: options.roundCount, quick: options.quick)
        attention.measure()
        machine.measure()
        let findings = speeds.findings(shapes, machine, peer: theirs)
        let others = attention.findings(machine.ceiling(.float32))
        let circumstances = machine.circumstances(options) + [
            ("kernel in use", "\(choice)"), ("cold", "\(coldMib) MiB of copies of each matrix"),
        ]
        let compared = findings.filter { !$0.peers.isEmpty }
        let shown = compared + speeds.summary(shapes, machine) + others
        try options.publish(
            Report(benchmark: "kernels", circumstances: circumstances, findings: findings + others), shown: shown,
            details: speeds.tables(shapes, machine))
    }
}

/// One matrix of the model: `inputs` terms a sum, `outputs` results a row.
struct ProductShape {
    let inputs, outputs: Int
    var name: String { "\(inputs)x\(outputs)" }

    /// Output projection, half of gate and up, down, head.
    static func layers(of model: String) throws -> [ProductShape] {
        let cost = try ModelCost(path: model)
        let (hidden, inner) = (cost.hiddenSize, cost.intermediateSize)
        return [(hidden, hidden), (hidden, inner), (inner, hidden), (hidden, cost.vocabularySize)].map {
            ProductShape(inputs: $0.0, outputs: $0.1)
        }
    }
}
