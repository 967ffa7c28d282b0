// The worker's compute thread: owns the workbench and all tensors, never sees a socket.

import Cluster
import Foundation
import Rollouts
import Transport

/// What the loop thread asks of the compute thread.
package enum ComputeOrder: Sendable {
    case configure(Welcome, bundle: [UInt8], blobDirectory: String)
    case load(PolicyManifest)
    case restartLearner(PolicyManifest)
    case start(LeaseIdentifier, WorkOrder)
    case cancel(LeaseIdentifier)
}

/// What the compute thread answers.
package enum ComputeAnswer: Sendable {
    case configured
    case configureFailed(String)
    case loaded(PolicyVersion, Digest)
    case loadFailed(PolicyVersion, String)
    case outcome(WorkOutcome)
}

package struct ComputeThread {
    package let orders = Mailbox<ComputeOrder>()
    private let thread: NamedThread

    /// - Parameter makeWorkbench: called on the compute thread, which owns what it returns.
    package init(answers: Mailbox<ComputeAnswer>, makeWorkbench: @escaping @Sendable () -> any Workbench) throws {
        let orders = orders
        thread = try NamedThread("compute") {
            let workbench = makeWorkbench()
            while true {
                // Asleep while there is nothing to do; otherwise a look into the mailbox between slices of work.
                let arrived: [ComputeOrder]
                if workbench.isIdle {
                    guard let waited = orders.wait() else { return }
                    arrived = waited
                } else {
                    arrived = orders.takeAll()
                }
                for order in arrived { ComputeThread.perform(order, workbench, answers) }
                if !workbench.isIdle {
                    workbench.advance { answers.put(.outcome($0)) }
                }
            }
        }
    }

    package func stop() { orders.close() }
    package func join() { thread.join() }

    private static func perform(_ order: ComputeOrder, _ workbench: any Workbench, _ answers: Mailbox<ComputeAnswer>) {
        switch order {
        case .configure(let welcome, let bundle, let blobDirectory):
            do {
                try workbench.configure(welcome, bundle: bundle, blobDirectory: blobDirectory)
                answers.put(.configured)
            } catch {
                answers.put(.configureFailed("\(error)"))
            }
        case .load(let manifest):
            do {
                answers.put(.loaded(manifest.version, try workbench.load(manifest)))
            } catch {
                answers.put(.loadFailed(manifest.version, "\(error)"))
            }
        case .restartLearner(let manifest):
            workbench.restartLearner(manifest)
        case .start(let lease, let order):
            workbench.start(lease, order)
        case .cancel(let lease):
            workbench.cancel(lease)
        }
    }
}
