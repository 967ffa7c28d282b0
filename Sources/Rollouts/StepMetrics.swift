// What is measured about one step; one line of metrics.jsonl.

package struct StepMetrics: Equatable, Sendable, Codable {
    package var step: Int
    package var policyVersion: PolicyVersion
    /// After the step's update.
    package var weightsHash: Digest
    /// Named numbers in a fixed order; names are the keys of metrics.jsonl.
    package var values: [Value]

    package struct Value: Equatable, Sendable, Codable {
        package var name: String
        package var value: Double
        package init(name: String, value: Double) {
            self.name = name
            self.value = value
        }
    }

    package init(step: Int, policyVersion: PolicyVersion, weightsHash: Digest, values: [Value]) {
        self.step = step
        self.policyVersion = policyVersion
        self.weightsHash = weightsHash
        self.values = values
    }

    package subscript(name: String) -> Double? {
        values.first { $0.name == name }?.value
    }
}
