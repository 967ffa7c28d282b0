// What becomes of each message on its way: a function of the seed and of how many came before.

import Rollouts
import Wire

/// What happens to one frame.
package enum FrameFate: Equatable, Sendable {
    case passes
    /// It is gone, and its number with it.
    case drop
    /// It arrives later; those after it overtake it.
    case delay(Duration)
    /// It arrives twice, as two messages: the receiver's core sees both.
    case duplicate
    /// The same bytes arrive twice: the envelope's number gives the second away.
    case replay
    /// It arrives after the next one.
    case reorder
    /// One bit is flipped; `place` is a share of the frame's bits.
    case corrupt(place: Double)

    var kind: FaultKind? {
        switch self {
        case .passes: nil
        case .drop: .drop
        case .delay: .delay
        case .duplicate: .duplicate
        case .replay: .replay
        case .reorder: .reorder
        case .corrupt: .corrupt
        }
    }
}

package struct FrameWeather: Equatable, Sendable {
    private let kinds: [FaultKind]
    private let share: Double
    private let longestDelay: Duration
    private var dice: Dice
    /// Until then; a run must be able to end.
    private var left: Int

    /// - Parameters:
    ///   - share: of the frames that something happens to.
    ///   - limit: frames that something happens to at most.
    package init(seed: UInt64, kinds: [FaultKind], share: Double, longestDelay: Duration, limit: Int) {
        self.kinds = kinds.filter { FaultKind.ofMessages.contains($0) }
        self.share = share
        self.longestDelay = longestDelay
        left = limit
        dice = Dice(seed: seed, stream: 2)
    }

    package mutating func next() -> FrameFate {
        guard !kinds.isEmpty, left > 0, dice.share() < share else { return .passes }
        left -= 1
        switch kinds[dice.integer(below: kinds.count)] {
        case .drop: return .drop
        case .delay:
            let milliseconds = Int(longestDelay.inSeconds * 1000)
            return .delay(.milliseconds(dice.integer(1...max(1, milliseconds))))
        case .duplicate: return .duplicate
        case .replay: return .replay
        case .reorder: return .reorder
        default: return .corrupt(place: dice.share())
        }
    }
}

/// One direction of one connection. Frames are numbered anew as they leave, so that an order made here is the order the
/// receiver believes in, and its core has to bear it: over TCP the envelope alone would already drop what is overtaken.
struct FrameHop {
    /// The next frame of the connection normally comes within this; a reordered last one must not be lost.
    private static let longestSwap = Duration.milliseconds(300)

    private var sequence: UInt64 = 0
    private var held: [(due: MonotonicTime, frame: [UInt8])] = []
    private var swapped: (due: MonotonicTime, frame: [UInt8])?

    /// - Returns: the frames that leave at once, in order.
    mutating func pass(_ frame: [UInt8], _ fate: FrameFate, at now: MonotonicTime) -> [[UInt8]] {
        var leaving: [[UInt8]] = []
        switch fate {
        case .passes: leaving = [numbered(frame)]
        case .drop: sequence += 1
        case .delay(let time): held.append((now + time, frame))
        case .duplicate: leaving = [numbered(frame), numbered(frame)]
        case .replay:
            let once = numbered(frame)
            leaving = [once, once]
        case .reorder where swapped == nil:
            swapped = (now + Self.longestSwap, frame)
            return []
        case .reorder: leaving = [numbered(frame)]
        case .corrupt(let place):
            var damaged = numbered(frame)
            let bit = min(damaged.count * 8 - 1, Int(Double(damaged.count * 8) * place))
            damaged[bit / 8] ^= 1 << UInt8(bit % 8)
            leaving = [damaged]
        }
        if let waiting = swapped {
            swapped = nil
            leaving.append(numbered(waiting.frame))
        }
        return leaving
    }

    /// Frames whose delay is over, in order of their times.
    mutating func takeDue(at now: MonotonicTime) -> [[UInt8]] {
        if let waiting = swapped, waiting.due <= now {
            held.append(waiting)
            swapped = nil
        }
        guard held.contains(where: { $0.due <= now }) else { return [] }
        let due = held.filter { $0.due <= now }.sorted { $0.due < $1.due }
        held.removeAll { $0.due <= now }
        return due.map { numbered($0.frame) }
    }

    /// A frame that is none passes as it is: judging it is the receiver's business.
    private mutating func numbered(_ frame: [UInt8]) -> [UInt8] {
        do throws(WireError) {
            var (header, payload) = try Envelope.open(frame)
            sequence += 1
            header.sequence = sequence
            return Envelope.seal(payload: Array(frame[payload]), header: header)
        } catch {
            return frame
        }
    }
}
