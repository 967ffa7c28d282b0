// Text to token ids and back, for byte-level BPE vocabularies of any origin.
import Rollouts

/// Immutable and cheap to copy; safe to use from several threads at once.
package struct Tokenizer: Sendable {
    /// What belongs to a tokenizer beside its vocabulary and merges.
    struct Settings: Equatable, Sendable {
        /// What becomes of a byte that no token stands for.
        enum MissingByte: Equatable, Sendable {
            case dropped
            /// One `unknown` token for each byte, or (fused) for each run of them.
            case replaced(by: Int32, fused: Bool)
        }
        var preTokenizer: PreTokenizer
        /// Unicode NFC before anything else.
        var composesCharacters = false
        /// A piece that is a token as a whole is that token, whatever the merges would make of it.
        var prefersWholePieces = false
        var missingByte = MissingByte.dropped
        var bos: Int32?
        var eos: Int32?
        var unknown: Int32?
        var padding: Int32?
        /// Further ids that end a completion, as the model's generation_config.json lists them.
        var generationEnds: [Int32] = []
        var addsBOS = false
        var chatTemplate: String?
    }

    /// The parts that are built once and shared by all copies.
    final class Core: Sendable {
        let settings: Settings
        let vocabulary: Vocabulary
        let mergeOrder: MergeOrder
        let merges: MergeTable
        /// Byte → id of its token; -1 where the vocabulary has none.
        let byteIDs: [Int32]
        let markers: MarkerIndex
        let template: Result<ChatTemplate, TokenizationError>?
        let endTokens: [Int32]

        init(
            _ entries: [Vocabulary.Entry], _ mergeOrder: MergeOrder, _ settings: Settings, source: String
        ) throws(TokenizationError) {
            vocabulary = try Vocabulary(entries, source: source)
            self.settings = settings
            self.mergeOrder = mergeOrder
            merges = try MergeTable(mergeOrder, vocabulary, source: source)
            let vocabulary = vocabulary
            byteIDs = (0...255).map { (byte: UInt8) in
                guard let id = vocabulary.id(of: [byte]), vocabulary.kind(of: id) == .ordinary else { return -1 }
                return id
            }
            markers = MarkerIndex(vocabulary)
            try Core.check(settings, count: vocabulary.count, source: source)
            // A template that cannot be read does not stand in the way of plain-text use: `render` reports it.
            template = settings.chatTemplate.map { text in
                do throws(TokenizationError) { return .success(try ChatTemplate(text)) } catch {
                    return .failure(error)
                }
            }
            endTokens = Core.endTokens(settings, vocabulary)
        }

        private static func check(_ settings: Settings, count: Int, source: String) throws(TokenizationError) {
            var named = [
                ("beginning-of-text token", settings.bos), ("end token", settings.eos),
                ("unknown token", settings.unknown), ("padding token", settings.padding),
            ]
            named += settings.generationEnds.map { ("end token", $0) }
            if case .replaced(let id, _) = settings.missingByte { named.append(("unknown token", id)) }
            for (name, id) in named {
                if let id, id < 0 || Int(id) >= count {
                    throw .malformed(source: source, subject: name, problem: "id \(id) in a vocabulary of \(count)")
                }
            }
        }

        private static let turnEnds = [
            "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|eot|>", "<|end_of_turn|>", "<end_of_turn>",
            "<|return|>",
        ]

        /// eos, then the generation config's, then the turn ends that the template writes.
        private static func endTokens(_ settings: Settings, _ vocabulary: Vocabulary) -> [Int32] {
            var ends: [Int32] = []
            if let eos = settings.eos { ends.append(eos) }
            ends += settings.generationEnds
            if let template = settings.chatTemplate {
                for marker in turnEnds where template.contains(marker) {
                    if let id = vocabulary.id(of: Array(marker.utf8)), vocabulary.kind(of: id) == .special {
                        ends.append(id)
                    }
                }
            }
            var seen: Set<Int32> = []
            return ends.filter { seen.insert($0).inserted }
        }
    }

    let core: Core
    /// What `strftime_now` tells a chat template. A fixed date, so that a run's prompts do not depend on the day on
    /// which they are rendered; it is the one that Llama 3's own template falls back to.
    package var templateDate = CalendarDate(year: 2024, month: 7, day: 26)

    init(
        _ entries: [Vocabulary.Entry], _ mergeOrder: MergeOrder, _ settings: Settings, source: String
    ) throws(TokenizationError) {
        core = try Core(entries, mergeOrder, settings, source: source)
    }

    /// One more than the largest id.
    package var vocabularySize: Int { core.vocabulary.count }
    package var bos: Int32? { core.settings.bos }
    package var eos: Int32? { core.settings.eos }
    package var padding: Int32? { core.settings.padding }
    package var preTokenizer: PreTokenizer { core.settings.preTokenizer }
    /// Whether plain text is to be preceded by `bos`. Chat templates write it themselves.
    package var addsBOS: Bool { core.settings.addsBOS }
    /// The ids that end a completion; eos first, none twice.
    package var endTokens: [Int32] { core.endTokens }

    /// nil without a template, and where the template cannot be read; `render` says why.
    package var chatTemplate: ChatTemplate? {
        guard case .success(let template) = core.template else { return nil }
        return template
    }

    /// - Returns: empty for an id outside the vocabulary.
    package func bytes(of id: Int32) -> [UInt8] { Array(core.vocabulary.bytes(of: id)) }

    package func isSpecial(_ id: Int32) -> Bool { core.vocabulary.kind(of: id) == .special }

    /// The id of a marker or added word with exactly this text, such as `<|im_end|>`.
    package func marker(_ text: String) -> Int32? {
        guard let id = core.vocabulary.id(of: Array(text.utf8)) else { return nil }
        return core.vocabulary.kind(of: id) == .special || core.vocabulary.kind(of: id) == .added ? id : nil
    }
}

extension Tokenizer {
    /// Concatenates the tokens' bytes and reads them as UTF-8; each maximal invalid part becomes one U+FFFD.
    /// Ids outside the vocabulary add nothing. No white space is tidied away.
    package func decode(_ ids: [Int32], skipSpecials: Bool) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(ids.count * 4)
        for id in ids where !(skipSpecials && isSpecial(id)) { bytes += core.vocabulary.bytes(of: id) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
