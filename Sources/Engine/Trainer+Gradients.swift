// How a sum of gradients is put together from parts: moved aside, added, replaced.
import CKernels
import Glibc

/// One gradient, as large as what is trained.
package final class GradientBuffer {
    fileprivate let buffer: FloatBuffer
    fileprivate init(count: Int) { buffer = FloatBuffer(count: count) }
    package var values: UnsafeBufferPointer<Float> { UnsafeBufferPointer(buffer.all) }
}

extension Trainer {
    /// Numbers in a gradient.
    package var gradientCount: Int { trained.count }
    /// The sum since the last update or clearing.
    package var gradientSum: UnsafeBufferPointer<Float> {
        UnsafeBufferPointer(start: trained.gradients, count: trained.count)
    }

    package func clearGradients() {
        memset(trained.gradients, 0, trained.count * MemoryLayout<Float>.stride)
    }

    /// The sum moves into a buffer; zeros are left.
    /// - Parameter spare: used where there is one.
    package func moveGradients(into spare: GradientBuffer? = nil) -> GradientBuffer {
        let aside = spare ?? GradientBuffer(count: trained.count)
        precondition(aside.buffer.count == trained.count, "a buffer of another model's gradient")
        memcpy(aside.buffer.base, trained.gradients, trained.count * MemoryLayout<Float>.stride)
        clearGradients()
        return aside
    }

    /// The sum becomes these numbers, bit for bit.
    /// - Precondition: `gradientCount` numbers.
    package func setGradients(_ values: UnsafeBufferPointer<Float>) {
        precondition(values.count == trained.count, "\(values.count) numbers for \(trained.count) weights")
        memcpy(trained.gradients, values.baseAddress!, trained.count * MemoryLayout<Float>.stride)
    }

    /// Each number of the sum grows by its own: one addition each, so the order of the two does not matter.
    /// - Precondition: `gradientCount` numbers.
    package func addGradients(_ values: UnsafeBufferPointer<Float>) {
        precondition(values.count == trained.count, "\(values.count) numbers for \(trained.count) weights")
        let (count, size) = (trained.count, OptimizerState.partSize)
        let (sum, values) = (trained.gradients, values.baseAddress!)
        model.threads.parallel((count + size - 1) / size) { part in
            let at = part * size
            rows_sum_columns(sum, values, 1, Int64(count), Int64(at), Int64(min(at + size, count)))
        }
    }
}
