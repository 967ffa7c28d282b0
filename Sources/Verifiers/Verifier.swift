// Which verifier a recipe asks for.

import Rollouts

/// Judges one completion against a known answer. Pure: the same texts give the same verdict everywhere.
///
/// - An empty completion is wrong.
/// - A known answer that cannot be used (a number that is none, a label that is not offered) is no verdict: the data is
///   at fault, not the completion.
package protocol Verifier: Sendable {
    func verify(completion: String, answer: String, prompt: String) -> Verdict
}

/// One row of the table of verifiers.
struct VerifierRow: Sendable {
    var kind: VerifierOptions.Kind
    /// Options it reads; any other that is set is refused, so that none is ignored silently.
    var uses: [VerifierSetting]
    var make: @Sendable (VerifierOptions, Int) throws(VerifierError) -> any Verifier

    static let all = [
        VerifierRow(kind: .exact, uses: [.extract, .ignoreCase]) { options, _ throws(VerifierError) in
            ExactVerifier(options)
        },
        VerifierRow(kind: .numeric, uses: [.extract, .tolerance, .units]) { options, _ throws(VerifierError) in
            try NumericVerifier(options)
        },
        VerifierRow(kind: .choice, uses: [.extract, .ignoreCase, .choices]) { options, _ throws(VerifierError) in
            try ChoiceVerifier(options)
        },
        VerifierRow(kind: .regex, uses: [.extract, .pattern]) { options, _ throws(VerifierError) in
            try RegexVerifier(options)
        },
        VerifierRow(kind: .format, uses: [.pattern]) { options, _ throws(VerifierError) in
            try FormatVerifier(options)
        },
        VerifierRow(kind: .weightedSum, uses: [.parts]) { options, depth throws(VerifierError) in
            try WeightedSumVerifier(options, depth: depth)
        },
    ]
}

/// The verifier that a recipe describes. `shuffle` is not its business: whoever sets
/// rewards shuffles them.
package func makeVerifier(_ options: VerifierOptions) throws(VerifierError) -> any Verifier {
    try makeVerifier(options, depth: 0)
}

func makeVerifier(_ options: VerifierOptions, depth: Int) throws(VerifierError) -> any Verifier {
    guard let row = VerifierRow.all.first(where: { $0.kind == options.kind }) else {
        preconditionFailure("verifier \(options.kind.rawValue) has no row in VerifierRow.all")
    }
    for setting in VerifierSetting.allCases where setting.isSet(options) && !row.uses.contains(setting) {
        throw VerifierError(
            kind: options.kind, option: setting.rawValue,
            problem: "has no meaning here; remove it, or choose a kind that uses it")
    }
    if options.extract == .afterMarker && options.marker.isEmpty {
        throw VerifierError(kind: options.kind, option: "marker", problem: "is empty; give the text to look for")
    }
    if options.extract != .afterMarker && options.marker != VerifierOptions().marker {
        throw VerifierError(
            kind: options.kind, option: "marker", problem: "has no meaning without `extract: after_marker`")
    }
    return try row.make(options, depth)
}

/// Options that only some verifiers use.
enum VerifierSetting: String, CaseIterable, Sendable {
    case extract
    case ignoreCase = "ignore_case"
    case tolerance, units, choices, pattern, parts

    /// Whether the recipe set it to something other than its default.
    func isSet(_ options: VerifierOptions) -> Bool {
        switch self {
        case .extract: options.extract != .whole
        case .ignoreCase: options.ignoreCase
        case .tolerance: options.tolerance != 0
        case .units: !options.units.isEmpty
        case .choices: !options.choices.isEmpty
        case .pattern: !options.pattern.isEmpty
        case .parts: !options.parts.isEmpty
        }
    }
}

/// A verifier cannot be made as described.
package struct VerifierError: Error, Equatable, CustomStringConvertible {
    package var kind: VerifierOptions.Kind
    /// The recipe's key, below the verifier's.
    package var option: String
    /// What was found and what to do.
    package var problem: String

    package init(kind: VerifierOptions.Kind, option: String, problem: String) {
        self.kind = kind
        self.option = option
        self.problem = problem
    }

    package var description: String { "verifier \(kind.rawValue): `\(option)` \(problem)" }
}
