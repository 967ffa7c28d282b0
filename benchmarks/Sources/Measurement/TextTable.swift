// Rows of text in columns.

/// The first column is aligned to the left, the others to the right.
public struct TextTable {
    private var rows: [[String]]

    public init(_ heading: [String]) { rows = [heading] }

    /// - Precondition: as many cells as the heading has.
    public mutating func add(_ row: [String]) {
        precondition(row.count == rows[0].count, "TextTable: \(row.count) cells, \(rows[0].count) columns")
        rows.append(row)
    }

    /// One line a row; empty columns (but for their heading) are left out.
    public var text: String {
        let columns = rows[0].indices.filter { column in
            column == 0 || rows.dropFirst().contains { !$0[column].isEmpty }
        }
        let widths = columns.map { column in rows.map { $0[column].count }.max() ?? 0 }
        let lines = rows.map { row in
            zip(columns, widths).map { column, width in
                let space = String(repeating: " ", count: width - row[column].count)
                return column == 0 ? row[column] + space : space + row[column]
            }.joined(separator: "  ")
        }
        let rule = String(repeating: "─", count: widths.reduce(0, +) + 2 * (columns.count - 1))
        return ([lines[0], rule] + lines.dropFirst()).joined(separator: "\n")
    }
}
