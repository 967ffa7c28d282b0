// A loop's wait ends when it should.

import Glibc
import Rollouts
import Synchronization
import Testing

@testable import Transport

@Test func `a wake before the wait is not lost, and is taken once`() throws {
    let wake = try WakePipe()
    #expect(!wake.wait(timeout: .zero))
    WakePipe.wake(wake.descriptor)
    wake.wake()
    #expect(wake.wait(timeout: .zero))
    #expect(wake.drain())
    #expect(!wake.drain())
    let context = try Context()
    let server = try ControlServer(context, listen: [anyPort])
    wake.wake()
    #expect(server.wait(timeout: nil, wake: wake) == Ready(messages: false, woken: true))
    #expect(server.wait(timeout: .zero, wake: wake) == Ready(messages: false, woken: false))
}

@Test func `another thread ends a wait that has no end`() throws {
    let wake = try WakePipe()
    let network = MemoryNetwork()
    let context = try Context()
    let server = try ControlServer(context, listen: [anyPort])
    let memory = try network.server()
    for _ in 0..<2 {
        let thread = try NamedThread("waker") { wake.wake() }
        thread.join()
    }
    #expect(server.wait(timeout: nil, wake: wake).woken)
    let thread = try NamedThread("waker") { wake.wake() }
    #expect(memory.wait(timeout: nil, wake: wake).woken)
    thread.join()
    thread.join()
}

@Test func `a thread has its name`() throws {
    let name = Mutex("")
    let thread = try NamedThread("rookery-a-very-long-name") {
        var buffer = [CChar](repeating: 0, count: 32)
        pthread_getname(&buffer)
        name.withLock { $0 = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) }
    }
    thread.join()
    #expect(name.withLock { $0 } == "rookery-a-very-")
}

private func pthread_getname(_ buffer: inout [CChar]) {
    guard let file = fopen("/proc/thread-self/comm", "r") else { return }
    defer { fclose(file) }
    let count = fread(&buffer, 1, buffer.count - 1, file)
    buffer[max(count - 1, 0)] = 0
}

@Test func `a wait never ends before its time`() {
    #expect(Duration.zero.pollMilliseconds == 0)
    #expect(Duration.nanoseconds(1).pollMilliseconds == 1)
    #expect(Duration.milliseconds(1).pollMilliseconds == 1)
    #expect(Duration.nanoseconds(1_000_001).pollMilliseconds == 2)
    #expect(Duration.seconds(-5).pollMilliseconds == 0)
    #expect(Duration.seconds(1 << 40).pollMilliseconds == Int32.max)
}
