// Does a recipe mean what it says, and do the recipes that come along work?

import Foundation
import Rollouts
import Testing

@testable import Recipes

private let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

@Suite struct `A recipe` {
    @Test func `keeps every default it does not mention`() throws {
        var expected = RunOptions()
        expected.model.path = "m.gguf"
        var source = DataSource()
        source.task = "add_1digit"
        expected.data.sources = [source]
        #expect(try parse(shortest) == expected)
    }

    @Test func `reads sections, lists and numbers as YAML writes them`() throws {
        let options = try parse(
            """
            name: mine
            model: {path: m.gguf}
            data:
              system: |
                Line one.
                Line two.
              sources:
                - {task: max_of_3, weight: 2}
                - path: a.jsonl
                  answer_after: "####"
            verifier:
              kind: weighted_sum
              parts:
                - weight: 0.9
                  required: true
                  verifier: {kind: numeric, extract: answer_tag}
                - weight: 0.1
                  verifier: {kind: format, pattern: '<answer>.*</answer>'}
            optimizer: {learning_rate: 1e-5, decay: cosine}
            evaluation:
              temperature: 0
            """)
        #expect(options.name == "mine")
        #expect(options.data.system == "Line one.\nLine two.\n")
        #expect(options.data.sources.map(\.task) == ["max_of_3", nil])
        #expect(options.data.sources.map(\.weight) == [2, 1])
        #expect(options.data.sources[1].answerAfter == "####")
        #expect(options.verifier.parts.map(\.weight) == [0.9, 0.1])
        #expect(options.verifier.parts.map(\.required) == [true, false])
        #expect(options.verifier.parts[0].verifier.extract == .answerTag)
        #expect(options.verifier.parts[1].verifier.pattern == "<answer>.*</answer>")
        #expect(options.optimizer.learningRate == 1e-5)
        #expect(options.evaluation.temperature == 0)
    }

    @Test func `an empty section leaves its defaults, an empty optional one asks for defaults`() throws {
        #expect(try parse(shortest + "\nrollout:\nschedule: {}") == parse(shortest))
        let options = try parse(shortest, "model.path=''", "model.initialize={}")
        #expect(options.model.initialise == ModelInitialisation())
        #expect(try parse(shortest, "model.pretrain=null").model.pretrain == nil)
    }

    @Test func `later overrides win, and lists grow by one`() throws {
        let options = try parse(
            shortest, "seed=3", "seed=4", "verifier.shuffle=true", "data.sources.0.weight=2",
            "data.sources.1.task=max_of_3", "data.sources.1.count=5")
        #expect(options.seed == 4)
        #expect(options.verifier.shuffle)
        #expect(options.data.sources.map(\.task) == ["add_1digit", "max_of_3"])
        #expect(options.data.sources.map(\.weight) == [2, 1])
        #expect(options.data.sources[1].count == 5)
    }

    @Test func `an override may hold an equals sign`() throws {
        #expect(try parse(shortest, "data.system=a=b").data.system == "a=b")
    }

    @Test func `renders every key in order`() throws {
        let text = RecipeReader.render(try parse(shortest, "optimizer.learning_rate=1e-5"))
        #expect(
            text.hasPrefix(
                """
                name: run
                seed: 1
                model:
                  path: m.gguf
                  precision: float32
                  initialize: null
                  pretrain: null
                data:
                  sources:
                    - task: add_1digit
                      path: null
                      weight: 1.0
                      count: 1000
                      prompt_field: prompt
                      answer_field: answer
                      answer_after: null
                      filter_field: null
                      filter_value: null
                      template: "{prompt}"
                  held_out_share: 0.2
                  system: null
                  chat: true
                verifier:
                  kind: exact
                  extract: whole
                  marker: "####"

                """))
        #expect(text.contains("\n  parts: []\n"))
        #expect(text.contains("\n  learning_rate: 1.0e-05\n"))
        #expect(text.hasSuffix("  no_verdict_share_limit: 0.5\n  spot_check: 0.0\n"))
    }

    @Test(arguments: [
        "", " ", "true", "null", "~", "1e5", "a: b", "- a", "# no", "\"quoted\"", "back\\slash", "two\nlines\n",
        "tab\t",
        "\u{7}bell", "\u{85}", "\u{2028}", "a\u{feff}b", "emoji 🦉", "{a}", "[b]", "&a *b !c", "'", "%d", "@", "`",
        "a\r\nb",
        "trailing ", "日本語",
    ])
    func `any text survives rendering`(text: String) throws {
        var options = try parse(shortest)
        options.data.system = text
        #expect(try parse(RecipeReader.render(options)).data.system == text)
    }

    @Test(arguments: [2.5e-308, 1.7976931348623157e308, 0.1, 1.0 / 3, 1e22, 123456789.125, 1e-7])
    func `any number survives rendering to the last bit`(number: Double) throws {
        var options = try parse(shortest)
        options.optimizer.epsilon = number
        #expect(try parse(RecipeReader.render(options)).optimizer.epsilon == number)
    }

    @Test(arguments: ["quickstart", "tiny", "offline", "gsm8k", "half-billion", "lora"])
    func `that comes along parses, is named after its file, and survives rendering`(name: String) throws {
        let path = root.appendingPathComponent("cluster/recipes/\(name).yaml").path
        let options = try RecipeReader.load(path: path, overrides: [])
        #expect(options.name == name)
        #expect(try parse(RecipeReader.render(options)) == options)
    }

    @Test func `of every file in the folder is tested`() throws {
        let files = try FileManager.default.contentsOfDirectory(
            atPath: root.appendingPathComponent("cluster/recipes").path)
        #expect(
            files.filter { $0.hasSuffix(".yaml") }.sorted() == [
                "gsm8k.yaml", "half-billion.yaml", "lora.yaml", "offline.yaml", "quickstart.yaml", "tiny.yaml",
            ])
    }
}

@Suite struct `The nearest key` {
    @Test func `is measured in edits`() {
        #expect(KeySuggestion.editDistance(Array("kitten".utf8), Array("sitting".utf8)) == 3)
        #expect(KeySuggestion.editDistance(Array("".utf8), Array("abc".utf8)) == 3)
        #expect(KeySuggestion.editDistance(Array("abc".utf8), Array("abc".utf8)) == 0)
    }

    @Test func `must be near`() {
        #expect(KeySuggestion.nearest(to: "stesp", among: ["lag", "steps"]) == nil)
        #expect(KeySuggestion.nearest(to: "step", among: ["lag", "steps"]) == "steps")
        #expect(KeySuggestion.nearest(to: String(repeating: "x", count: 100_000), among: ["steps"]) == nil)
    }
}
