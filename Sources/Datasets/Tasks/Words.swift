// Letters of everyday words.

extension GeneratedTask {
    static let words = [
        GeneratedTask(name: "first_letter", size: vocabulary.count) { place in
            let word = vocabulary[place]
            return (
                "What is the first letter of the word \"\(word)\"? Answer with one letter only.", String(word.prefix(1))
            )
        },
        GeneratedTask(name: "letter_count", size: letterCounts.count) { place in
            let (word, letter) = letterCounts[place]
            let question = "How many times does the letter \"\(letter)\" appear in the word \"\(word)\"? "
                + "Answer with the number only."
            return (question, "\(word.count { $0 == letter })")
        },
        GeneratedTask(name: "spell_backward", size: vocabulary.count) { place in
            let word = vocabulary[place]
            let question = "Spell this word backward: \(word). Answer with the reversed word only."
            return (question, String(word.reversed()))
        },
    ]

    private static let vocabulary = """
        animal apple banana basket beach bird book bottle bread bridge butter camera castle cat chair cloud dinner \
        doctor dog dream family fish forest friend garden green happy horse house island lamp letter light market milk \
        monkey music number ocean orange paper pencil planet rabbit river school silver star stone sugar summer sun \
        table tiger tree water window winter yellow
        """.split(separator: " ").map(String.init)

    /// Every word with each of its letters, and with "a", "e" and "z", so that some answers are 0.
    private static let letterCounts = vocabulary.flatMap { word in
        var letters: [Character] = []
        for letter in word + "aez" where !letters.contains(letter) { letters.append(letter) }
        return letters.map { (word, $0) }
    }
}
