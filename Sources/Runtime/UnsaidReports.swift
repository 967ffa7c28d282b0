// What a killed coordinator had stored and not yet said.

import RunStore
import Telemetry

/// Steps and evaluations of a store that have no line in the metrics file.
enum UnsaidReports {
    /// Writes them. Only whoever has the store open for writing may do so, before anything else is reported.
    static func write(from store: RunStore, to metrics: MetricsLog, _ tensorBoard: TensorBoardWriter) throws {
        let (steps, evaluations) = try metrics.missing(of: store.stepMetrics(), store.evaluations())
        for step in Set(steps.map(\.step)).union(evaluations.map(\.step)).sorted() {
            for values in steps where values.step == step {
                try metrics.append(values)
                try tensorBoard.append(values)
            }
            for evaluation in evaluations where evaluation.step == step {
                try metrics.append(evaluation)
                try tensorBoard.append(evaluation)
            }
        }
    }

    /// The same of a complete run, which nobody goes on with.
    static func write(ofComplete directory: RunDirectory) throws {
        let metrics = try MetricsLog(path: directory.metrics)
        let reading = try RunStore(reading: directory.store)
        let (steps, evaluations) = try metrics.missing(of: reading.stepMetrics(), reading.evaluations())
        if steps.isEmpty && evaluations.isEmpty { return }
        do {
            let store = try RunStore(path: directory.store)
            try write(from: store, to: metrics, try TensorBoardWriter(folder: directory.tensorBoard))
        } catch RunStoreError.locked {
            // Its coordinator is still there, and says them itself.
        }
    }
}
