// The worker's loop thread: socket, core and the two other threads' mailboxes. It never computes.

import Cluster
import Foundation
import Rollouts
import Transport
import Wire

/// Runs the worker's core over a link until it leaves or is refused.
package struct WorkerLoop<Link: ClientLink & ~Copyable>: ~Copyable {
    private var link: Link
    private var core: WorkerCore
    private let wake: WakePipe
    private let compute: ComputeThread
    private let answers: Mailbox<ComputeAnswer>
    private let blobs: BlobThread
    private let blobAnswers: Mailbox<BlobAnswer>
    private let log: (Note) -> Void
    /// Begun anew with every socket.
    private var conversation = WorkerLoop.freshConversation()
    /// What this turn has to say: one frame, where the coordinator knows such.
    private var outgoing: [Message] = []
    private var recreateAt: MonotonicTime?
    private var exit: (reason: String, failure: Bool)?
    private var signalsSeen = 0
    /// Reports whose blobs are on their way.
    private var uploads: [LeaseIdentifier: WorkReport] = [:]
    /// Welcomes whose bundle the compute thread has not taken yet, and what came meanwhile.
    private var configurations = 0
    private var early: [ComputeOrder] = []
    /// Orders whose reference policy is on its way.
    private var waiting: [(reference: PolicyManifest, lease: LeaseIdentifier, order: WorkOrder)] = []
    /// Orders to train whose parts of the gradient are on their way.
    private var gathering: [LeaseIdentifier: WorkOrder] = [:]

    package init(
        link: consuming Link, core: WorkerCore, wake: WakePipe, compute: ComputeThread,
        answers: Mailbox<ComputeAnswer>, blobs: BlobThread, blobAnswers: Mailbox<BlobAnswer>,
        log: @escaping (Note) -> Void
    ) {
        self.link = link
        self.core = core
        self.wake = wake
        self.compute = compute
        self.answers = answers
        self.blobs = blobs
        self.blobAnswers = blobAnswers
        self.log = log
    }

    /// - Parameter parent: leave when this process is gone (local workers); nil for none.
    /// - Returns: whether it ended as it should.
    package mutating func run(parent: Int32?) -> Bool {
        handle(.connected)
        while exit == nil {
            let now = MonotonicTime.now
            // Once a second at least, to look whether the parent still lives.
            let deadline = [core.nextDeadline, recreateAt, now + .seconds(1)].compactMap { $0 }.min() ?? now
            deliver()
            _ = link.wait(timeout: max(.zero, deadline - now), wake: wake)
            if let parent, getppid() != parent { handle(.leave(reason: "the coordinator's process is gone")) }
            if Signals.received > signalsSeen {
                signalsSeen = Signals.received
                handle(.leave(reason: "interrupted"))
            }
            takeAnswers()
            receiveAll()
            let later = MonotonicTime.now
            if let due = recreateAt, later >= due {
                recreateAt = nil
                deliver()
                recreate()
                conversation = WorkerLoop.freshConversation()
                handle(.connected)
            }
            if let due = core.nextDeadline, MonotonicTime.now >= due { handle(.tick) }
        }
        deliver()
        return !(exit?.failure ?? false)
    }

    private mutating func deliver() {
        guard !outgoing.isEmpty else { return }
        let isSent = conversation.seal(outgoing) { link.send($0) == .sent }
        outgoing.removeAll(keepingCapacity: true)
        if !isSent { log(Note(.debug, "the coordinator cannot be reached; it is tried again")) }
    }

    private mutating func receiveAll() {
        for _ in 0..<1024 {
            guard exit == nil, let frame = link.receive() else { return }
            do throws(WireError) {
                for message in try conversation.open(frame).messages where exit == nil { handle(.received(message)) }
            } catch {
                // Trying again would not help.
                if case .version = error.kind { return exit = ("refused: \(error)", true) }
                log(Note(.warning, "a message was dropped: \(error)"))
            }
        }
    }

    private mutating func recreate() {
        do throws(TransportError) {
            try link.recreate()
        } catch {
            log(Note(.warning, "\(error)"))
            recreateAt = MonotonicTime.now + .seconds(1)
        }
    }

    private static func freshConversation() -> Conversation { .worker(epoch: .random(in: 1 ..< .max)) }

    private mutating func takeAnswers() {
        for answer in answers.takeAll() {
            switch answer {
            case .configured: configured()
            case .configureFailed(let reason):
                log(Note(.error, reason))
                handle(.leave(reason: "the model cannot be used here: \(reason)"))
            case .loaded(let version, let hash): handle(.policyLoaded(version, weightsHash: hash))
            case .loadFailed(let version, let reason): handle(.policyLoadFailed(version, reason: reason))
            case .outcome(.progress(let lease, let units)): handle(.workProgress(lease, unitsDone: units))
            case .outcome(.partialText(let lease, let text)): handle(.workFinished(lease, .partialText(text)))
            case .outcome(.finished(let lease, let report, let references)):
                if references.isEmpty {
                    handle(.workFinished(lease, report))
                } else {
                    upload(lease, report, references)
                }
            }
        }
        for answer in blobAnswers.takeAll() {
            switch answer {
            case .bundle(let welcome, let bytes, let directory):
                compute.orders.put(.configure(welcome, bundle: bytes, blobDirectory: directory))
            case .bundleFailed(let reason): handle(.leave(reason: "the model bundle could not be fetched: \(reason)"))
            case .fetched(let manifest): fetched(manifest)
            case .fetchFailed(let manifest, let reason): fetchFailed(manifest, reason)
            case .fetchedParts(let lease):
                if let order = gathering.removeValue(forKey: lease) { submit(.start(lease, order)) }
            case .fetchPartsFailed(let lease, let reason):
                gathering[lease] = nil
                let words = "a part of the gradient: \(reason)"
                handle(.workFinished(lease, .failed(reason: words, retryable: true)))
            case .uploaded(let lease):
                if let report = uploads.removeValue(forKey: lease) { handle(.workFinished(lease, report)) }
            case .note(let note): log(note)
            case .uploadFailed(let lease, let reason):
                uploads[lease] = nil
                handle(.workFinished(lease, .failed(reason: reason, retryable: true)))
            }
        }
    }

    private mutating func upload(_ lease: LeaseIdentifier, _ report: WorkReport, _ references: [BlobReference]) {
        var isPart = false
        if case .gradient = report { isPart = true }
        // Nobody waits for a part that was cancelled: the core says so.
        if isPart, !core.isRunning(lease) { return handle(.workFinished(lease, report)) }
        uploads[lease] = report
        blobs.orders.put(.upload(lease, references, once: isPart))
    }

    /// Work may arrive while the model bundle is still on its way: it waits, in order.
    private mutating func submit(_ order: ComputeOrder) {
        if configurations == 0 { compute.orders.put(order) } else { early.append(order) }
    }

    private mutating func configured() {
        configurations -= 1
        guard configurations == 0 else { return }
        for order in early { compute.orders.put(order) }
        early = []
    }

    /// A policy to load, or the reference policy that an order to train waits for.
    private mutating func fetched(_ manifest: PolicyManifest) {
        guard let index = waiting.firstIndex(where: { $0.reference == manifest }) else {
            return submit(.load(manifest))
        }
        let (_, lease, order) = waiting.remove(at: index)
        submit(.start(lease, order))
    }

    private mutating func fetchFailed(_ manifest: PolicyManifest, _ reason: String) {
        guard let index = waiting.firstIndex(where: { $0.reference == manifest }) else {
            return handle(.policyLoadFailed(manifest.version, reason: reason))
        }
        let lease = waiting.remove(at: index).lease
        handle(.workFinished(lease, .failed(reason: "the reference policy: \(reason)", retryable: true)))
    }

    private mutating func handle(_ event: WorkerEvent) {
        for effect in core.handle(event, at: MonotonicTime.now) { perform(effect) }
    }

    private mutating func perform(_ effect: WorkerEffect) {
        switch effect {
        case .send(let message): outgoing.append(message)
        case .recreateSocket(let pause): recreateAt = MonotonicTime.now + pause
        case .configure(let welcome):
            configurations += 1
            blobs.orders.put(.welcome(welcome))
        case .loadPolicy(let manifest): blobs.orders.put(.fetch(manifest))
        case .restartLearner(let manifest): submit(.restartLearner(manifest))
        case .startWork(let lease, let order):
            start(lease, order)
        case .cancelWork(let lease): submit(.cancel(lease))
        case .discardBlobs(let references): blobs.orders.put(.discard(references))
        case .note(let note): log(note)
        case .exit(let reason, let failure): exit = (reason, failure)
        }
    }

    /// At once, or when what it needs is here.
    private mutating func start(_ lease: LeaseIdentifier, _ order: WorkOrder) {
        let reference: PolicyManifest?
        switch order {
        case .train(let assignment, _):
            let parts = assignment.parts.compactMap(\.blob)
            if !parts.isEmpty {
                gathering[lease] = order
                return blobs.orders.put(.fetchParts(lease, parts))
            }
            reference = assignment.reference
        case .gradient(let assignment, _): reference = assignment.reference
        default: reference = nil
        }
        guard let reference else { return submit(.start(lease, order)) }
        waiting.append((reference, lease, order))
        blobs.orders.put(.fetch(reference))
    }

    /// Why `run` returned.
    package var exitReason: String { exit?.reason ?? "" }
}
