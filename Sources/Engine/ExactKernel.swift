// Which kernels of the exact matrix product exist, and what this processor can run.
import CKernels

/// One implementation of the product specified in matmul_bf16.h. All give the same bits; only speed differs.
package struct ExactKernel: @unchecked Sendable {  // the pointer leads to a constant of the C target
    let implementation: UnsafePointer<matmul_bf16_kernel>

    package var name: String { String(cString: implementation.pointee.name) }
    package var isSupported: Bool { implementation.pointee.supported() != 0 }

    /// Newest instruction set first, the scalar reference last.
    package static let all: [ExactKernel] = {
        var kernels: [ExactKernel] = []
        while let next = matmul_bf16_kernel_at(Int64(kernels.count)) {
            kernels.append(ExactKernel(implementation: next))
        }
        return kernels
    }()

    static let scalarName = "scalar"

    func multiply(_ product: matmul_bf16_product) {
        withUnsafePointer(to: product) { implementation.pointee.multiply($0) }
    }
}

extension ExactKernel: Equatable {
    package static func == (left: ExactKernel, right: ExactKernel) -> Bool {
        left.implementation == right.implementation
    }
}
