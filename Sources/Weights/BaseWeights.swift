// What do adapters adapt, and how does the adapted model come out the same for everyone?

import CKernels
import Rollouts

/// A snapshot that stays as it is while adapters over it learn.
package final class BaseWeights {
    package let blob: BlobReference
    package let weightsHash: Digest
    private let snapshot: MappedSnapshot

    /// - Parameters:
    ///   - blob: what the file is.
    ///   - expected: refused when the weights' hash is another.
    package init(
        file path: String, blob: BlobReference, config: ModelConfig, expecting expected: Digest,
        parallel: ParallelLoop = WeightsHash.concurrently
    ) throws(WeightsError) {
        snapshot = try MappedSnapshot(file: path, config: config, expecting: nil, parallel: parallel)
        weightsHash = snapshot.weightsHash
        self.blob = blob
        guard weightsHash == expected else {
            throw WeightsError(
                file: path, subject: "weights hash of the base model", found: "\(weightsHash)",
                expected: "\(expected)",
                advice: "the adapters belong to another base, or the file is damaged: fetch it again")
        }
    }

    private var config: ModelConfig { snapshot.config }

    /// The whole adapted model.
    /// - Parameters:
    ///   - adapters: of `layout`.
    ///   - parameters: all tensors back to back in the config's order.
    package func merge(
        _ adapters: UnsafeBufferPointer<Float>, _ layout: AdapterLayout,
        into parameters: UnsafeMutableBufferPointer<Float>, parallel: ParallelLoop = WeightsHash.concurrently
    ) {
        snapshot.decode(into: parameters)
        update(adapters, layout, in: parameters, present: true, parallel: parallel)
    }

    /// The same where everything that has no adapter is the base's already.
    package func mergeAgain(
        _ adapters: UnsafeBufferPointer<Float>, _ layout: AdapterLayout,
        into parameters: UnsafeMutableBufferPointer<Float>, parallel: ParallelLoop = WeightsHash.concurrently
    ) {
        precondition(
            parameters.count == config.elementCount,
            "room for \(parameters.count) parameters of a model of \(config.elementCount)")
        update(adapters, layout, in: parameters, present: false, parallel: parallel)
    }

    /// Rows of one part of the work: an element depends on its own row and column alone, so parts change no bit.
    private static let partRows = 128

    private struct Part {
        var module: AdapterLayout.Module
        var rows: Range<Int>
    }

    /// - Parameter present: whether the base's values are in `parameters` already.
    private func update(
        _ adapters: UnsafeBufferPointer<Float>, _ layout: AdapterLayout,
        in parameters: UnsafeMutableBufferPointer<Float>, present: Bool, parallel: ParallelLoop
    ) {
        precondition(
            adapters.count == layout.elementCount,
            "\(adapters.count) adapter weights, the layout has \(layout.elementCount)")
        guard let values = adapters.baseAddress, let weights = parameters.baseAddress else { return }
        let parts = layout.groups.flatMap(\.modules).flatMap { module in
            stride(from: 0, to: module.outputs, by: BaseWeights.partRows).map {
                Part(module: module, rows: $0..<min($0 + BaseWeights.partRows, module.outputs))
            }
        }
        let rank = layout.options.rank
        let scale = layout.scale
        // Guard: each part writes its own rows of its own tensor and reads what nobody writes; the loop ends before
        // the memory does.
        nonisolated(unsafe) let (from, to, base) = (values, weights, snapshot)
        parallel(parts.count) { index in
            let mode = floating_mode_enter()
            defer { floating_mode_leave(mode) }
            let (module, rows) = (parts[index].module, parts[index].rows)
            let start = module.weight + rows.lowerBound * module.inputs
            let count = rows.count * module.inputs
            if !present {
                base.decode(from: start, into: UnsafeMutableBufferPointer(start: to + start, count: count))
            }
            adapter_merge(
                to + start, from + module.a, from + module.b + rows.lowerBound * rank, scale, Int64(rows.count),
                Int64(module.inputs), Int64(rank))
        }
    }
}
