// How these tests make a verifier and read its verdict.

import Rollouts
import Verifiers

func options(
    _ kind: VerifierOptions.Kind, _ extract: VerifierOptions.Extract = .whole,
    _ change: (inout VerifierOptions) -> Void = { _ in }
) -> VerifierOptions {
    var options = VerifierOptions()
    options.kind = kind
    options.extract = extract
    change(&options)
    return options
}

func judge(_ options: VerifierOptions, _ completion: String, _ answer: String) throws -> Verdict {
    try makeVerifier(options).verify(completion: completion, answer: answer, prompt: "?")
}

func outcome(_ options: VerifierOptions, _ completion: String, _ answer: String) throws -> Verdict.Outcome {
    try judge(options, completion, answer).outcome
}

/// The error's line; nil when the verifier can be made.
func failure(_ options: VerifierOptions) -> String? {
    do {
        _ = try makeVerifier(options)
        return nil
    } catch {
        return "\(error)"
    }
}
