// Are medians, ratios, costs and the report what they say?
import Foundation
import Measurement
import Testing

@Suite struct SpreadTests {
    @Test func `the median is the middle one, or the mean of the two in the middle`() throws {
        #expect(try #require(Spread([3, 1, 2])).median == 2)
        #expect(try #require(Spread([4, 1, 3, 2])).median == 2.5)
        #expect(Spread(7).median == 7)
    }

    @Test func `lowest, highest and width are of all measurements`() throws {
        let spread = try #require(Spread([5, 4, 7]))
        #expect(spread.low == 4 && spread.high == 7)
        #expect(spread.relativeWidth == 0.6)
        #expect(Spread(5).relativeWidth == nil)
    }

    @Test func `nothing measured, or something that is no number, is no spread`() {
        #expect(Spread([]) == nil)
        #expect(Spread([1, .nan]) == nil)
        #expect(Spread([1, .infinity]) == nil)
    }
}

@Suite struct FindingTests {
    @Test func `a ratio above 1 is in our favor whichever way is better`() {
        let peer = PeerValue(peer: "other", value: Spread(4))
        #expect(Finding("speed", Spread(8), unit: "tokens/s").ratio(to: peer) == 2)
        #expect(Finding("time", Spread(2), unit: "s", .lowerIsBetter).ratio(to: peer) == 2)
        #expect(Finding("length", Spread(2), unit: "tokens", .neither).ratio(to: peer) == nil)
        #expect(Finding("time", Spread(0), unit: "s", .lowerIsBetter).ratio(to: peer) == nil)
    }

    @Test func `the share of the ceiling is that of the possible speed, or of the least time`() {
        #expect(Finding("speed", Spread(30), unit: "GFLOP/s", ceiling: 120).ceilingShare == 0.25)
        #expect(Finding("time", Spread(4), unit: "s", .lowerIsBetter, ceiling: 1).ceilingShare == 0.25)
        #expect(Finding("speed", Spread(30), unit: "GFLOP/s").ceilingShare == nil)
    }
}

@Suite struct ModelCostTests {
    let smolLM2 = ModelCost(
        layerCount: 30, hiddenSize: 576, headCount: 9, keyValueHeadCount: 3, headDimension: 64,
        intermediateSize: 1536, vocabularySize: 49152)

    @Test func `SmolLM2-135M has the weights that its tensors have`() {
        #expect(smolLM2.layerWeights == 106_168_320)
        #expect(smolLM2.headWeights == 28_311_552)
    }

    @Test func `operations per token are two a weight, and four a head element and key`() {
        #expect(smolLM2.attentionOperations(context: 1) == 69_120)
        #expect(smolLM2.prefillOperations(context: 0) == 212_336_640)
        #expect(smolLM2.decodeOperations(context: 78) == 268_959_744 + 5_391_360)
        #expect(smolLM2.cacheBytes(elementBytes: 4) == 46_080)
    }

    @Test func `training is three times the forward pass, with the head only where a token is predicted`() {
        #expect(
            smolLM2.trainingOperations(rows: 104, predicted: 64, context: 0)
                == 3 * (104 * 212_336_640 + 64 * 56_623_104))
    }

    @Test func `the ceiling is whichever of arithmetic and memory takes longer`() {
        let machine = MachineCeiling(operationsPerSecond: 100, bytesPerSecond: 10)
        #expect(machine.seconds(operations: 200, bytes: 10) == 2)
        #expect(machine.seconds(operations: 200, bytes: 30) == 3)
        #expect(machine.seconds(operations: 200) == 2)
    }
}

@Suite struct TextTests {
    @Test func `numbers have three digits that count`() {
        #expect(numberText(0) == "0")
        #expect(numberText(0.012345) == "0.0123")
        #expect(numberText(4.5678) == "4.57")
        #expect(numberText(78.94) == "78.9")
        #expect(numberText(99.97) == "100")
        #expect(numberText(123.4) == "123")
        #expect(numberText(1_234_567.8) == "1,234,568")
        #expect(numberText(-4.5) == "-4.50")
        #expect(numberText(.nan) == "–")
    }

    @Test func `a spread shows its range when there is one`() throws {
        #expect(spreadText(Spread(541)) == "541")
        #expect(spreadText(try #require(Spread([560, 520, 541]))) == "541 (520–560)")
        #expect(ratioText(1.849) == "1.85×")
        #expect(shareText(0.616) == "62 %")
        #expect(shareText(0.0616) == "6.2 %")
    }

    @Test func `columns are aligned and those without content are left out`() {
        var table = TextTable(["what", "value", "nothing", "unit"])
        table.add(["decode", "541", "", "tokens/s"])
        table.add(["x", "7", "", "s"])
        #expect(
            table.text == """
                what    value      unit
                ───────────────────────
                decode    541  tokens/s
                x           7         s
                """)
    }
}

@Suite struct ReadingsTests {
    @Test func `the last line that is not empty is read, single numbers and lists`() throws {
        let readings = try Readings(output: "loading…\n{\"decode_64\": 541.5, \"rewards\": [0, 1]}\n\n")
        #expect(readings == Readings(["decode_64": [541.5], "rewards": [0, 1]]))
    }

    @Test func `what is written can be read again`() throws {
        let readings = Readings(["b": [1, 2.5e-7], "a": [3]])
        #expect(try Readings(output: readings.line) == readings)
    }

    @Test func `numbers of several processes come together by name`() {
        var all = Readings(["a": [1]])
        all.append(Readings(["a": [3], "b": [2]]))
        #expect(all == Readings(["a": [1, 3], "b": [2]]))
        #expect(all.spread("a")?.median == 2)
        #expect(all.spread("c") == nil)
    }

    @Test func `output without numbers is an error that shows it`() {
        #expect(throws: ReadingsError(line: "Killed")) { try Readings(output: "Killed\n") }
        #expect(throws: ReadingsError(line: "")) { try Readings(output: "\n") }
    }
}

@Suite struct ReportTests {
    let report = Report(
        benchmark: "rollout", circumstances: [("threads", "2")],
        findings: [
            Finding(
                "decode_64", Spread([600, 500, 550])!, unit: "tokens/s",
                peers: [PeerValue(peer: "A", value: Spread(275)), PeerValue(peer: "B", value: Spread(1100))],
                ceiling: 1100),
            Finding("length", Spread(9), unit: "tokens", .neither),
        ])

    @Test func `a table has a line for each peer and only the columns it needs`() {
        #expect(
            report.text == """
                threads: 2

                what             Rookery      unit  of ceiling  peer  peer's  better by
                ───────────────────────────────────────────────────────────────────────
                decode_64  550 (500–600)  tokens/s        50 %     A     275      2.00×
                                                                   B   1,100      0.50×
                length              9.00    tokens                                     
                """)
    }

    @Test func `JSON has every key in every case, null where there is no number`() throws {
        let line = try report.json()
        #expect(!line.contains("\n"))
        let object = try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        let cases = try #require(object["cases"] as? [[String: Any]])
        #expect(cases.count == 2)
        #expect(cases[0]["name"] as? String == "decode_64")
        #expect(cases[0]["value"] as? Double == 550)
        #expect(cases[0]["peer"] as? String == "A")
        #expect(cases[0]["peer_value"] as? Double == 275)
        #expect(cases[0]["ratio"] as? Double == 2)
        #expect(cases[0]["ceiling_share"] as? Double == 0.5)
        #expect(cases[0]["spread"] as? Double == 100.0 / 550)
        let others = try #require(cases[0]["other_peers"] as? [[String: Any]])
        #expect(others.count == 1 && others[0]["ratio"] as? Double == 0.5)
        for key in ["peer", "peer_value", "ratio", "ceiling_share", "spread"] { #expect(cases[1][key] is NSNull) }
    }
}

@Suite struct SlotShareTests {
    @Test func `each piece takes the slot that falls free first, and the last ones go on alone`() {
        // Slots end at 4 + 1 = 5 and 2 + 3 = 5.
        #expect(scheduledShare(of: [4, 2, 3, 1], slots: 2) == 1)
        // 1, 1, then 6 alone: 8 of 2 × 7.
        #expect(scheduledShare(of: [1, 1, 6], slots: 2) == 8.0 / 14)
        #expect(scheduledShare(of: [], slots: 3) == 1)
    }
}
