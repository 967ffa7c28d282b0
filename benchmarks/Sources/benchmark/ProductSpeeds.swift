// The exact product in GFLOP/s: every instruction set, cold and cached weights, one thread and all.

import Engine
import Measurement

struct ProductSpeeds {
    static let rowCounts = [1, 4, 8, 16, 32, 64, 128, 512]

    private enum Weights: Hashable { case cold, cached }
    private struct Key: Hashable {
        var shape: String
        var rows: Int
        var kernel: String
        var weights: Weights
        var threads: Int
    }

    let threads: ThreadPool
    let chosen: ExactKernel
    let rowCounts: [Int]
    let rounds: Int
    let coldBytes: Int
    /// Seconds that a measurement takes at least.
    let least: Double
    private let single = ThreadPool(threadCount: 1)
    /// Operations a second, once for each round.
    private var speeds: [Key: [Double]] = [:]

    init(threads: ThreadPool, chosen: ExactKernel, rowCounts: [Int], rounds: Int, coldBytes: Int, least: Double) {
        self.threads = threads
        self.chosen = chosen
        self.rowCounts = rowCounts
        self.rounds = rounds
        self.coldBytes = coldBytes
        self.least = least
    }

    private var threadCount: Int { threads.threadCount }

    mutating func measure(_ shape: ProductShape) {
        let bench = ProductBench(shape, rows: rowCounts.max()!, coldBytes: coldBytes, threads: threads)
        for _ in 0..<rounds {
            for rows in rowCounts {
                for kernel in ExactKernel.all where kernel.isSupported {
                    // The scalar reference is hundreds of times slower: enough to see that.
                    if kernel.name == "scalar", rows * shape.outputs * shape.inputs > 8_000_000 { continue }
                    record(shape, rows, kernel, .cold, threads, bench)
                }
                record(shape, rows, chosen, .cached, threads, bench)
                if threadCount > 1 { record(shape, rows, chosen, .cold, single, bench) }
            }
        }
    }

    /// Another round of what a peer is compared with.
    mutating func measureChosen(_ shape: ProductShape) {
        let bench = ProductBench(shape, rows: rowCounts.max()!, coldBytes: coldBytes, threads: threads)
        for rows in rowCounts { record(shape, rows, chosen, .cold, threads, bench) }
    }

    private mutating func record(
        _ shape: ProductShape, _ rows: Int, _ kernel: ExactKernel, _ weights: Weights, _ threads: ThreadPool,
        _ bench: ProductBench
    ) {
        let seconds = bench.seconds(
            rows: rows, kernel: kernel, cold: weights == .cold, threads: threads, least: least)
        let key = Key(
            shape: shape.name, rows: rows, kernel: kernel.name, weights: weights, threads: threads.threadCount)
        speeds[key, default: []].append(2 * Double(rows * shape.inputs * shape.outputs) / seconds)
    }

    private func spread(
        _ shape: ProductShape, _ rows: Int, _ kernel: String, _ weights: Weights, threads: Int? = nil
    ) -> Spread? {
        let key = Key(
            shape: shape.name, rows: rows, kernel: kernel, weights: weights, threads: threads ?? threadCount)
        return speeds[key].flatMap { Spread($0.map { $0 / 1e9 }) }
    }

    /// What a peer is told to measure.
    func arguments(_ shapes: [ProductShape]) -> [String] {
        [
            "--shapes", shapes.map(\.name).joined(separator: ","), "--rows",
            rowCounts.map(String.init).joined(separator: ","), "--cold-bytes", String(coldBytes), "--least",
            String(least),
        ]
    }

    // MARK: - What was found

    private func ceiling(_ kernel: String, _ machine: Machine) -> Double? {
        // The scalar reference has no peak of its own.
        machine.peak(named: kernel).map { $0.all / 1e9 }
    }

    func findings(_ shapes: [ProductShape], _ machine: Machine, peer: Readings) -> [Finding] {
        var findings: [Finding] = []
        for shape in shapes {
            for rows in rowCounts {
                let name = "product_\(shape.name)_rows\(rows)"
                if let own = spread(shape, rows, chosen.name, .cold) {
                    let theirs = peer.spread(name).map { [PeerValue(peer: "PyTorch bf16", value: $0)] } ?? []
                    findings.append(
                        Finding(name, own, unit: "GFLOP/s", peers: theirs, ceiling: ceiling(chosen.name, machine)))
                }
                if let cached = spread(shape, rows, chosen.name, .cached) {
                    findings.append(
                        Finding("\(name)_cached", cached, unit: "GFLOP/s", ceiling: ceiling(chosen.name, machine)))
                }
                for kernel in ExactKernel.all where kernel != chosen {
                    guard let other = spread(shape, rows, kernel.name, .cold) else { continue }
                    findings.append(Finding(
                        "\(name)_\(kernel.name)", other, unit: "GFLOP/s", ceiling: ceiling(kernel.name, machine)))
                }
                if let gain = gain(shape, rows) {
                    findings.append(Finding(
                        "thread_gain_\(shape.name)_rows\(rows)", gain, unit: "× one thread",
                        ceiling: Double(threadCount)))
                }
            }
        }
        return findings
    }

    /// Speed of all threads over that of one.
    private func gain(_ shape: ProductShape, _ rows: Int) -> Spread? {
        guard threadCount > 1, let all = spread(shape, rows, chosen.name, .cold),
            let one = spread(shape, rows, chosen.name, .cold, threads: 1)
        else { return nil }
        return Spread(all.median / one.median)
    }

    /// The whole of a layer stack's shapes in one number: where is it at 64 rows?
    func summary(_ shapes: [ProductShape], _ machine: Machine) -> [Finding] {
        shapes.compactMap { shape in
            spread(shape, 64, chosen.name, .cold).map {
                Finding("\(shape.name), 64 rows", $0, unit: "GFLOP/s", ceiling: ceiling(chosen.name, machine))
            }
        }
    }

    func tables(_ shapes: [ProductShape], _ machine: Machine) -> [(title: String, table: TextTable)] {
        var tables: [(title: String, table: TextTable)] = []
        func add(_ title: String, _ cell: (ProductShape, Int) -> String) {
            var table = TextTable(["rows"] + shapes.map(\.name))
            for rows in rowCounts { table.add([String(rows)] + shapes.map { cell($0, rows) }) }
            tables.append((title, table))
        }
        for kernel in ExactKernel.all where kernel.isSupported {
            let peak = ceiling(kernel.name, machine)
            add("\(kernel.name), cold weights: GFLOP/s, share of its peak") { shape, rows in
                cell(spread(shape, rows, kernel.name, .cold), peak)
            }
        }
        add("\(chosen.name), cached weights") { shape, rows in
            cell(spread(shape, rows, chosen.name, .cached), ceiling(chosen.name, machine))
        }
        add("\(chosen.name), cold weights: \(threadCount) threads over one") { shape, rows in
            gain(shape, rows).map { ratioText($0.median) } ?? ""
        }
        return tables
    }

    private func cell(_ spread: Spread?, _ peak: Double?) -> String {
        guard let spread else { return "" }
        return numberText(spread.median) + (peak.map { " " + shareText(spread.median / $0) } ?? "")
    }
}

/// Operands of one shape: rows, and as many copies of the weights as the caches cannot hold.
private final class ProductBench {
    private let shape: ProductShape
    private let x, y: UnsafeMutablePointer<Float>
    private let copies: [PackedWeights]
    private let workspace = ExactWorkspace()
    private var next = 0

    init(_ shape: ProductShape, rows: Int, coldBytes: Int, threads: ThreadPool) {
        self.shape = shape
        x = Self.numbers(rows * shape.inputs)
        y = Self.numbers(rows * shape.outputs)
        let source = Self.numbers(shape.inputs * shape.outputs)
        defer { source.deallocate() }
        let count = max(1, coldBytes / (2 * shape.inputs * shape.outputs))
        copies = (0..<count).map { _ in
            let packed = PackedWeights(outputs: shape.outputs, inputs: shape.inputs, direction: .forward)
            packed.update(from: UnsafePointer(source), version: 1, threads: threads)
            return packed
        }
    }

    deinit {
        x.deallocate()
        y.deallocate()
    }

    func seconds(rows: Int, kernel: ExactKernel, cold: Bool, threads: ThreadPool, least: Double) -> Double {
        let linear = ExactLinear(kernel: kernel, outputs: shape.outputs, inputs: shape.inputs)
        return timings(rounds: 1, least: least) {
            if cold { next = (next + 1) % copies.count }
            linear.forward(
                UnsafePointer(x), copies[next], into: y, rows: rows, workspace: workspace, threads: threads)
        }[0]
    }

    /// Of a model's magnitudes.
    private static func numbers(_ count: Int) -> UnsafeMutablePointer<Float> {
        let values = UnsafeMutablePointer<Float>.allocate(capacity: count)
        var state: UInt32 = 1
        for index in 0..<count {
            state = state &* 1_664_525 &+ 1_013_904_223
            values[index] = Float(state >> 8) * 0x1p-24 - 0.5
        }
        return values
    }
}
