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
        #expect(LeaseCounter(epoch: 0).wordsOfNext == "1")
        #expect(LeaseCounter(epoch: 2).wordsOfNext == "2.1")
    }
}

extension LeaseCounter {
    fileprivate var wordsOfNext: String {
        var counter = self
        return counter.next().words
    }
}
