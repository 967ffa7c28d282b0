// How many connections may a coordinator hold?

import Glibc

/// Each connected worker is an open file, two while it transfers weights. Systems allow a process a thousand or so
/// until it asks for what it may have.
enum OpenFiles {
    /// Kept for what is no connection: store, logs, checkpoints, listening sockets.
    private static let own = 256

    /// Raises this process's limit as far as it is allowed; processes it starts have it too.
    /// - Returns: the limit now.
    @discardableResult static func raiseLimit() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return own }
        limit.rlim_cur = limit.rlim_max
        // Where the system refuses its own maximum, what was allowed before stays.
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return Int(clamping: limit.rlim_cur)
    }

    /// - Returns: what to tell who listens for other hosts' workers; nil where thousands have room.
    static func warning(limit: Int) -> String? {
        let workers = max(0, (limit - own) / 2)
        guard workers < 1000 else { return nil }
        return "this system lets the coordinator hold \(limit) open files, which is about \(workers) workers; "
            + "for more, run `ulimit -n \(2 * 5000 + own)` first (as root, or raise the hard limit)"
    }
}
