// Right when the text is the answer, white space at both ends aside.

import Rollouts

struct ExactVerifier: Verifier {
    private let extraction: Extraction
    private let ignoreCase: Bool

    init(_ options: VerifierOptions) {
        extraction = Extraction(options)
        ignoreCase = options.ignoreCase
    }

    func verify(completion: String, answer: String, prompt: String) -> Verdict {
        let expected = answer.trimmed
        if expected.isEmpty { return .noVerdict("the known answer is empty") }
        if completion.trimmed.isEmpty { return .wrong("the completion is empty") }
        switch extraction(completion) {
        case .missing(let reason): return .wrong("\(reason), expected \(expected.quoted)")
        case .text(let found):
            if folded(found) == folded(expected) { return .right("\(extraction.name) is \(found.quoted), as expected") }
            return .wrong("\(extraction.name) is \(found.quoted), expected \(expected.quoted)")
        }
    }

    private func folded(_ text: String) -> String { ignoreCase ? text.lowercased() : text }
}
