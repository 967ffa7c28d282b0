// Which OpenBLAS kernels run, and on how many threads: decided once for the process.
import CKernels
import COpenBLAS
import Glibc

package enum BLAS {
    /// One thread inside OpenBLAS: our own pool splits each product, so both never compete for the processors.
    static let prepared: Void = {
        selectKernels()
        openblas_set_num_threads(1)
    }()

    /// OpenBLAS knows processors by model number and falls back to SSE for one it does not know, at a fifth of the
    /// speed. If the processor can do more than the chosen kernels, choose again by what it can do. A user's own
    /// OPENBLAS_CORETYPE is left alone.
    private static func selectKernels() {
        let variable = "OPENBLAS_CORETYPE"
        guard getenv(variable) == nil, let name = openblas_get_corename() else { return }
        let chosen = String(cString: name)
        let avx512 = ["SkylakeX", "Cooperlake", "SapphireRapids"]
        let avx2 = ["Haswell", "Zen", "Excavator"]
        let better: String
        switch processor_vector_level() {
        case 2 where !avx512.contains(chosen): better = "SkylakeX"
        case 1 where !avx2.contains(chosen): better = "Haswell"
        default: return
        }
        typealias Function = @convention(c) () -> Void
        guard let quit = dlsym(nil, "gotoblas_dynamic_quit"), let initialize = dlsym(nil, "gotoblas_dynamic_init")
        else {
            return  // built for one processor only: there is nothing to choose from
        }
        setenv(variable, better, 0)
        unsafeBitCast(quit, to: Function.self)()
        unsafeBitCast(initialize, to: Function.self)()
        unsetenv(variable)
    }

    /// What OpenBLAS calls the kernels in use, for logs and measurements.
    package static var kernelName: String {
        _ = prepared
        return openblas_get_corename().map { String(cString: $0) } ?? "unknown"
    }
}
