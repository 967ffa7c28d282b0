// Right when the completion settles on the known label, and on no other.

import Rollouts

/// Looks, in this order, for: the label alone ("B", "(B)", "B."); a label that is announced ("Answer: B", "the answer
/// is (B)"); the only label that stands as a word of its own. More than one of them is ambiguous, which is wrong.
struct ChoiceVerifier: Verifier {
    private let extraction: Extraction
    private let labels: [String]
    private let ignoreCase: Bool

    init(_ options: VerifierOptions) throws(VerifierError) {
        extraction = Extraction(options)
        ignoreCase = options.ignoreCase
        let letters = (UInt8(ascii: "A")...UInt8(ascii: "Z")).map { String(UnicodeScalar($0)) }
        labels = options.choices.isEmpty ? letters : options.choices.map(\.trimmed)
        if labels.contains("") {
            throw VerifierError(kind: .choice, option: "choices", problem: "holds an empty label; remove it")
        }
        let ignoreCase = options.ignoreCase
        let names = labels.map { label in ignoreCase ? label.lowercased() : label }
        if let twice = names.indices.first(where: { names[..<$0].contains(names[$0]) }) {
            throw VerifierError(
                kind: .choice, option: "choices", problem: "holds \(labels[twice].quoted) twice; labels must differ")
        }
    }

    func verify(completion: String, answer: String, prompt: String) -> Verdict {
        guard let expected = LabelReader(answer, labels: labels, ignoreCase: ignoreCase).loneLabel() else {
            return .noVerdict("the known answer \(answer.quoted) is not one of the choices")
        }
        if completion.trimmed.isEmpty { return .wrong("the completion is empty") }
        switch extraction(completion) {
        case .missing(let reason): return .wrong("\(reason), expected \(labels[expected])")
        case .text(let text):
            let found = LabelReader(text, labels: labels, ignoreCase: ignoreCase).settledLabels()
            guard let first = found.first else {
                return .wrong("\(extraction.name) \(text.quoted) names no choice, expected \(labels[expected])")
            }
            guard found.count == 1 else {
                let names = found.map { labels[$0] }.joined(separator: ", ").shortened
                return .wrong("\(extraction.name) is ambiguous: it names \(names), expected \(labels[expected])")
            }
            if first == expected { return .right("chose \(labels[first]), as expected") }
            return .wrong("chose \(labels[first]), expected \(labels[expected])")
        }
    }
}
