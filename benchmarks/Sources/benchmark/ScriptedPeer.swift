// One scripted worker's side of the conversation, at the least cost: it shares the machine with what is measured.

import Cluster
import Rollouts
import Wire

/// Says hello, proves every policy, answers every order at once. Of the orders that come by the thousand it reads who
/// asks and for what, and its answers to them are bytes made before; everything else goes through the codec.
struct ScriptedPeer {
    let name: String
    let roles: [WorkerRole]
    let slots: Int
    /// Lives on, but proves no policy, so that it gets no work.
    let isIdle: Bool
    private let epoch: UInt64
    private var run: UInt64 = 0
    private var lastSent: UInt64 = 0
    private var lastReceived: UInt64 = 0
    /// Of the version that is sampled now.
    private var completions: (version: UInt64, answer: PreparedAnswer)?
    private let verdicts = PreparedAnswer {
        .verificationResult(lease: $0, verdicts: DispatchLoad.verdicts, seconds: 0.001)
    }
    private(set) var isWelcome = false
    private(set) var isDismissed = false

    init(index: Int, roles: [WorkerRole], slots: Int, isIdle: Bool = false) {
        name = "w\(index)"
        self.roles = roles
        self.slots = slots
        self.isIdle = isIdle
        epoch = UInt64(index) + 1
    }

    mutating func hello() -> [UInt8] {
        seal([
            WireCodec.encode(
                .hello(
                    Hello(
                        protocolVersion: .current, worker: name, host: "elsewhere", processIdentifier: 1, roles: roles,
                        threads: 1, rolloutSlots: slots, verificationSlots: slots, kernel: "scripted")))
        ])
    }

    mutating func heartbeat() -> [UInt8] { seal([WireCodec.encode(.heartbeat(progress: []))]) }

    /// - Returns: the frame that it answers, if any.
    mutating func answer(_ frame: [UInt8]) throws -> [UInt8]? {
        let (header, payload) = try Envelope.open(frame)
        run = header.run
        lastReceived = header.sequence
        var answers: [[UInt8]] = []
        let isBundle = header.flags & Envelope.severalMessages != 0
        for message in isBundle ? try MessageBundle.parts(of: frame[payload]) : [frame[payload]] {
            if let answer = try answer(message: message) { answers.append(answer) }
        }
        return answers.isEmpty ? nil : seal(answers)
    }

    private mutating func answer(message: ArraySlice<UInt8>) throws -> [UInt8]? {
        let glance = OrderGlance(message)
        switch glance.kind {
        case .acknowledge, .trainingGroup: return nil
        case .verify: return verdicts.bytes(lease: glance.lease)
        case .rollout:
            if completions?.version != glance.version {
                let all = DispatchLoad.completions(PolicyVersion(glance.version))
                let answer = PreparedAnswer { .rolloutResult(lease: $0, completions: all, seconds: 0.001) }
                completions = (glance.version, answer)
            }
            return completions?.answer.bytes(lease: glance.lease)
        case .other: return try answer(WireCodec.decode(message)).map { WireCodec.encode($0) }
        }
    }

    private mutating func answer(_ message: Message) throws -> Message? {
        switch message {
        case .welcome: isWelcome = true
        case .policy(let manifest):
            return isIdle ? nil : .policyReady(manifest.version, weightsHash: manifest.weightsHash)
        case .train(let lease, let assignment):
            var manifest = DispatchLoad.manifest(PolicyVersion(UInt64(assignment.step)))
            if assignment.checkpoint { manifest.optimizer = manifest.weights }
            let report = TrainingReport(step: assignment.step, manifest: manifest, metrics: [])
            return .trainingResult(lease: lease, report, seconds: 0.001)
        // libzmq made the connection anew, after a handshake that took too long in a storm of them.
        case .refused(Coordinator.unknownConnection): isWelcome = false
        case .refused(let reason): throw BenchmarkError("worker \(name) was refused: \(reason)")
        case .shutdown: isDismissed = true
        default: break
        }
        return nil
    }

    // MARK: Frames (PROTOCOL.md, section 4)

    /// - Parameter payloads: far less than one frame may hold.
    private mutating func seal(_ payloads: [[UInt8]]) -> [UInt8] {
        lastSent += 1
        var header = Envelope.Header(run: run, epoch: epoch, sequence: lastSent, acknowledged: lastReceived)
        guard payloads.count > 1 else { return Envelope.seal(payload: payloads[0], header: header) }
        header.flags = Envelope.severalMessages
        var bundle: [UInt8] = []
        bundle.reserveCapacity(payloads.reduce(0) { $0 + 4 + $1.count })
        for payload in payloads {
            withUnsafeBytes(of: UInt32(payload.count).littleEndian) { bundle += $0 }
            bundle += payload
        }
        precondition(bundle.count <= WireLimits.bundleBytes, "ScriptedPeer: \(bundle.count) bytes at once")
        return Envelope.seal(payload: bundle, header: header)
    }
}

/// What an order is about, without making values of the rest.
private struct OrderGlance {
    /// By the number of the message's body in proto/rookery.proto.
    enum Kind: UInt64 {
        case rollout = 36
        case verify = 37
        case trainingGroup = 38
        case acknowledge = 44
        case other = 0
    }

    var kind = Kind.other
    var lease: UInt64 = 0
    /// Of a rollout.
    var version: UInt64 = 0

    init(_ message: ArraySlice<UInt8>) {
        var rest = message
        kind = Kind(rawValue: OrderGlance.varint(&rest) >> 3) ?? .other
        guard kind == .rollout || kind == .verify else { return }
        // The length of the body, which is the rest; then its fields, in the order of their numbers.
        _ = OrderGlance.varint(&rest)
        while !rest.isEmpty {
            let tag = OrderGlance.varint(&rest)
            let value = OrderGlance.varint(&rest)
            switch tag {
            case 1 << 3: lease = value
            case 4 << 3: version = value
            case let tag where tag & 7 == 2: rest = rest.dropFirst(Int(value))
            default: break
            }
            if kind == .verify || tag >= 4 << 3 { return }
        }
    }

    private static func varint(_ bytes: inout ArraySlice<UInt8>) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while let byte = bytes.popFirst() {
            value |= UInt64(byte & 0x7F) << shift
            shift += 7
            if byte < 0x80 { break }
        }
        return value
    }
}

/// An encoded answer in which only the lease is left open.
private struct PreparedAnswer {
    /// A number whose bytes occur nowhere else.
    private static let marker: UInt64 = 0x5_A5C3_96E7
    private let bytes: [UInt8]
    private let place: Int

    init(_ make: (LeaseIdentifier) -> Message) {
        let encoded = WireCodec.encode(make(LeaseIdentifier(Self.marker)))
        let pattern = Self.varint(Self.marker)
        let places = encoded.indices.filter { encoded[$0...].starts(with: pattern) }
        precondition(places.count == 1, "PreparedAnswer: the lease's place is not clear: \(places)")
        bytes = encoded
        place = places[0]
    }

    func bytes(lease: UInt64) -> [UInt8] {
        var answer = bytes
        for (offset, byte) in Self.varint(lease).enumerated() { answer[place + offset] = byte }
        return answer
    }

    /// Five bytes, whatever the number: a receiver takes leading zeros.
    private static func varint(_ value: UInt64) -> [UInt8] {
        precondition(value < 1 << 35, "PreparedAnswer: lease \(value)")
        return (0..<5).map { UInt8(truncatingIfNeeded: value >> (7 * UInt64($0))) & 0x7F | ($0 < 4 ? 0x80 : 0) }
    }
}
