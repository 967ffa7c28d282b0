// Right when the number found is the known number, compared exactly as rationals.

import Rollouts

struct NumericVerifier: Verifier {
    private let extraction: Extraction
    private let units: [String]
    /// Largest allowed difference, as the recipe writes it in decimal; 0 demands equality.
    private let tolerance: Rational

    init(_ options: VerifierOptions) throws(VerifierError) {
        extraction = Extraction(options)
        units = options.units.map(\.trimmed)
        if units.contains("") {
            throw VerifierError(kind: .numeric, option: "units", problem: "holds an empty unit; remove it")
        }
        // The shortest decimal that names the Double is what the recipe says: 0.1 is one tenth.
        guard options.tolerance >= 0, let literal = NumberScanner("\(options.tolerance)").wholeNumber(),
            case .rational(let tolerance) = literal.value
        else {
            throw VerifierError(
                kind: .numeric, option: "tolerance",
                problem: "is \(options.tolerance); expected a number that is 0 or more")
        }
        self.tolerance = tolerance
    }

    func verify(completion: String, answer: String, prompt: String) -> Verdict {
        guard let key = NumberScanner(answer, units: units).wholeNumber(), case .rational(let expected) = key.value
        else {
            return .noVerdict("the known answer \(answer.quoted) is not a number")
        }
        if completion.trimmed.isEmpty { return .wrong("the completion is empty") }
        let found: NumberLiteral
        switch number(in: completion) {
        case .missing(let reason): return .wrong("\(reason), expected \(key.text.shortened)")
        case .number(let literal): found = literal
        }
        switch found.value {
        case .none(let reason):
            return .wrong("\(extraction.name) \(found.text.shortened) \(reason), expected \(key.text.shortened)")
        case .rational(let value):
            let stated = "\(extraction.name) is \(found.text.shortened)"
            if value.isWithin(tolerance, of: expected) { return .right("\(stated), expected \(key.text.shortened)") }
            return .wrong("\(stated), expected \(key.text.shortened)")
        }
    }

    private enum Found {
        case number(NumberLiteral)
        case missing(String)
    }

    private func number(in completion: String) -> Found {
        let scanner = NumberScanner(completion, units: units)
        switch extraction.kind {
        case .lastNumber: return scanner.numbers().last.map(Found.number) ?? .missing("found no number")
        case .firstNumber: return scanner.numbers(limit: 1).first.map(Found.number) ?? .missing("found no number")
        default: break
        }
        switch extraction(completion) {
        case .missing(let reason): return .missing(reason)
        case .text(let text):
            guard let literal = NumberScanner(text, units: units).wholeNumber() else {
                return .missing("\(extraction.name) \(text.quoted) is not a number")
            }
            return .number(literal)
        }
    }
}
