// The larger message bodies as their protobuf-c structures.

import CWire
import Cluster
import Rollouts

extension EncodingArena {
    func rolloutResult(
        _ lease: LeaseIdentifier, _ completions: [Completion], _ seconds: Double
    ) -> UnsafeMutablePointer<Rookery__RolloutResult> {
        make(rookery__rollout_result__init) {
            $0.lease = lease.rawValue
            $0.n_completions = completions.count
            $0.completions = pointers(completions, completion)
            $0.seconds = seconds
        }
    }

    func verificationResult(
        _ lease: LeaseIdentifier, _ verdicts: [Verdict], _ seconds: Double
    ) -> UnsafeMutablePointer<Rookery__VerificationResult> {
        make(rookery__verification_result__init) {
            $0.lease = lease.rawValue
            $0.n_verdicts = verdicts.count
            $0.verdicts = pointers(verdicts, verdict)
            $0.seconds = seconds
        }
    }

    func trainingResult(
        _ lease: LeaseIdentifier, _ report: TrainingReport, _ seconds: Double
    ) -> UnsafeMutablePointer<Rookery__TrainingResult> {
        make(rookery__training_result__init) {
            $0.lease = lease.rawValue
            $0.step = unsigned(report.step)
            $0.manifest = manifest(report.manifest)
            $0.n_metrics = report.metrics.count
            $0.metrics = pointers(report.metrics, metric)
            $0.seconds = seconds
        }
    }

    func verify(
        _ lease: LeaseIdentifier, _ assignment: VerificationAssignment
    ) -> UnsafeMutablePointer<Rookery__Verify> {
        make(rookery__verify__init) {
            $0.lease = lease.rawValue
            $0.key = groupKey(assignment.key)
            $0.prompt_text = text(assignment.promptText)
            $0.answer = text(assignment.answer)
            $0.n_completions = assignment.completions.count
            $0.completions = texts(assignment.completions)
        }
    }

    func train(_ lease: LeaseIdentifier, _ assignment: TrainingAssignment) -> UnsafeMutablePointer<Rookery__Train> {
        make(rookery__train__init) {
            $0.lease = lease.rawValue
            $0.step = unsigned(assignment.step)
            $0.base_version = assignment.base.rawValue
            $0.group_count = unsigned(assignment.groupCount)
            $0.learning_rate = assignment.learningRate
            $0.checkpoint = assignment.checkpoint ? 1 : 0
            $0.reference = assignment.reference.map { manifest($0) }
            $0.n_parts = assignment.parts.count
            $0.parts = pointers(assignment.parts, gradientPart)
        }
    }

    func gradient(
        _ lease: LeaseIdentifier, _ assignment: GradientAssignment
    ) -> UnsafeMutablePointer<Rookery__Gradient> {
        make(rookery__gradient__init) {
            $0.lease = lease.rawValue
            $0.step = unsigned(assignment.step)
            $0.base_version = assignment.base.rawValue
            $0.group_count = unsigned(assignment.groupCount)
            $0.first_shard = unsigned(assignment.shards.first)
            $0.shard_count = unsigned(assignment.shards.count)
            $0.keep = assignment.keep ? 1 : 0
            $0.attempt = assignment.attempt
            $0.reference = assignment.reference.map { manifest($0) }
        }
    }

    func hello(_ hello: Hello) -> UnsafeMutablePointer<Rookery__Hello> {
        make(rookery__hello__init) {
            $0.protocol_major = UInt32(hello.protocolVersion.major)
            $0.protocol_minor = UInt32(hello.protocolVersion.minor)
            $0.worker = text(hello.worker)
            $0.host = text(hello.host)
            $0.process_identifier = hello.processIdentifier
            $0.n_roles = hello.roles.count
            $0.roles = copy(hello.roles.map(role))
            $0.threads = unsigned(hello.threads)
            $0.rollout_slots = unsigned(hello.rolloutSlots)
            $0.verification_slots = unsigned(hello.verificationSlots)
            $0.kernel = text(hello.kernel)
            $0.held = hello.held.map(manifest)
        }
    }

    func welcome(_ welcome: Welcome) -> UnsafeMutablePointer<Rookery__Welcome> {
        make(rookery__welcome__init) {
            $0.run = text(welcome.run)
            $0.options_json = bytes(OptionsDocument.encode(welcome.options))
            $0.model_bundle = blob(welcome.modelBundle)
            $0.blob_address = text(welcome.blobAddress)
            $0.blob_directory = text(welcome.blobDirectory)
            $0.blob_directory_proof = text(welcome.blobDirectoryProof)
        }
    }

    func rollout(
        _ lease: LeaseIdentifier, _ assignment: RolloutAssignment
    ) -> UnsafeMutablePointer<Rookery__Rollout> {
        make(rookery__rollout__init) {
            $0.lease = lease.rawValue
            $0.prompt = prompt(assignment.prompt)
            $0.group_size = unsigned(assignment.groupSize)
            $0.version = assignment.version.rawValue
            $0.sampling = make(rookery__sampling__init) {
                $0.temperature = assignment.sampling.temperature
                $0.top_k = unsigned(assignment.sampling.topK)
                $0.top_p = assignment.sampling.topP
                $0.min_p = assignment.sampling.minP
                $0.max_new_tokens = unsigned(assignment.sampling.maxNewTokens)
                $0.n_stop_strings = assignment.sampling.stopStrings.count
                $0.stop_strings = texts(assignment.sampling.stopStrings)
            }
            $0.seed = assignment.seed
            $0.newer = assignment.newer ? 1 : 0
        }
    }

    func pretrain(
        _ lease: LeaseIdentifier, _ assignment: PretrainingAssignment
    ) -> UnsafeMutablePointer<Rookery__Pretrain> {
        let joined = Array(assignment.sequences.joined())
        return make(rookery__pretrain__init) {
            $0.lease = lease.rawValue
            $0.n_tokens = joined.count
            $0.tokens = tokens(joined)
            $0.n_sequence_lengths = assignment.sequences.count
            $0.sequence_lengths = copy(assignment.sequences.map { UInt32(clamping: $0.count) })
            $0.sequences_per_step = unsigned(assignment.sequencesPerStep)
            $0.learning_rate = assignment.learningRate
        }
    }

    private func role(_ role: WorkerRole) -> Rookery__Role {
        switch role {
        case .rollout: ROOKERY__ROLE__ROLE_ROLLOUT
        case .verifier: ROOKERY__ROLE__ROLE_VERIFIER
        case .learner: ROOKERY__ROLE__ROLE_LEARNER
        }
    }
}
