// What can happen to the coordinator's core.

import Rollouts

package enum Event: Equatable, Sendable {
    /// The shell is ready: sockets bound, store open, base policy known.
    case start
    case received(Message, from: PeerIdentifier)
    /// The transport cannot reach this peer any more.
    case disconnected(PeerIdentifier)
    /// The peer's process ran on this host and has ended.
    case ended(PeerIdentifier)
    /// The peer's worker sent what no honest worker sends: bytes that are no message, or more than it was asked for.
    case misbehaved(PeerIdentifier, reason: String)
    /// Answer to `Effect.drawPrompts`, in ordinal order.
    case promptsDrawn([Prompt])
    /// Stop soon: finish nothing new, save a checkpoint if weights changed since the last one, then stop.
    case interrupt
    /// Stop now, without a checkpoint (second Ctrl-C).
    case abandon
    /// The operator asks for something; `Effect.answer` with the same number says what came of it.
    case asked(OperatorRequest, number: UInt64)
    /// A `persist` failed (disk full, I/O error). Nothing after it in the same list of effects was performed.
    case storeFailed(reason: String)
    /// Time has passed; sent at `nextDeadline` or later.
    case tick
}
