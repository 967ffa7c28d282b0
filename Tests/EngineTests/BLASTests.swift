// Does OpenBLAS use what the processor can do, also on processors it does not know by name?
import CKernels
import Engine
import Foundation
import Testing

@Suite struct BLASTests {
    @Test(.enabled(if: ProcessInfo.processInfo.environment["OPENBLAS_CORETYPE"] == nil))
    func `the kernels match the processor's vectors`() {
        let avx512 = ["SkylakeX", "Cooperlake", "SapphireRapids"]
        switch processor_vector_level() {
        case 2: #expect(avx512.contains(BLAS.kernelName))
        case 1: #expect(["Haswell", "Zen", "Excavator"].contains(BLAS.kernelName))
        default: #expect(!avx512.contains(BLAS.kernelName))
        }
        #expect(ProcessInfo.processInfo.environment["OPENBLAS_CORETYPE"] == nil)
    }
}
