// Every case of Message from its decoded protobuf-c structure.

import CWire
import Cluster
import Rollouts

extension WireCodec {
    static func message(_ root: Rookery__Message) throws(WireError) -> Message {
        root.body_case.rawValue < ROOKERY__MESSAGE__BODY_WELCOME.rawValue
            ? try fromWorker(root) : try fromCoordinator(root)
    }

    private static func fromWorker(_ root: Rookery__Message) throws(WireError) -> Message {
        switch root.body_case {
        case ROOKERY__MESSAGE__BODY_HELLO:
            return .hello(try Checked.nested(root.hello, "hello", hello))
        case ROOKERY__MESSAGE__BODY_HEARTBEAT:
            return .heartbeat(progress: try Checked.nested(root.heartbeat, "heartbeat", heartbeat))
        case ROOKERY__MESSAGE__BODY_ROLLOUT_RESULT:
            return try Checked.nested(root.rollout_result, "rollout_result") { body throws(WireError) in
                .rolloutResult(
                    lease: LeaseIdentifier(body.lease),
                    completions: try Checked.list(body.n_completions, body.completions, "completions", completion),
                    seconds: try Checked.nonNegative(body.seconds, "seconds"))
            }
        case ROOKERY__MESSAGE__BODY_VERIFICATION_RESULT:
            return try Checked.nested(root.verification_result, "verification_result") { body throws(WireError) in
                .verificationResult(
                    lease: LeaseIdentifier(body.lease),
                    verdicts: try Checked.list(body.n_verdicts, body.verdicts, "verdicts", verdict),
                    seconds: try Checked.nonNegative(body.seconds, "seconds"))
            }
        case ROOKERY__MESSAGE__BODY_TRAINING_RESULT:
            return try Checked.nested(root.training_result, "training_result", trainingResult)
        case ROOKERY__MESSAGE__BODY_GRADIENT_RESULT:
            return try Checked.nested(root.gradient_result, "gradient_result") { body throws(WireError) in
                .gradientResult(
                    lease: LeaseIdentifier(body.lease),
                    step: try Checked.integer(body.step, "step", in: WireLimits.stepRange),
                    try Checked.nested(body.part, "part", gradientPart),
                    seconds: try Checked.nonNegative(body.seconds, "seconds"))
            }
        case ROOKERY__MESSAGE__BODY_POLICY_READY:
            return try Checked.nested(root.policy_ready, "policy_ready") { body throws(WireError) in
                .policyReady(
                    PolicyVersion(body.version), weightsHash: try Checked.digest(body.weights_hash, "weights_hash"))
            }
        case ROOKERY__MESSAGE__BODY_SCORE_RESULT:
            return try Checked.nested(root.score_result, "score_result") { body throws(WireError) in
                .scoreResult(
                    lease: LeaseIdentifier(body.lease),
                    logProbs: try Checked.floats(body.n_log_probs, body.log_probs, "log_probs"))
            }
        case ROOKERY__MESSAGE__BODY_PARTIAL_TEXT:
            return try Checked.nested(root.partial_text, "partial_text") { body throws(WireError) in
                .partialText(lease: LeaseIdentifier(body.lease), text: try Checked.text(body.text, "text"))
            }
        case ROOKERY__MESSAGE__BODY_FAILED:
            return try Checked.nested(root.failed, "failed") { body throws(WireError) in
                let lease = LeaseIdentifier(body.lease)
                let reason = try Checked.text(body.reason, "reason")
                if body.n_disputed == 0 {
                    return .failed(lease: lease, reason: reason, retryable: body.retryable != 0)
                }
                guard body.retryable != 0 else {
                    throw WireError(.message, "retryable", expected: "true, as groups are disputed", found: "false")
                }
                let keys = try Checked.list(body.n_disputed, body.disputed, "disputed", groupKey)
                return .disputed(lease: lease, keys, reason: reason)
            }
        case ROOKERY__MESSAGE__BODY_POLICY_FAILED:
            return try Checked.nested(root.policy_failed, "policy_failed") { body throws(WireError) in
                .policyFailed(PolicyVersion(body.version), reason: try Checked.text(body.reason, "reason"))
            }
        case ROOKERY__MESSAGE__BODY_GOODBYE:
            return try Checked.nested(root.goodbye, "goodbye") { body throws(WireError) in
                .goodbye(reason: try Checked.text(body.reason, "reason"))
            }
        default:
            throw unknownBody(root)
        }
    }

    private static func fromCoordinator(_ root: Rookery__Message) throws(WireError) -> Message {
        switch root.body_case {
        case ROOKERY__MESSAGE__BODY_WELCOME:
            return .welcome(try Checked.nested(root.welcome, "welcome", welcome))
        case ROOKERY__MESSAGE__BODY_REFUSED:
            return try Checked.nested(root.refused, "refused") { body throws(WireError) in
                .refused(reason: try Checked.text(body.reason, "reason"))
            }
        case ROOKERY__MESSAGE__BODY_POLICY:
            return .policy(try Checked.nested(root.policy, "policy", manifest))
        case ROOKERY__MESSAGE__BODY_ROLLOUT:
            return try Checked.nested(root.rollout, "rollout") { body throws(WireError) in
                .rollout(lease: LeaseIdentifier(body.lease), try rollout(body))
            }
        case ROOKERY__MESSAGE__BODY_VERIFY:
            return try Checked.nested(root.verify, "verify") { body throws(WireError) in
                .verify(
                    lease: LeaseIdentifier(body.lease),
                    VerificationAssignment(
                        key: try Checked.nested(body.key, "key", groupKey),
                        promptText: try Checked.text(body.prompt_text, "prompt_text"),
                        answer: try Checked.text(body.answer, "answer"),
                        completions: try Checked.texts(body.n_completions, body.completions, "completions")))
            }
        case ROOKERY__MESSAGE__BODY_TRAINING_GROUP:
            return try Checked.nested(root.training_group, "training_group") { body throws(WireError) in
                .trainingGroup(
                    lease: LeaseIdentifier(body.lease), try Checked.nested(body.group, "group", group))
            }
        case ROOKERY__MESSAGE__BODY_TRAIN:
            return try Checked.nested(root.train, "train") { body throws(WireError) in
                .train(lease: LeaseIdentifier(body.lease), try training(body))
            }
        case ROOKERY__MESSAGE__BODY_GRADIENT:
            return try Checked.nested(root.gradient, "gradient") { body throws(WireError) in
                .gradient(lease: LeaseIdentifier(body.lease), try gradient(body))
            }
        case ROOKERY__MESSAGE__BODY_PRETRAIN:
            return try Checked.nested(root.pretrain, "pretrain") { body throws(WireError) in
                .pretrain(lease: LeaseIdentifier(body.lease), try pretraining(body))
            }
        case ROOKERY__MESSAGE__BODY_SCORE:
            return try Checked.nested(root.score, "score") { body throws(WireError) in
                .score(
                    lease: LeaseIdentifier(body.lease),
                    ScoreAssignment(
                        version: PolicyVersion(body.version),
                        tokens: try Checked.tokens(body.n_tokens, body.tokens, "tokens")))
            }
        case ROOKERY__MESSAGE__BODY_SAVE_CHECKPOINT:
            return .saveCheckpoint(lease: LeaseIdentifier(try Checked.present(root.save_checkpoint, "body").lease))
        case ROOKERY__MESSAGE__BODY_CANCEL:
            return .cancel(lease: LeaseIdentifier(try Checked.present(root.cancel, "body").lease))
        case ROOKERY__MESSAGE__BODY_ACKNOWLEDGE:
            return .acknowledge(lease: LeaseIdentifier(try Checked.present(root.acknowledge, "body").lease))
        case ROOKERY__MESSAGE__BODY_SHUTDOWN:
            return try Checked.nested(root.shutdown, "shutdown") { body throws(WireError) in
                .shutdown(reason: try Checked.text(body.reason, "reason"))
            }
        default:
            throw unknownBody(root)
        }
    }

    private static func unknownBody(_ root: Rookery__Message) -> WireError {
        WireError(.message, "", expected: "a body of this release", found: "body \(root.body_case.rawValue)")
    }
}
