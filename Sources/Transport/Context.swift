// The sockets' common ground in one process: I/O threads and the limit of sockets.

import CZeroMQ

/// A libzmq context: the only part of libzmq that several threads may share. Ended when the last socket is closed.
///
/// zmq(7): "A ØMQ 'context' is thread safe and may be shared among as many application threads as necessary."
// Unchecked: the handle never changes, and libzmq guards what is behind it.
package final class Context: @unchecked Sendable {
    let handle: UnsafeMutableRawPointer

    /// - Parameter socketLimit: libzmq's own default is 1,023.
    package init(ioThreads: Int = 1, socketLimit: Int = 1023) throws(TransportError) {
        guard let handle = zmq_ctx_new() else { throw .system("make", "a ZeroMQ context") }
        self.handle = handle
        for (option, value, name) in [
            (ZMQ_IO_THREADS, ioThreads, "I/O threads"), (ZMQ_MAX_SOCKETS, socketLimit, "sockets at most"),
        ] where zmq_ctx_set(handle, option, Int32(clamping: value)) != 0 {
            throw .system("make", "a ZeroMQ context with \(value) \(name)")
        }
    }

    /// Waits for what closed sockets still send, for as long as their linger says.
    deinit {
        while zmq_ctx_term(handle) != 0 {
            let code = zmq_errno()
            precondition(code == EINTR, "Context: zmq_ctx_term failed with errno \(code)")
        }
    }
}
