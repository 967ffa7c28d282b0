// Small values that tests build on.

import Rollouts
import Simulation

@testable import Cluster

enum Samples {
    static func time(_ seconds: Double) -> MonotonicTime { MonotonicTime(nanoseconds: Int64(seconds * 1e9)) }
    static func peer(_ number: UInt8) -> PeerIdentifier { PeerIdentifier(bytes: [number]) }
    static func key(_ step: Int, _ ordinal: Int) -> GroupKey {
        GroupKey(purpose: .training, step: step, ordinal: ordinal)
    }

    static func hello(
        _ name: String, _ roles: [WorkerRole] = [.rollout, .verifier, .learner], slots: Int = 2, process: Int32 = 1,
        protocolVersion: ProtocolVersion = .current, held: PolicyManifest? = nil
    ) -> Hello {
        Hello(
            protocolVersion: protocolVersion, worker: name, host: "host", processIdentifier: process, roles: roles,
            threads: 1, rolloutSlots: slots, verificationSlots: slots, kernel: "scalar", held: held)
    }

    static func worker(_ name: String, _ roles: [WorkerRole], slots: Int = 2, holding: PolicyManifest? = nil) -> Worker
    {
        var worker = Worker(
            hello: hello(name, roles, slots: slots), peer: peer(UInt8(name.utf8.first ?? 0)), lastHeard: .zero)
        if let holding { worker.policy = .ready(holding) }
        return worker
    }

    static func policy(_ version: UInt64, optimizer: Bool = false) -> PolicyManifest {
        ScriptedWork.manifest(
            version: PolicyVersion(version), weights: Fingerprint(100 + version).digest,
            optimizer: optimizer ? Fingerprint(200 + version).digest : nil)
    }

    static func assignment(_ step: Int, _ ordinal: Int, version: UInt64 = 0, groupSize: Int = 2) -> RolloutAssignment {
        RolloutAssignment(
            prompt: ScriptedWork.prompt(key(step, ordinal), position: ordinal), groupSize: groupSize,
            version: PolicyVersion(version), sampling: SamplingOptions(), seed: 1)
    }

    static func completion(_ index: Int, tokens: [Int32] = [1, 2], finish: FinishReason = .stop) -> Completion {
        Completion(
            index: index, tokens: tokens, sampledLogProbs: tokens.map { _ in -0.5 },
            policyLogProbs: tokens.map { _ in -0.5 }, entropies: tokens.map { _ in 0.5 },
            versions: tokens.map { _ in PolicyVersion.base }, text: "\(tokens)", finish: finish)
    }

    static func welcome(_ run: String = "test") -> Welcome {
        Welcome(
            run: run, options: RunOptions(), modelBundle: BlobReference(digest: Fingerprint(9).digest, byteCount: 1),
            blobAddress: "inproc://blobs", blobDirectory: "", blobDirectoryProof: "")
    }
}
