// Whose connections are accepted at this moment.

import Synchronization

/// Looked up by the gatekeeper for each new connection and by the sockets' owners for each frame; replaced whole by
/// whoever knows who was admitted.
package final class AllowList: Sendable {
    private let keys: Mutex<Set<PublicKey>>

    package init(_ keys: Set<PublicKey> = []) { self.keys = Mutex(keys) }

    package func replace(with keys: Set<PublicKey>) { self.keys.withLock { $0 = keys } }
    package var all: Set<PublicKey> { keys.withLock { $0 } }
    package func contains(_ key: PublicKey) -> Bool { keys.withLock { $0.contains(key) } }
}
