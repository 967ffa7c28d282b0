// What time is it, for a loop?

import Glibc
import Rollouts

extension MonotonicTime {
    /// The shell's clock: it never jumps and goes on while the machine sleeps.
    package static var now: MonotonicTime {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return MonotonicTime(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }
}
