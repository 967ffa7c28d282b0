// Where the view of a run is drawn: in place on a terminal, line by line anywhere else.

import Cluster
import Foundation
import Rollouts

/// Draws on one file descriptor. Use from one thread at a time.
package final class LiveView {
    private let descriptor: Int32
    private let isInPlace: Bool
    private let style: ViewStyle
    /// Columns and rows of the terminal.
    private let size: () -> (columns: Int, rows: Int)
    /// Lines of the view that stand above the cursor.
    private var drawnCount = 0
    private var isCursorHidden = false
    private var last: RunView?
    private var plainCount = 0

    /// Plain lines between two headers.
    private static let headerEvery = 20

    /// - Parameter isPlain: line by line even on a terminal.
    package convenience init(isPlain: Bool = false) {
        let environment = ProcessInfo.processInfo.environment
        let isDumb = environment["TERM"] == "dumb"
        self.init(
            descriptor: STDOUT_FILENO, isInPlace: isatty(STDOUT_FILENO) == 1 && !isPlain && !isDumb,
            style: ViewStyle(environment: environment), size: { LiveView.terminalSize(STDOUT_FILENO) })
    }

    init(descriptor: Int32, isInPlace: Bool, style: ViewStyle, size: @escaping () -> (columns: Int, rows: Int)) {
        self.descriptor = descriptor
        self.isInPlace = isInPlace
        self.style = style
        self.size = size
    }

    deinit { finish() }

    /// Shows the run as it is now. Without a terminal this shows nothing: steps and evaluations have their own lines.
    package func update(_ view: RunView) {
        last = view
        if isInPlace { draw([]) }
    }

    /// A step was trained.
    package func stepTrained(_ view: RunView) {
        last = view
        if isInPlace { return draw([]) }
        if plainCount % LiveView.headerEvery == 0 { write(RunViewRendering.plainHeader + "\n") }
        plainCount += 1
        write(RunViewRendering.plainLine(view) + "\n")
    }

    /// An evaluation is complete; it stays on the screen, above the view.
    package func evaluated(_ heldOut: RunView.HeldOut) {
        print(RunViewRendering.plainLine(heldOut))
    }

    /// A line that stays on the screen, above the view.
    package func print(_ line: String) {
        if isInPlace { draw([line]) } else { write(line + "\n") }
    }

    /// Leaves the view as it is and gives the terminal back.
    package func finish() {
        if isCursorHidden { write("\u{1b}[?25h") }
        isCursorHidden = false
        drawnCount = 0
    }

    /// One write for everything, each line overwritten and its rest cleared: nothing blinks.
    private func draw(_ staying: [String]) {
        let (columns, rows) = size()
        // Without the last column and row: writing there makes some terminals scroll.
        var lines = last.map { RunViewRendering.render($0, width: columns - 1, style: style) } ?? []
        lines = Array(lines.prefix(max(1, rows - 1)))
        var text = isCursorHidden ? "" : "\u{1b}[?25l"
        isCursorHidden = true
        if drawnCount > 0 { text += "\u{1b}[\(min(drawnCount, max(1, rows - 1)))A" }
        text += "\r"
        for line in staying + lines { text += line + "\u{1b}[K\n" }
        write(text + "\u{1b}[J")
        drawnCount = lines.count
    }

    private func write(_ text: String) {
        // A screen that has gone away (a closed pipe) must not stop the run; the logs have it all.
        try? AppendingFile.write(Array(text.utf8), to: descriptor, path: "the screen")
    }

    private static func terminalSize(_ descriptor: Int32) -> (columns: Int, rows: Int) {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return (80, 24)
        }
        return (Int(size.ws_col), Int(size.ws_row))
    }
}
