// Every case of Message as its protobuf-c structure.

import CWire
import Cluster
import Rollouts

extension EncodingArena {
    func message(_ message: Message) -> UnsafeMutablePointer<Rookery__Message> {
        make(rookery__message__init) { root in
            switch message {
            case .hello, .heartbeat, .rolloutResult, .verificationResult, .trainingResult, .gradientResult,
                .policyReady, .scoreResult, .partialText, .failed, .disputed, .policyFailed, .goodbye:
                setFromWorker(message, in: &root)
            case .welcome, .refused, .policy, .rollout, .verify, .trainingGroup, .train, .gradient, .pretrain, .score,
                .saveCheckpoint, .cancel, .acknowledge, .shutdown:
                setFromCoordinator(message, in: &root)
            }
        }
    }

    private func setFromWorker(_ message: Message, in root: inout Rookery__Message) {
        switch message {
        case .hello(let hello):
            root.body_case = ROOKERY__MESSAGE__BODY_HELLO
            root.hello = self.hello(hello)
        case .heartbeat(let progress):
            root.body_case = ROOKERY__MESSAGE__BODY_HEARTBEAT
            root.heartbeat = make(rookery__heartbeat__init) {
                $0.n_leases = progress.count
                $0.leases = copy(progress.map(\.lease.rawValue))
                $0.n_units_done = progress.count
                $0.units_done = copy(progress.map(\.unitsDone))
            }
        case .rolloutResult(let lease, let completions, let seconds):
            root.body_case = ROOKERY__MESSAGE__BODY_ROLLOUT_RESULT
            root.rollout_result = rolloutResult(lease, completions, seconds)
        case .verificationResult(let lease, let verdicts, let seconds):
            root.body_case = ROOKERY__MESSAGE__BODY_VERIFICATION_RESULT
            root.verification_result = verificationResult(lease, verdicts, seconds)
        case .trainingResult(let lease, let report, let seconds):
            root.body_case = ROOKERY__MESSAGE__BODY_TRAINING_RESULT
            root.training_result = trainingResult(lease, report, seconds)
        case .gradientResult(let lease, let step, let part, let seconds):
            root.body_case = ROOKERY__MESSAGE__BODY_GRADIENT_RESULT
            root.gradient_result = make(rookery__gradient_result__init) {
                $0.lease = lease.rawValue
                $0.step = unsigned(step)
                $0.part = gradientPart(part)
                $0.seconds = seconds
            }
        case .policyReady(let version, let weightsHash):
            root.body_case = ROOKERY__MESSAGE__BODY_POLICY_READY
            root.policy_ready = make(rookery__policy_ready__init) {
                $0.version = version.rawValue
                $0.weights_hash = bytes(weightsHash.bytes)
            }
        case .scoreResult(let lease, let logProbs):
            root.body_case = ROOKERY__MESSAGE__BODY_SCORE_RESULT
            root.score_result = make(rookery__score_result__init) {
                $0.lease = lease.rawValue
                $0.n_log_probs = logProbs.count
                $0.log_probs = copy(logProbs)
            }
        case .partialText(let lease, let text):
            root.body_case = ROOKERY__MESSAGE__BODY_PARTIAL_TEXT
            root.partial_text = make(rookery__partial_text__init) {
                $0.lease = lease.rawValue
                $0.text = self.text(text)
            }
        case .failed(let lease, let reason, let retryable):
            root.body_case = ROOKERY__MESSAGE__BODY_FAILED
            root.failed = make(rookery__failed__init) {
                $0.lease = lease.rawValue
                $0.reason = text(reason)
                $0.retryable = retryable ? 1 : 0
            }
        case .disputed(let lease, let keys, let reason):
            root.body_case = ROOKERY__MESSAGE__BODY_FAILED
            root.failed = make(rookery__failed__init) {
                $0.lease = lease.rawValue
                $0.reason = text(reason)
                $0.retryable = 1
                $0.n_disputed = keys.count
                $0.disputed = pointers(keys, groupKey)
            }
        case .policyFailed(let version, let reason):
            root.body_case = ROOKERY__MESSAGE__BODY_POLICY_FAILED
            root.policy_failed = make(rookery__policy_failed__init) {
                $0.version = version.rawValue
                $0.reason = text(reason)
            }
        case .goodbye(let reason):
            root.body_case = ROOKERY__MESSAGE__BODY_GOODBYE
            root.goodbye = make(rookery__goodbye__init) { $0.reason = text(reason) }
        default:
            preconditionFailure("EncodingArena: not a worker's message: \(message)")
        }
    }

    private func setFromCoordinator(_ message: Message, in root: inout Rookery__Message) {
        switch message {
        case .welcome(let welcome):
            root.body_case = ROOKERY__MESSAGE__BODY_WELCOME
            root.welcome = self.welcome(welcome)
        case .refused(let reason):
            root.body_case = ROOKERY__MESSAGE__BODY_REFUSED
            root.refused = make(rookery__refused__init) { $0.reason = text(reason) }
        case .policy(let manifest):
            root.body_case = ROOKERY__MESSAGE__BODY_POLICY
            root.policy = self.manifest(manifest)
        case .rollout(let lease, let assignment):
            root.body_case = ROOKERY__MESSAGE__BODY_ROLLOUT
            root.rollout = rollout(lease, assignment)
        case .verify(let lease, let assignment):
            root.body_case = ROOKERY__MESSAGE__BODY_VERIFY
            root.verify = verify(lease, assignment)
        case .trainingGroup(let lease, let group):
            root.body_case = ROOKERY__MESSAGE__BODY_TRAINING_GROUP
            root.training_group = make(rookery__training_group__init) {
                $0.lease = lease.rawValue
                $0.group = self.group(group)
            }
        case .train(let lease, let assignment):
            root.body_case = ROOKERY__MESSAGE__BODY_TRAIN
            root.train = train(lease, assignment)
        case .gradient(let lease, let assignment):
            root.body_case = ROOKERY__MESSAGE__BODY_GRADIENT
            root.gradient = gradient(lease, assignment)
        case .pretrain(let lease, let assignment):
            root.body_case = ROOKERY__MESSAGE__BODY_PRETRAIN
            root.pretrain = pretrain(lease, assignment)
        case .score(let lease, let assignment):
            root.body_case = ROOKERY__MESSAGE__BODY_SCORE
            root.score = make(rookery__score__init) {
                $0.lease = lease.rawValue
                $0.version = assignment.version.rawValue
                $0.n_tokens = assignment.tokens.count
                $0.tokens = tokens(assignment.tokens)
            }
        case .saveCheckpoint(let lease):
            root.body_case = ROOKERY__MESSAGE__BODY_SAVE_CHECKPOINT
            root.save_checkpoint = make(rookery__save_checkpoint__init) { $0.lease = lease.rawValue }
        case .cancel(let lease):
            root.body_case = ROOKERY__MESSAGE__BODY_CANCEL
            root.cancel = make(rookery__cancel__init) { $0.lease = lease.rawValue }
        case .acknowledge(let lease):
            root.body_case = ROOKERY__MESSAGE__BODY_ACKNOWLEDGE
            root.acknowledge = make(rookery__acknowledge__init) { $0.lease = lease.rawValue }
        case .shutdown(let reason):
            root.body_case = ROOKERY__MESSAGE__BODY_SHUTDOWN
            root.shutdown = make(rookery__shutdown__init) { $0.reason = text(reason) }
        default:
            preconditionFailure("EncodingArena: not a coordinator's message: \(message)")
        }
    }
}
