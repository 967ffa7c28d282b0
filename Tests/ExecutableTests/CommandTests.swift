// Every command on a finished run, and one clear line for every wrong use.

import Foundation
import Testing

@Suite(.serialized)
struct CommandTests {
    private func write(_ text: String, _ name: String, _ ground: Ground) throws -> String {
        let path = ground.folder.appendingPathComponent(name).path
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    @Test func `data that cannot be read leaves no run behind that could not be resumed`() throws {
        let ground = try Ground()
        let data = ground.folder.appendingPathComponent("data.jsonl")
        try "{".write(to: data, atomically: true, encoding: .utf8)
        let tiny = try String(
            contentsOf: Ground.root.appendingPathComponent("cluster/recipes/tiny.yaml"), encoding: .utf8)
        let lines = tiny.split(separator: "\n", omittingEmptySubsequences: false).filter { !$0.contains("count: 200") }
            .map { $0.contains("- task: sum_digits_small") ? "    - path: \(data.path)" : String($0) }
        let recipe = ground.folder.appendingPathComponent("recipe.yaml")
        try lines.joined(separator: "\n").write(to: recipe, atomically: true, encoding: .utf8)
        let failed = try ground.run("coordinator", ["start", recipe.path, "--name", "one", "--runs", ground.runs])
        #expect(failed.status == 1 && failed.errors.contains("data.jsonl line 1"), "\(failed.errors)")
        #expect(!FileManager.default.fileExists(atPath: ground.file("one", "run.sqlite")))
    }

    @Test func `status, evaluate, score, sample, verify, plan and export work on a finished run`() throws {
        let ground = try Ground()
        #expect(try ground.run("coordinator", ground.tiny("run", ["--set", "evaluation.every_steps=0"])).status == 0)
        let runs = ["--runs", ground.runs]

        let status = try ground.run("coordinator", ["status", "run", "--json"] + runs)
        #expect(status.status == 0 && status.output.contains("\"weights_hash\""), "\(status.errors)")

        let problems = try write(
            "{\"prompt\": \"What is 1 + 1?\", \"answer\": \"2\"}\n{\"prompt\": \"2 + 2?\", \"answer\": 4}\n",
            "problems.jsonl", ground)
        let evaluation = try ground.run("coordinator", ["evaluate", "run", "--data", problems, "--json"] + runs)
        #expect(evaluation.status == 0 && evaluation.output.contains("\"accuracy\""), "\(evaluation.errors)")

        let texts = try write("{\"text\": \"abc\"}\n", "texts.jsonl", ground)
        let score = try ground.run("coordinator", ["score", "run", "--data", texts] + runs)
        #expect(score.status == 0, "\(score.errors)")
        let row = try #require(JSONSerialization.jsonObject(with: Data(score.output.utf8)) as? [String: Any])
        #expect((row["tokens"] as? [Int]) == [97, 98, 99])
        #expect((row["log_probs"] as? [Any])?.count == 3)

        let arguments = ["sample", "run", "--prompt", "hi", "--max-new-tokens", "4", "--seed", "1"] + runs
        #expect(try ground.run("coordinator", arguments).status == 0)

        let answers = try write(
            "{\"completion\": \"It is 12.\", \"answer\": \"12\"}\n{\"completion\": \"13\", \"answer\": \"12\"}\n"
                + "{\"completion\": \"13\", \"answer\": \"abc\"}\n", "answers.jsonl", ground)
        let verify = try ground.run(
            "coordinator", ["verify", "numeric", "--set", "extract=last_number", "--data", answers])
        #expect(verify.output.contains("right 1, wrong 1, no verdict 1"), "\(verify.output) \(verify.errors)")

        for format in ["safetensors", "gguf"] {
            let export = try ground.run("coordinator", ["export", "run", "--format", format] + runs)
            #expect(export.status == 0, "\(export.errors)")
        }
        let recipe = Ground.root.appendingPathComponent("cluster/recipes/tiny.yaml").path
        #expect(try ground.run("coordinator", ["plan", recipe]).output.contains("group_size: 4"))
    }

    @Test func `wrong use gets one line that names what was wrong, and a status that is not zero`() throws {
        let ground = try Ground()
        let bad = try write("{\"completion\": 1}\nnot json\n", "bad.jsonl", ground)
        let cases: [([String], String)] = [
            (["status", "nothing", "--runs", ground.runs], "no run `nothing`"),
            (["score", "nothing", "--data", bad, "--runs", ground.runs], "neither a run"),
            (["verify", "numeric", "--data", bad], "answer"),
            (["verify", "numbers", "--data", bad], "numbers"),
            (["verify", "numeric", "--data", "absent.jsonl"], "absent.jsonl"),
            (["plan", "absent.yaml"], "absent.yaml"),
            (ground.tiny("x", ["--set", "rollout.group_siz=4"]), "group_siz"),
            (ground.tiny("x", ["--set", "rollout.group_size=many"]), "group_size"),
            (ground.tiny("x", ["--local", "rollouts=2"]), "rollouts"),
            (ground.tiny("x", ["--local", "none"]), "--listen"),
            (ground.tiny("x", ["--listen", "tcp://0.0.0.0:5555", "--encrypt", "--insecure"]), "--insecure"),
            (["invite", "nothing", "--runs", ground.runs], "--address"),
            (["invite", "nothing", "--address", "tcp://0.0.0.0:5555", "--runs", ground.runs], "--address"),
            (["invite", "nothing", "--expires", "soon", "--runs", ground.runs], "--expires soon"),
            (["workers", "nothing", "--runs", ground.runs], "no run `nothing`"),
            (["pause", "nothing", "--runs", ground.runs], "no run `nothing`"),
            (["drain", "nothing", "worker", "--runs", ground.runs], "no run `nothing`"),
            (ground.tiny("../x"), "run name"),
        ]
        for (arguments, expected) in cases {
            let result = try ground.run("coordinator", arguments)
            #expect(result.status != 0, "\(arguments)")
            #expect(result.errors.contains(expected), "\(arguments): \(result.errors)")
            #expect(result.errors.split(separator: "\n").count == 1, "\(arguments): \(result.errors)")
        }
        let worker = try ground.run("worker", ["join", "tcp://192.0.2.1:5", "--role", "rollout"])
        #expect(worker.status != 0 && worker.errors.contains("--insecure"))
        let mistyped = try ground.run("worker", ["join", "rookery1-aaaaaaaaaaaaaaaaaaaaaaaa"])
        #expect(mistyped.status != 0 && mistyped.errors.contains("mistyped or cut"), "\(mistyped.errors)")
    }
}
