// What may a recipe or a data set hold?

import Datasets
import Recipes
import Rollouts
import Synchronization

enum TextBytes {
    /// Resolved recipes that were read back already: most mutations change words that do not count.
    private static let checked = Mutex<Set<String>>([])

    static func recipe(_ bytes: [UInt8]) throws {
        guard let yaml = String(validating: bytes, as: UTF8.self) else { return }
        let rendered = RecipeReader.render(try RecipeReader.parse(yaml: yaml, file: "recipe.yaml", overrides: []))
        let isNew = checked.withLock { checked in
            if checked.count == 1000 { checked = [] }
            return checked.insert(rendered).inserted
        }
        guard isNew else { return }
        let again = try FuzzFinding.mustWork("a resolved recipe is refused") {
            RecipeReader.render(try RecipeReader.parse(yaml: rendered, file: "resolved", overrides: []))
        }
        try FuzzFinding.require(again == rendered, "a resolved recipe reads back as another")
    }

    /// JSONL rows as recipes' sources read them: plain, with a marked answer, and as conversations.
    static func dataset(_ bytes: [UInt8]) throws {
        var marked = DataSource()
        marked.promptField = "question"
        marked.answerAfter = "####"
        var conversations = DataSource()
        conversations.promptField = "messages"
        conversations.answerField = ""
        conversations.filterField = "subset"
        conversations.filterValue = "true"
        var refusals: [DatasetError] = []
        let sources = [DataSource(), marked, conversations]
        for source in sources {
            switch Result(catching: { () throws(DatasetError) in try rows(bytes, source) }) {
            case .success(let read):
                try FuzzFinding.require(read.allSatisfy { !$0.messages.isEmpty }, "an accepted row has no turns")
            case .failure(let refusal): refusals.append(refusal)
            }
        }
        // One of them is what the file was written for.
        if refusals.count == sources.count { throw refusals[0] }
    }

    private static func rows(_ bytes: [UInt8], _ source: DataSource) throws(DatasetError) -> [DataRow] {
        try FileRows(source, path: "data.jsonl", source: "data", refusesSystemTurns: true)
            .rows(of: JSONLineReader(bytes: bytes, path: "data.jsonl"))
    }
}
