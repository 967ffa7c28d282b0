// How does a run look on the screen? Pure: the same view and width give the same lines.

import Cluster
import Rollouts

package enum RunViewRendering {
    // MARK: - In place

    /// The lines of the live view, each at most `width` columns wide.
    package static func render(_ view: RunView, width: Int, style: ViewStyle = .plain) -> [String] {
        let width = max(width, 20)
        var lines = [title(view, width: width, style: style)]
        let numbers = [
            ("reward", DisplayText.short(view.reward)), ("accuracy", DisplayText.percent(view.accuracy)),
            ("kl", DisplayText.short(view.kl)), ("length", DisplayText.short(view.completionTokensMean)),
            ("tokens/s", DisplayText.short(view.tokensPerSecond)),
        ]
        lines += flow(numbers.map { Piece(label: $0.0, value: $0.1) }, width: width, style: style)
        if let heldOut = view.heldOut {
            lines += flow(heldOutPieces(heldOut, base: view.heldOutBase, style: style), width: width, style: style)
        }
        let workers = view.workers.filter { $0.count > 0 }.map { "\($0.count) \($0.role.rawValue)" }
        var state = [Piece(label: "now", value: phase(view))]
        state.append(Piece(label: "workers", value: workers.isEmpty ? "none" : workers.joined(separator: ", ")))
        if let elapsed = view.elapsedSeconds {
            state.append(Piece(label: "time", value: DisplayText.duration(elapsed)))
        }
        lines += flow(state, width: width, style: style)
        if let note = view.note {
            let text = DisplayText.clipped(DisplayText.printable(note.text), to: width - 2)
            let mark = style.hasUnicode ? "·" : "-"
            lines.append("\(mark) \(ink(of: note.level).map { style.ink($0, text) } ?? text)")
        }
        return style.hasUnicode ? lines : lines.map(ascii)
    }

    /// For a terminal that shows one byte as one character.
    private static func ascii(_ line: String) -> String {
        String(
            line.map { character in
                switch character {
                case "–": "-"
                case "…": "~"
                default: character.isASCII ? character : "?"
                }
            })
    }

    /// "tiny  [bar]  12/40  30 %  2m 05s left"
    private static func title(_ view: RunView, width: Int, style: ViewStyle) -> String {
        let share = view.totalSteps > 0 ? min(1, Double(view.step) / Double(view.totalSteps)) : 0
        var right = "\(view.step)/\(view.totalSteps)  \(DisplayText.fixed(share * 100, digits: 0)) %"
        if view.step < view.totalSteps, let remaining = view.remainingSeconds {
            right += "  \(DisplayText.duration(remaining)) left"
        }
        right = DisplayText.clipped(right, to: width)
        let name = DisplayText.clipped(
            DisplayText.printable(view.run), to: max(0, width - DisplayText.width(right) - 2))
        let room = width - DisplayText.width(name) - DisplayText.width(right) - 4
        if room < 8 {
            let line = name.isEmpty ? right : "\(style.ink(.bold, name))  \(right)"
            return line
        }
        let bar = style.ink(.cyan, self.bar(share, columns: min(room, 40), style: style))
        return "\(style.ink(.bold, name))  \(bar)  \(right)"
    }

    /// Eighths of a column, so that every step moves it.
    static func bar(_ share: Double, columns: Int, style: ViewStyle) -> String {
        let inside = columns - 2
        guard style.hasUnicode else {
            let full = Int(share * Double(inside))
            return "[" + String(repeating: "#", count: full) + String(repeating: "-", count: inside - full) + "]"
        }
        let eighths = Int((share * Double(inside) * 8).rounded(.down))
        let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
        let full = String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
        return "▕" + DisplayText.padded(full, to: inside) + "▏"
    }

    private static func phase(_ view: RunView) -> String {
        let phase = view.phase.isEmpty ? "starting" : DisplayText.printable(view.phase)
        return view.groupsNeeded > 0 ? "\(phase) \(view.groupsDone)/\(view.groupsNeeded)" : phase
    }

    private static func heldOutPieces(_ found: RunView.HeldOut, base: RunView.HeldOut?, style: ViewStyle) -> [Piece] {
        let value = "\(DisplayText.percent(found.accuracy)) (\(found.right)/\(found.judged)) after step \(found.step)"
        var pieces = [Piece(label: "held-out", value: value)]
        if let base, base.step != found.step, let before = base.accuracy, let after = found.accuracy {
            let points = DisplayText.fixed((after - before) * 100, digits: 1)
            let change = "\(after >= before ? "+" : "")\(points) points since step \(base.step)"
            pieces.append(Piece(label: "", value: change, ink: after >= before ? .green : .red))
        }
        return pieces
    }

    private static func ink(of level: Note.Level) -> ViewStyle.Ink? {
        switch level {
        case .debug: .dim
        case .info: nil
        case .warning: .yellow
        case .error: .red
        }
    }

    /// A label with its value; wrapped as one.
    private struct Piece {
        var label: String
        var value: String
        var ink: ViewStyle.Ink?
        var text: String { label.isEmpty ? value : "\(label) \(value)" }
    }

    private static func flow(_ pieces: [Piece], width: Int, style: ViewStyle) -> [String] {
        var lines: [String] = []
        var line = ""
        var used = 0
        for piece in pieces {
            let text = DisplayText.clipped(piece.text, to: width)
            let columns = DisplayText.width(text)
            if used > 0, used + 3 + columns > width {
                lines.append(line)
                (line, used) = ("", 0)
            }
            let value = String(text.dropFirst(min(piece.label.count, text.count)))
            let inked =
                style.ink(.dim, String(text.prefix(piece.label.count)))
                + (piece.ink.map { style.ink($0, value) } ?? value)
            line += (used > 0 ? "   " : "") + inked
            used += (used > 0 ? 3 : 0) + columns
        }
        return lines + [line]
    }

    // MARK: - Line by line

    private static let columns: [(title: String, width: Int)] = [
        ("step", 11), ("reward", 8), ("accuracy", 9), ("kl", 9), ("length", 7), ("tokens/s", 9), ("left", 8),
    ]

    /// Above plain lines, now and then.
    package static var plainHeader: String {
        columns.map { DisplayText.leftPadded($0.title, to: $0.width) }.joined(separator: " ")
    }

    /// One line for a trained step, aligned under the header.
    package static func plainLine(_ view: RunView) -> String {
        let cells = [
            "\(view.step)/\(view.totalSteps)", DisplayText.short(view.reward), DisplayText.percent(view.accuracy),
            DisplayText.short(view.kl), DisplayText.short(view.completionTokensMean),
            DisplayText.short(view.tokensPerSecond), DisplayText.duration(view.remainingSeconds),
        ]
        return zip(columns, cells).map { DisplayText.leftPadded($1, to: $0.width) }.joined(separator: " ")
    }

    /// One line for an evaluation.
    package static func plainLine(_ heldOut: RunView.HeldOut) -> String {
        let interval = wilsonInterval(right: heldOut.right, of: heldOut.judged)
        let place = heldOut.step == 0 ? "before training" : "after step \(heldOut.step)"
        return "held-out accuracy \(place): \(DisplayText.percent(heldOut.accuracy)) "
            + "(\(heldOut.right) of \(heldOut.judged), 95 % interval "
            + "\(DisplayText.fixed(interval.lowerBound * 100, digits: 1))–"
            + "\(DisplayText.fixed(interval.upperBound * 100, digits: 1)) %)"
    }
}
