// What the list of faults keeps.

import Testing

@testable import Cluster

@Suite struct FaultLogTests {
    @Test func `the newest faults stay, in the order in which they happened`() {
        var log = FaultLog()
        for number in 0..<FaultLog.limit + 3 {
            log.add(Fault(at: Samples.time(Double(number)), kind: .noVerdict, step: 1, text: "\(number)"))
        }
        #expect(log.recent.count == FaultLog.limit)
        #expect(log.recent.first?.text == "3")
        #expect(log.recent.last?.text == "\(FaultLog.limit + 2)")
    }

    @Test func `a lease's words have the starts before in front`() {
        #expect(LeaseMaker(epoch: 0, length: .seconds(1)).wordsOfNext == "1")
        #expect(LeaseMaker(epoch: 2, length: .seconds(1)).wordsOfNext == "2.1")
    }
}

extension LeaseMaker {
    fileprivate var wordsOfNext: String {
        var maker = self
        return maker.nextIdentifier().words
    }
}
