// What the head knows about how one policy's blob comes of another's: made when somebody asks, or handed in.

import Cluster
import Foundation
import Rollouts
import Synchronization
import Transport
import Weights

/// Differences lie in a folder of their own beside the blobs, named as blobs are, and go with the versions that they
/// are between. They are made, and blobs made from them, on the thread `rookery-diffs`, which lives while there is
/// such work, so that other transfers go on meanwhile.
///
///     asked ──▶ at work ──▶ offered            handed in ──▶ at work ──▶ built
///                  └──────▶ wholeOnly                           └──────▶ impossible: the whole is asked for
package final class StoredDifferences: Sendable {
    /// Questions remembered; the oldest is forgotten first.
    private static let questionLimit = 32

    private let blobs: BlobStore
    package let store: BlobStore
    private let note: @Sendable (Note) -> Void
    private let state = Mutex(State())

    private struct Comparison {
        var parent: BlobReference
        var target: BlobReference
        var answer = DifferenceAnswer.later
    }

    private struct Building {
        var difference: Digest
        var answer = BuildAnswer.later
    }

    private enum Order {
        case compare(parent: BlobReference, target: BlobReference)
        case build(BlobReference)
    }

    private struct State {
        var comparisons: [Comparison] = []
        var buildings: [Building] = []
        var orders: [Order] = []
        var thread: NamedThread?
        var isOver = false
    }

    /// Empties what an earlier process left.
    /// - Parameter note: called on the thread that works.
    package init(blobs: BlobStore, note: @escaping @Sendable (Note) -> Void) throws {
        let folder = blobs.directory + "/differences"
        if FileManager.default.fileExists(atPath: folder) { try FileManager.default.removeItem(atPath: folder) }
        self.blobs = blobs
        self.note = note
        store = try BlobStore(directory: folder)
    }

    package func difference(from parent: BlobReference, to target: BlobReference) -> DifferenceAnswer {
        state.withLock { state in
            if let known = state.comparisons.first(where: { $0.parent == parent && $0.target == target }) {
                return known.answer
            }
            guard begin(.compare(parent: parent, target: target), &state) else { return .wholeOnly }
            state.comparisons.append(Comparison(parent: parent, target: target))
            forgetOldest(&state)
            return .later
        }
    }

    /// - Parameter byteCount: of the difference, stored among the blobs, as it was handed in, or here; nil: it is not.
    package func build(from difference: Digest, byteCount: Int?) -> BuildAnswer {
        state.withLock { state in
            if let index = state.buildings.firstIndex(where: { $0.difference == difference }) {
                let answer = state.buildings[index].answer
                // Said once: whoever asks again wants it made again.
                if answer != .later { state.buildings.remove(at: index) }
                return answer
            }
            guard let byteCount else { return .impossible(reason: "the difference is not stored here") }
            guard begin(.build(BlobReference(digest: difference, byteCount: byteCount)), &state) else {
                return .impossible(reason: "it cannot be worked on any more")
            }
            state.buildings.append(Building(difference: difference))
            if state.buildings.count > Self.questionLimit { state.buildings.removeFirst() }
            return .later
        }
    }

    /// A policy's blob is gone: nothing leads to it or from it any more.
    package func forget(_ blob: BlobReference) {
        let gone = state.withLock { state in
            let gone = state.comparisons.filter { $0.parent == blob || $0.target == blob }
            state.comparisons.removeAll { $0.parent == blob || $0.target == blob }
            return gone
        }
        for comparison in gone { remove(comparison.answer) }
    }

    /// Waits for what is being made, and removes everything.
    package func end() throws {
        let thread = state.withLock { state in
            state.isOver = true
            state.orders = []
            return state.thread
        }
        thread?.join()
        try FileManager.default.removeItem(atPath: store.directory)
    }

    private func forgetOldest(_ state: inout State) {
        guard state.comparisons.count > Self.questionLimit else { return }
        remove(state.comparisons.removeFirst().answer)
    }

    private func remove(_ answer: DifferenceAnswer) {
        guard case .offered(let reference) = answer else { return }
        do {
            try store.remove(reference)
        } catch {
            note(Note(.warning, "a difference that nobody needs could not be removed: \(error)"))
        }
    }

    // MARK: the thread

    /// - Returns: whether it will be done.
    private func begin(_ order: Order, _ state: inout State) -> Bool {
        guard !state.isOver else { return false }
        state.orders.append(order)
        if state.thread != nil { return true }
        do throws(TransportError) {
            state.thread = try NamedThread("rookery-diffs") { [self] in work() }
            return true
        } catch {
            state.orders.removeLast()
            note(Note(.warning, "policies are sent whole: \(error)"))
            return false
        }
    }

    private func work() {
        while true {
            let next = state.withLock { state -> Order? in
                if state.orders.isEmpty {
                    state.thread = nil
                    return nil
                }
                return state.orders.removeFirst()
            }
            switch next {
            case .compare(let parent, let target): compare(parent, target)
            case .build(let difference): build(difference)
            case nil: return
            }
        }
    }

    private func compare(_ parent: BlobReference, _ target: BlobReference) {
        var answer = DifferenceAnswer.wholeOnly
        do {
            let made = try WeightsDifference.make(from: parent, to: target, in: blobs, into: store)
            if let made {
                answer = .offered(made)
                let share = Double(made.byteCount) / Double(max(1, target.byteCount))
                note(
                    Note(
                        .debug, "policy \(target.digest) differs from the one before in \(made.byteCount) bytes, "
                            + "\((share * 10_000).rounded() / 100) % of the whole"))
            }
        } catch {
            note(Note(.warning, "a policy is sent whole, for lack of a difference: \(error)"))
        }
        settle(parent, target, answer)
    }

    /// A question that was forgotten meanwhile keeps nothing.
    private func settle(_ parent: BlobReference, _ target: BlobReference, _ answer: DifferenceAnswer) {
        let isWanted = state.withLock { state in
            guard let index = state.comparisons.firstIndex(where: { $0.parent == parent && $0.target == target })
            else { return false }
            state.comparisons[index].answer = answer
            return true
        }
        if !isWanted { remove(answer) }
    }

    private func build(_ reference: BlobReference) {
        let answer = built(reference)
        state.withLock { state in
            guard let index = state.buildings.firstIndex(where: { $0.difference == reference.digest }) else { return }
            state.buildings[index].answer = answer
        }
    }

    private func built(_ reference: BlobReference) -> BuildAnswer {
        do {
            let isNew = blobs.contains(reference)
            let difference = try WeightsDifference(file: (isNew ? blobs : store).path(for: reference))
            try difference.apply(in: blobs, durable: true)
            // Whoever holds the parent needs the very same.
            if isNew { try store.adopt(blobs.path(for: reference), as: reference) }
            state.withLock { state in
                state.comparisons.removeAll {
                    $0.parent == difference.parent && $0.target == difference.target
                }
                state.comparisons.append(
                    Comparison(parent: difference.parent, target: difference.target, answer: .offered(reference)))
                forgetOldest(&state)
            }
            return .built(difference.target)
        } catch {
            do {
                try blobs.remove(reference)
            } catch {
                note(Note(.warning, "a difference that cannot be used could not be removed: \(error)"))
            }
            return .impossible(reason: "\(error)")
        }
    }
}
