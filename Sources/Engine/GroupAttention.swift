// How attention of many groups is spread over threads.
import CKernels

/// Attention of a flat batch: one part of work for each (group, key head).
final class GroupAttention {
    let shape: attention_shape
    private let threads: ThreadPool
    private let workspace = FloatBuffer(count: 0)

    init(shape: attention_shape, threads: ThreadPool) {
        self.shape = shape
        self.threads = threads
    }

    func forward(_ block: BlockRows, batch: FlatBatch) {
        each(batch) { group, keyHead, workspace in
            attention_forward(
                block.attended, block.kept?.logSums, block.projections, shape, group, Int64(keyHead), workspace)
        }
    }

    /// d_projections (T, P) ← from d_attended (T, heads·head dimension); queries and keys still rotated.
    func backward(
        _ block: BlockRows, batch: FlatBatch, from dAttended: UnsafePointer<Float>,
        into dProjections: UnsafeMutablePointer<Float>
    ) {
        guard let logSums = block.kept?.logSums else { preconditionFailure("GroupAttention: nothing was kept") }
        each(batch) { group, keyHead, workspace in
            attention_backward(
                dProjections, dAttended, block.attended, logSums, block.projections, shape, group, Int64(keyHead),
                workspace)
        }
    }

    private func each(
        _ batch: FlatBatch, _ body: (UnsafePointer<attention_group>, Int, UnsafeMutablePointer<Float>) -> Void
    ) {
        let keyHeads = Int(shape.key_heads)
        batch.starts.withUnsafeBufferPointer { starts in
            batch.counts.withUnsafeBufferPointer { counts in
                let groups = batch.groups.map { group in
                    attention_group(
                        prompt_start: Int64(group.promptStart), prompt_count: Int64(group.promptCount),
                        completion_count: Int64(group.completions.count),
                        starts: starts.baseAddress.map { $0 + group.completions.lowerBound },
                        counts: counts.baseAddress.map { $0 + group.completions.lowerBound })
                }
                let sizes = groups.map { group in Int(attention_workspace(shape, [group])) }
                let size = (sizes.max()! + 15) / 16 * 16
                let parts = groups.count * keyHeads
                // Scratch memory for each part that can run at once: a part takes the slot of its turn.
                let scratch = ScratchSlots(workspace.reserve(size * threads.threadCount), size, threads.threadCount)
                groups.withUnsafeBufferPointer { groups in
                    threads.parallel(parts) { part in
                        scratch.with { body(groups.baseAddress! + part / keyHeads, part % keyHeads, $0) }
                    }
                }
            }
        }
    }
}
