// Which kernel a process takes: conformance, measurement, force.
import CKernels
import Testing

@testable import Engine

@Suite struct ExactMatmulChoiceTests {
    @Test func `the conformance constant is what the naive reference computes`() {
        let hash = referenceHash { ExactReference.dot($0, $1, from: $2) }
        #expect(hash == KernelConformance.expectedHash, "0x\(String(hash, radix: 16))")
    }

    @Test func `arithmetic that is nearly the specified one gives another hash`() {
        let flushed = ExactReference.flushed
        func dot(
            _ x: [Float], _ w: [Float], _ start: Float, oddFirst: Bool = true, _ step: (Float, Float, Float) -> Float
        ) -> Float {
            var sum = start
            let x = x.map(ExactReference.rounded) + [0]
            let w = w.map(ExactReference.rounded) + [0]
            for even in stride(from: 0, to: x.count - 1, by: 2) {
                for k in oddFirst ? [even + 1, even] : [even, even + 1] { sum = step(x[k], w[k], sum) }
            }
            return sum
        }
        let exact = referenceHash { dot($0, $1, $2) { ExactReference.fma(flushed($0), flushed($1), $2) } }
        #expect(exact == KernelConformance.expectedHash)
        let others = [
            referenceHash { dot($0, $1, $2, oddFirst: false) { ExactReference.fma(flushed($0), flushed($1), $2) } },
            referenceHash { dot($0, $1, $2) { $2.addingProduct($0, $1) } },
            referenceHash { dot($0, $1, $2) { flushed($2.addingProduct($0, $1)) } },
            referenceHash { dot($0, $1, $2) { flushed($2.addingProduct(flushed($0), flushed($1))) } },
            referenceHash { dot($0, $1, $2) { ExactReference.fma(1, flushed(flushed($0) * flushed($1)), $2) } },
        ]
        for hash in others { #expect(hash != KernelConformance.expectedHash) }
        #expect(Set(others).count == others.count)
    }

    @Test(arguments: exactKernels.map(\.name))
    func `a kernel conforms`(name: String) throws {
        let kernel = try #require(exactKernels.first { $0.name == name })
        #expect(KernelConformance.hash(kernel) == KernelConformance.expectedHash)
    }

    @Test func `a kernel that does not conform is left out and named`() throws {
        let choice = try KernelChoice.choose(forced: nil, from: ExactKernel.all) { $0.name == "scalar" }
        #expect(choice.name == "scalar")
        #expect(choice.reason == "the only one here")
        #expect(choice.refused.count == ExactKernel.all.count - 1)
        for kernel in exactKernels where kernel.name != "scalar" {
            #expect(
                choice.refused.contains(
                    KernelChoice.Refusal(name: kernel.name, reason: "its results differ from the specified ones")))
        }
        #expect(throws: KernelChoiceError(requested: nil, reason: nil, usable: [])) {
            try KernelChoice.choose(forced: nil, from: ExactKernel.all) { _ in false }
        }
    }

    @Test func `a forced kernel is taken, and refused in words when it cannot be`() throws {
        for kernel in exactKernels {
            let choice = try KernelChoice.choose(forced: kernel.name)
            #expect(choice.kernel == kernel)
            #expect(choice.reason == "ROOKERY_KERNEL asks for it")
        }
        let usable = exactKernels.map(\.name)
        do {
            _ = try KernelChoice.choose(forced: "neon")
            Issue.record("an unknown kernel was accepted")
        } catch {
            #expect(error.usable == usable)
            #expect(
                error.description == "ROOKERY_KERNEL=neon: there is no kernel of that name; expected one of "
                    + usable.joined(separator: ", ") + ", or nothing to measure")
        }
        do {
            _ = try KernelChoice.choose(forced: "avx2", from: ExactKernel.all) { $0.name == "scalar" }
            Issue.record("a kernel that does not conform was accepted")
        } catch {
            #expect(error.reason != nil && error.usable == ["scalar"])
        }
    }

    @Test func `the choice is made among all that can run, and says why`() throws {
        let choice = try KernelChoice.choose(forced: "")
        let fast = exactKernels.filter { $0.name != "scalar" }
        if fast.count > 1 {
            #expect(fast.contains(choice.kernel))
            for kernel in fast { #expect(choice.reason.contains(kernel.name + " ")) }
        }
        #expect(choice.refused.map(\.name) == ExactKernel.all.filter { !$0.isSupported }.map(\.name))
        #expect(choice.description.hasPrefix("kernel \(choice.name): \(choice.reason)"))
    }

    /// The hash of all conformance problems under another inner product, (row of x, row of w, start).
    private func referenceHash(_ dot: ([Float], [Float], Float) -> Float) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for problem in KernelConformance.problems {
            let (x, w, y) = (problem.x, problem.w, problem.y)
            for index in 0..<problem.rows * problem.columns {
                let before = ExactReference.flushed(y[index])
                let value = dot(
                    ExactReference.row(x, index / problem.columns, problem.reduction),
                    ExactReference.row(w, index % problem.columns, problem.reduction),
                    problem.mode == MATMUL_BF16_CONTINUE ? before : 0)
                KernelConformance.fold(
                    problem.mode == MATMUL_BF16_ADD ? ExactReference.flushed(before + value) : value, into: &hash)
            }
        }
        return hash
    }
}
