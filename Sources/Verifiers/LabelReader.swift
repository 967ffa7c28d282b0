// Which of some labels a text names.

/// Finds labels in one text; results are places in the list of labels.
struct LabelReader {
    private let characters: [Character]
    /// ASCII letters in lower case, for the words around labels.
    private let lowercased: [Character]
    /// What labels are compared with.
    private let compared: [Character]
    /// Longest first, so that "New York" is not read as "York".
    private let labels: [(place: Int, characters: [Character])]

    init(_ text: String, labels: [String], ignoreCase: Bool) {
        func fold(_ character: Character) -> Character {
            let lower = character.lowercased()
            return lower.count == 1 ? Character(lower) : character
        }
        characters = Array(text.trimmed)
        lowercased = characters.map { $0.isASCII ? fold($0) : $0 }
        compared = ignoreCase ? characters.map(fold) : characters
        self.labels = labels.enumerated()
            .map { place, label in (place, ignoreCase ? label.map(fold) : Array(label)) }
            .sorted { ($1.1.count, $0.0) < ($0.1.count, $1.0) }
    }

    /// The label that the whole text is, brackets, quotes, emphasis and a final stop aside.
    func loneLabel() -> Int? {
        var text = compared[...]
        while true {
            if let label = labels.first(where: { text.elementsEqual($0.characters) }) { return label.place }
            if let last = text.last, Self.wrappers.contains(last) || last.isWhitespace || ".:,".contains(last) {
                text.removeLast()
            } else if let first = text.first, Self.wrappers.contains(first) || first.isWhitespace {
                text.removeFirst()
            } else {
                return nil
            }
        }
    }

    /// The labels the text settles on, in the order they are named; one is a choice, more are ambiguous.
    func settledLabels() -> [Int] {
        if let lone = loneLabel() { return [lone] }
        let announced = announcedLabels()
        return announced.isEmpty ? standaloneLabels() : announced
    }

    // MARK: Announced labels

    private static let wrappers: Set<Character> = ["(", ")", "[", "]", "{", "}", "*", "_", "\"", "'", "`", "$"]
    private static let fillers = ["is", "option", "choice", "letter", "the", "would", "should", "must", "be"]
        .map(Array.init)
    private static let joiners = ["or", "and", "/", "&"].map(Array.init)
    /// Follow a label, never an article.
    private static let verbs = ["is", "was", "because"].map(Array.init)

    private func announcedLabels() -> [Int] {
        var found: [Int] = []
        var index = 0
        while index < characters.count {
            guard let end = word(Array("answer"), at: index) else {
                index += 1
                continue
            }
            index = end
            var place = announcedPlace(after: end)
            while let start = place, let label = label(at: start), !isArticle(at: start, label: label.place) {
                if !found.contains(label.place) { found.append(label.place) }
                index = label.end
                place = joinedPlace(after: label.end)
            }
        }
        return found
    }

    /// Where a label may stand behind "answer", past "is", colons and brackets.
    private func announcedPlace(after start: Int) -> Int? {
        var index = start
        while index < characters.count {
            let character = characters[index]
            if label(at: index) != nil { return index }
            if character.isWhitespace || Self.wrappers.contains(character) || ":=-".contains(character) {
                index += 1
            } else if let end = Self.fillers.lazy.compactMap({ word($0, at: index) }).first {
                index = end
            } else {
                return nil
            }
        }
        return nil
    }

    /// Where a second label may stand behind "or": "B or C" settles on neither.
    private func joinedPlace(after start: Int) -> Int? {
        let index = skipWrappers(from: start)
        guard let end = Self.joiners.lazy.compactMap({ word($0, at: index) }).first else { return nil }
        return skipWrappers(from: end)
    }

    private func skipWrappers(from start: Int) -> Int {
        characters[start...].firstIndex { !$0.isWhitespace && !Self.wrappers.contains($0) } ?? characters.count
    }

    /// In lower case, "a" and "i" before another word are words, not labels.
    private func isArticle(at index: Int, label: Int) -> Bool {
        "ai".contains(characters[index]) && isWordFollowedByWord(at: index)
    }

    // MARK: Labels as words of their own

    private func standaloneLabels() -> [Int] {
        var found: [Int] = []
        var index = 0
        while index < characters.count {
            guard let label = label(at: index) else {
                index += 1
                continue
            }
            // "A cat", "I think", "I'm": English words, whatever the labels are.
            let isWord = "AaIi".contains(characters[index]) && label.end == index + 1
                && (isWordFollowedByWord(at: index) || "'’".contains(character(index + 1) ?? " "))
            if !isWord && !found.contains(label.place) { found.append(label.place) }
            index = label.end
        }
        return found
    }

    /// "a cat", but not "A or B" and not "A is right".
    private func isWordFollowedByWord(at index: Int) -> Bool {
        guard character(index + 1)?.isWhitespace == true, character(index + 2)?.isLowercase == true
        else { return false }
        return !Self.verbs.contains { word($0, at: index + 2) != nil }
            && !Self.joiners.contains { word($0, at: index + 2) != nil }
    }

    // MARK: Words

    /// The longest label that stands here as a word of its own.
    private func label(at index: Int) -> (place: Int, end: Int)? {
        for label in labels {
            if let end = match(label.characters, in: compared, at: index) { return (label.place, end) }
        }
        return nil
    }

    private func word(_ word: [Character], at index: Int) -> Int? { match(word, in: lowercased, at: index) }

    /// The end of `word` where it stands here with no letter or digit glued to either side.
    private func match(_ word: [Character], in text: [Character], at index: Int) -> Int? {
        guard text[index...].starts(with: word) else { return nil }
        let end = index + word.count
        let isGluedBefore = isWordLike(word.first) && isWordLike(character(index - 1))
        let isGluedAfter = isWordLike(word.last) && isWordLike(character(end))
        return isGluedBefore || isGluedAfter ? nil : end
    }

    private func isWordLike(_ character: Character?) -> Bool {
        character.map { $0.isLetter || $0.isNumber } ?? false
    }

    private func character(_ index: Int) -> Character? { characters.indices.contains(index) ? characters[index] : nil }
}
