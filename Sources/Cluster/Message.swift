// What coordinator and workers say to each other. `Wire` turns these into bytes and back; PROTOCOL.md explains them.

import Rollouts

package enum Message: Equatable, Sendable {
    // worker → coordinator
    case hello(Hello)
    /// `progress`: units of work done so far (tokens, micro-batches) per lease held.
    case heartbeat(progress: [LeaseProgress])
    case rolloutResult(lease: LeaseIdentifier, completions: [Completion], seconds: Double)
    case verificationResult(lease: LeaseIdentifier, verdicts: [Verdict], seconds: Double)
    case trainingResult(lease: LeaseIdentifier, TrainingReport, seconds: Double)
    /// A part of a step's gradient is computed; its blob, where it has one, is handed in.
    case gradientResult(lease: LeaseIdentifier, step: Int, GradientPart, seconds: Double)
    /// The worker holds these weights and computed this hash over them.
    case policyReady(PolicyVersion, weightsHash: Digest)
    case scoreResult(lease: LeaseIdentifier, logProbs: [Float])
    /// Tokens sampled so far in a conversation, as text; only for `Purpose.conversation`.
    case partialText(lease: LeaseIdentifier, text: String)
    /// The work of this lease could not be done here. `retryable`: another worker may succeed.
    case failed(lease: LeaseIdentifier, reason: String, retryable: Bool)
    /// The learner computed other log-probs for these groups than their samplers sent: who sampled them did not hold
    /// the policy asked for, or answered another prompt. Keys in order, at least one. The work is not done.
    case disputed(lease: LeaseIdentifier, [GroupKey], reason: String)
    /// The policy could not be fetched or did not verify.
    case policyFailed(PolicyVersion, reason: String)
    /// The worker leaves on purpose; its leases may be given away at once.
    case goodbye(reason: String)

    // coordinator → worker
    /// Once a connection, and far larger than the others: a value of this type is copied often.
    indirect case welcome(Welcome)
    case refused(reason: String)
    /// Fetch, verify and serve this policy (rollout), or train from it (learner; with the optimizer state if it has
    /// one).
    case policy(PolicyManifest)
    case rollout(lease: LeaseIdentifier, RolloutAssignment)
    case verify(lease: LeaseIdentifier, VerificationAssignment)
    /// Part of the batch of the `train` or `gradient` that follows under the same lease.
    case trainingGroup(lease: LeaseIdentifier, CompletionGroup)
    case train(lease: LeaseIdentifier, TrainingAssignment)
    case gradient(lease: LeaseIdentifier, GradientAssignment)
    case pretrain(lease: LeaseIdentifier, PretrainingAssignment)
    case score(lease: LeaseIdentifier, ScoreAssignment)
    /// Store weights and optimizer state of the version held, as a training result with the same step.
    case saveCheckpoint(lease: LeaseIdentifier)
    case cancel(lease: LeaseIdentifier)
    /// The result of this lease was accepted (or is not wanted): forget it.
    case acknowledge(lease: LeaseIdentifier)
    case shutdown(reason: String)
}

package struct LeaseProgress: Equatable, Sendable {
    package var lease: LeaseIdentifier
    package var unitsDone: UInt64
    package init(lease: LeaseIdentifier, unitsDone: UInt64) {
        self.lease = lease
        self.unitsDone = unitsDone
    }
}

package struct Hello: Equatable, Sendable {
    package var protocolVersion: ProtocolVersion
    /// Unique name of this worker process, chosen by it: host, process id, and a random suffix.
    package var worker: String
    package var host: String
    package var processIdentifier: Int32
    package var roles: [WorkerRole]
    package var threads: Int
    /// How many groups the worker takes at once.
    package var rolloutSlots: Int
    package var verificationSlots: Int
    /// Which kernels it computes with, for the log and for comparing.
    package var kernel: String
    /// The policy version and hash it still holds from before a lost connection.
    package var held: PolicyManifest?

    package init(
        protocolVersion: ProtocolVersion, worker: String, host: String, processIdentifier: Int32, roles: [WorkerRole],
        threads: Int, rolloutSlots: Int, verificationSlots: Int, kernel: String, held: PolicyManifest? = nil
    ) {
        self.protocolVersion = protocolVersion
        self.worker = worker
        self.host = host
        self.processIdentifier = processIdentifier
        self.roles = roles
        self.threads = threads
        self.rolloutSlots = rolloutSlots
        self.verificationSlots = verificationSlots
        self.kernel = kernel
        self.held = held
    }
}

package struct ProtocolVersion: Equatable, Sendable {
    package var major: UInt16
    package var minor: UInt16
    package init(major: UInt16, minor: UInt16) {
        self.major = major
        self.minor = minor
    }
    package static let current = ProtocolVersion(major: 1, minor: 1)
}

package struct Welcome: Equatable, Sendable {
    package var run: String
    package var options: RunOptions
    /// The model's shape and tokenizer: a JSON document (`ModelBundle`).
    package var modelBundle: BlobReference
    /// Where blobs are fetched from and stored to (a ZeroMQ address). A TCP host of `*` or `0.0.0.0` means "the host
    /// you
    /// reached me at".
    package var blobAddress: String
    /// The run's blob folder, usable instead of the address by processes that can see a file with this name in it.
    package var blobDirectory: String
    package var blobDirectoryProof: String
    package init(
        run: String, options: RunOptions, modelBundle: BlobReference, blobAddress: String, blobDirectory: String,
        blobDirectoryProof: String
    ) {
        self.run = run
        self.options = options
        self.modelBundle = modelBundle
        self.blobAddress = blobAddress
        self.blobDirectory = blobDirectory
        self.blobDirectoryProof = blobDirectoryProof
    }
}
