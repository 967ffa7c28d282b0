// Who makes the core's records durable.

import Cluster
import RunStore

/// All or none of a call's records, in the order of the calls. Durable when it returns.
package protocol RecordJournal: Sendable {
    func append(_ records: [Record]) throws
}

extension RunStore: RecordJournal {}
