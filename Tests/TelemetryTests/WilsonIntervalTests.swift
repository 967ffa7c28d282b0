// Is the interval around a counted share the one in the books?

import Testing

@testable import Telemetry

@Suite struct `The Wilson interval` {
    /// By hand: ((p + z²/2n) ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n) with z² = 3.841459.
    @Test(arguments: [
        (5, 10, 0.236593, 0.763407), (1, 10, 0.017876, 0.404150), (20, 64, 0.212311, 0.433923),
        (28, 64, 0.322940, 0.559138), (500, 1000, 0.469070, 0.530930),
    ])
    func `of shares in the middle`(right: Int, judged: Int, lower: Double, upper: Double) {
        let interval = wilsonInterval(right: right, of: judged)
        #expect(abs(interval.lowerBound - lower) < 5e-7)
        #expect(abs(interval.upperBound - upper) < 5e-7)
    }

    @Test func `of nothing and of everything ends at 0 and 1`() {
        // 3.841459 / (10 + 3.841459) = 0.277533
        let none = wilsonInterval(right: 0, of: 10)
        #expect(none.lowerBound == 0)
        #expect(abs(none.upperBound - 0.277533) < 5e-7)
        let all = wilsonInterval(right: 10, of: 10)
        #expect(abs(all.lowerBound - 0.722467) < 5e-7)
        #expect(all.upperBound == 1)
    }

    @Test func `of no samples knows nothing`() {
        #expect(wilsonInterval(right: 0, of: 0) == 0...1)
    }
}
