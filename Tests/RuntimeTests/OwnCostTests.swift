// What the coordinator says of itself: processor time, open files.

import Glibc
import Rollouts
import Testing

@testable import Runtime

@Test func `processor time grows with work and is told by step and as a share of a core`() throws {
    let use = ProcessorUse()
    let start = MonotonicTime.now
    var state: UInt64 = 1
    // Not by the clock alone: the machine may give this process nothing for a while.
    while use.seconds < 0.02 { for _ in 0..<10_000 { state = state &* 6_364_136_223_846_793_005 &+ 1 } }
    #expect(state != 0)
    let end = MonotonicTime.now
    #expect(use.share(at: end) > 0)
    #expect(use.share(at: end + .seconds(3600)) < use.share(at: end) || end - start < .milliseconds(1))
    let words = use.words(steps: 4, at: start + .seconds(2))
    #expect(words.hasPrefix("the coordinator's own processor time: "))
    #expect(words.contains(" s in 2 s, "))
    #expect(words.hasSuffix(" ms a step"))
    #expect(!use.words(steps: 0, at: end).contains("a step"))
}

@Test func `the limit of open files is the most the system allows, and few are said so`() {
    let limit = OpenFiles.raiseLimit()
    var now = rlimit()
    #expect(getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &now) == 0)
    #expect(Int(clamping: now.rlim_cur) == limit)
    #expect(now.rlim_cur == now.rlim_max)
    #expect(OpenFiles.warning(limit: 20_000) == nil)
    #expect(OpenFiles.warning(limit: 1024)?.contains("1024 open files, which is about 384 workers") == true)
    #expect(OpenFiles.warning(limit: 100)?.contains("about 0 workers") == true)
}
