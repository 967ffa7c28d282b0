// Who computes: a few named threads that split one piece of work at a time into parts and finish it together.
import CKernels
import Glibc
import Synchronization

/// Runs the parts of one computation on several threads.
///
/// The caller decides the parts; a part's result must depend on its index alone, so neither the number of threads nor
/// who took which part can change a result. One owner: `parallel` is called from one thread at a time and not from
/// inside a part.
package final class ThreadPool: Sendable {
    /// Threads that compute, the calling one included.
    package let threadCount: Int
    private let state: State
    private let threads: [Thread]

    private struct Thread: @unchecked Sendable {  // a pthread_t: an opaque handle, only ever joined
        var handle: pthread_t
    }

    /// - Parameter threadCount: nil takes the processors this process may run on. When the system refuses a thread
    ///   the pool works with those it got: results do not depend on the count.
    package init(threadCount requested: Int? = nil) {
        let wanted = requested ?? Int(processor_count())
        precondition(wanted >= 1, "ThreadPool: threadCount = \(wanted), must be at least 1")
        let state = State()
        var threads: [Thread] = []
        for _ in 1..<wanted {
            var handle = pthread_t()
            let argument = Unmanaged.passRetained(state)
            let result = pthread_create(&handle, nil, { raw in
                Unmanaged<State>.fromOpaque(raw!).takeRetainedValue().work()
                return nil
            }, argument.toOpaque())
            guard result == 0 else {
                argument.release()
                break
            }
            threads.append(Thread(handle: handle))
        }
        self.state = state
        self.threads = threads
        self.threadCount = threads.count + 1
    }

    deinit {
        state.stop()
        for thread in threads { pthread_join(thread.handle, nil) }
    }

    /// Calls `body` once for each index in 0..<count, in any order and on any thread; returns when all are done.
    /// Every part runs in the floating-point mode of the kernels (processor.h), whatever the caller's is.
    package func parallel(_ count: Int, _ body: (Int) -> Void) {
        let mode = floating_mode_enter()
        defer { floating_mode_leave(mode) }
        guard count > 1, threadCount > 1 else {
            for index in 0..<count { body(index) }
            return
        }
        withoutActuallyEscaping(body) { escapable in
            withUnsafePointer(to: escapable) { state.run(count, $0) }
        }
    }
}

/// What the threads share. Legal course of one computation:
///
///     idle ──run: body, completed = 0, ticket = (epoch, count, 0)──► claimable ──all parts claimed──► draining
///      ▲                                                                                                │
///      └───────────────────────────── completed == count (seen by run) ─────────────────────────────────┘
///
/// `ticket` packs epoch (24 bits), part count (20) and next part (20). A thread owns a part when its `add` returned a
/// next part below the part count of the same word: `run` cannot return before that part is completed, so `body` is
/// alive. A late thread that gets a spent ticket touches nothing else.
private final class State: @unchecked Sendable {  // guards: `body` by the ticket, the rest atomic or under `mutex`
    private static let partBits: UInt64 = 20
    private static let partLimit = 1 << 19
    /// A pause is 40 to 150 cycles: between kernels of one forward pass threads rarely fall asleep.
    private static let spinLimit = 2_000

    private let ticket = Atomic<UInt64>(0)
    private let completed = Atomic<Int>(0)
    private let sleeping = Atomic<Int>(0)
    private let waiting = Atomic<Bool>(false)
    private let stopped = Atomic<Bool>(false)
    private let started = Atomic<Int>(0)
    private var body: UnsafePointer<(Int) -> Void>?
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let wake = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private let done = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init() {
        mutex.initialize(to: pthread_mutex_t())
        wake.initialize(to: pthread_cond_t())
        done.initialize(to: pthread_cond_t())
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(wake, nil)
        pthread_cond_init(done, nil)
    }

    deinit {
        pthread_cond_destroy(done)
        pthread_cond_destroy(wake)
        pthread_mutex_destroy(mutex)
        done.deallocate()
        wake.deallocate()
        mutex.deallocate()
    }

    func run(_ count: Int, _ body: UnsafePointer<(Int) -> Void>) {
        precondition(count < State.partLimit, "ThreadPool: \(count) parts, the limit is \(State.partLimit)")
        precondition(self.body == nil, "ThreadPool: parallel called while another call runs")
        self.body = body
        completed.store(0, ordering: .relaxed)
        let epoch = (ticket.load(ordering: .relaxed) >> (2 * State.partBits)) &+ 1
        ticket.store(
            epoch << (2 * State.partBits) | UInt64(count) << State.partBits, ordering: .sequentiallyConsistent)
        if sleeping.load(ordering: .sequentiallyConsistent) > 0 {
            pthread_mutex_lock(mutex)
            pthread_cond_broadcast(wake)
            pthread_mutex_unlock(mutex)
        }
        while let part = claim() { perform(part, body) }
        waitForCompletion(of: count)
        self.body = nil
    }

    /// Spins for as long as a part usually lasts, then sleeps: where other programs want the processors too, a
    /// waiting thread must not take them from the one it waits for.
    private func waitForCompletion(of count: Int) {
        for _ in 0..<State.spinLimit {
            if completed.load(ordering: .acquiring) == count { return }
            thread_pause()
        }
        pthread_mutex_lock(mutex)
        waiting.store(true, ordering: .sequentiallyConsistent)
        while completed.load(ordering: .sequentiallyConsistent) < count { pthread_cond_wait(done, mutex) }
        waiting.store(false, ordering: .relaxed)
        pthread_mutex_unlock(mutex)
    }

    func work() {
        thread_set_name("engine-\(started.add(1, ordering: .relaxed).newValue)")
        _ = floating_mode_enter()
        while waitForWork() {
            while let part = claim() { perform(part, body!) }
        }
    }

    func stop() {
        stopped.store(true, ordering: .sequentiallyConsistent)
        pthread_mutex_lock(mutex)
        pthread_cond_broadcast(wake)
        pthread_mutex_unlock(mutex)
    }

    private func perform(_ part: Int, _ body: UnsafePointer<(Int) -> Void>) {
        State.call(body, part)
        completed.add(1, ordering: .sequentiallyConsistent)
        if waiting.load(ordering: .sequentiallyConsistent) {
            pthread_mutex_lock(mutex)
            pthread_cond_signal(done)
            pthread_mutex_unlock(mutex)
        }
    }

    /// Apart, so that no thread still holds a reference to the closure when its part counts as completed.
    @inline(never)
    private static func call(_ body: UnsafePointer<(Int) -> Void>, _ part: Int) { body.pointee(part) }

    private static func claimable(_ word: UInt64) -> Int? {
        let mask = (UInt64(1) << partBits) - 1
        let next = word & mask
        return next < (word >> partBits) & mask ? Int(next) : nil
    }

    private func claim() -> Int? {
        guard State.claimable(ticket.load(ordering: .sequentiallyConsistent)) != nil else { return nil }
        return State.claimable(ticket.add(1, ordering: .sequentiallyConsistent).oldValue)
    }

    /// True when there may be a part to claim; false when the pool is closing.
    private func waitForWork() -> Bool {
        for _ in 0..<State.spinLimit {
            if stopped.load(ordering: .relaxed) { return false }
            if State.claimable(ticket.load(ordering: .relaxed)) != nil { return true }
            thread_pause()
        }
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        sleeping.add(1, ordering: .sequentiallyConsistent)
        defer { sleeping.subtract(1, ordering: .sequentiallyConsistent) }
        while State.claimable(ticket.load(ordering: .sequentiallyConsistent)) == nil {
            if stopped.load(ordering: .sequentiallyConsistent) { return false }
            pthread_cond_wait(wake, mutex)
        }
        return true
    }
}
