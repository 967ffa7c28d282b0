// Are the float64 functions within their stated errors, and the same everywhere?
import CKernels
import Foundation
import Testing

@Suite struct FunctionTests {
    @Test func `logarithms`() {
        var x = 1e-300
        while x < 1e300 {
            #expect(abs(exact_log(x) - log(x)) < 1e-15 * (1 + abs(log(x))))
            x *= 1.37
        }
        #expect(exact_log(1) == 0)
        for x in stride(from: -0.5, through: 1, by: 0.000_71) + [1e-20, -1e-20, 1e-9, 3e-16] {
            #expect(abs(exact_log1p(x) - log1p(x)) <= 2e-15 * abs(x) + 1e-16)
        }
    }

    @Test func `exponentials`() {
        for x in stride(from: -707.9, through: 709, by: 0.0317) {
            #expect(abs(exact_exp(x) / exp(x) - 1) < 1e-15)
        }
        #expect(exact_exp(0) == 1 && exact_exp(-.infinity) == 0 && exact_exp(-708) == 0)
        #expect(exact_exp(709.5) == .infinity && exact_exp(.infinity) == .infinity && exact_exp(.nan).isNaN)
        for x in stride(from: -40, through: 40, by: 0.000_913) + [1e-18, -1e-12, 0.3466, -0.3466] {
            #expect(abs(exact_expm1(x) - expm1(x)) <= 1.5e-15 * abs(expm1(x)))
        }
        #expect(exact_expm1(0) == 0 && exact_expm1(-800) == -1 && exact_expm1(.nan).isNaN)
    }

    /// Taken once, written as bits: another compiler, C library or processor must give these.
    @Test func `their bits are fixed`() {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for index in 0..<4380 {
            let x = -30 + Double(index) * 0.0137
            for value in [exact_exp(x), exact_expm1(x), exact_log(abs(x) + 1e-9), exact_power(abs(x) + 0.5, x / 7)] {
                hash = (hash ^ value.bitPattern) &* 0x100_0000_01b3
            }
        }
        #expect(hash == 0x5791_41dc_5ab5_8144, "\(String(hash, radix: 16))")
    }
}
