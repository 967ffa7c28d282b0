// How Ctrl-C reaches the loop: a C handler writes to the wake descriptor, nothing else.
// OpenBLAS starts threads before `main`, so `signalfd` would miss signals delivered to them.

import Foundation
import Transport

package enum Signals {
    /// Counts SIGINT and SIGTERM since `install`; read by the loop after a wake.
    package static var received: Int { Int(interrupt_count) }

    /// - Parameter wake: descriptor that the loop polls; one byte (or an eventfd count) is written per signal.
    /// - Parameter ignoreInterrupt: local workers share the terminal's process group: Ctrl-C is the coordinator's.
    package static func install(wake: Int32, ignoreInterrupt: Bool = false) {
        wake_descriptor = wake
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in
            interrupt_count += 1
            WakePipe.wake(wake_descriptor)
        }
        action.sa_flags = SA_RESTART
        sigaction(SIGTERM, &action, nil)
        if ignoreInterrupt { signal(SIGINT, SIG_IGN) } else { sigaction(SIGINT, &action, nil) }
        // Whoever started this program may have blocked them, and a blocked signal is inherited.
        var asked = sigset_t()
        sigemptyset(&asked)
        sigaddset(&asked, SIGTERM)
        if !ignoreInterrupt { sigaddset(&asked, SIGINT) }
        pthread_sigmask(SIG_UNBLOCK, &asked, nil)
        // A peer that is gone is an error code, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
    }
}

// Written once before the handler is installed, and by the handler alone afterwards.
nonisolated(unsafe) private var wake_descriptor: Int32 = -1
nonisolated(unsafe) private var interrupt_count: Int32 = 0
