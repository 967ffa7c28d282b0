// Where a run's prompts come from, and in which order.

import Rollouts

/// The rows of a recipe's sources, split into those that train and those that never do.
package struct Dataset: Sendable {
    /// In source order, inside a source in file or generation order.
    package let training: [DataRow]
    /// In source order; inside a source by the hash that held them out. May be empty where there are few rows.
    package let heldOut: [DataRow]

    private let trainingBySource: [[DataRow]]
    private let heldOutBySource: [[DataRow]]
    private let order: TrainingOrder

    /// Reads or generates every source.
    package static func load(_ options: DataOptions, seed: UInt64) throws(DatasetError) -> Dataset {
        try check(options)
        let names = sourceNames(options.sources)
        var training: [[DataRow]] = []
        var heldOut: [[DataRow]] = []
        for (place, source) in options.sources.enumerated() {
            let rows = try load(source, place: place, name: names[place], options: options, seed: seed)
            let placed = rows.map { (row: $0, place: HeldOutSplit.place(of: $0.text)) }
            let kept = placed.filter { $0.place >= options.heldOutShare }.map(\.row)
            if kept.isEmpty && source.weight > 0 {
                throw .badOption(
                    option: "data.held_out_share",
                    found: "\(options.heldOutShare), which holds out every row of \(names[place])",
                    expected: "a smaller share, or a source with more rows")
            }
            training.append(kept)
            // By hash, then text: the order of a file does not decide what is evaluated.
            heldOut.append(
                placed.filter { $0.place < options.heldOutShare }
                    .sorted { ($0.place, $0.row.text) < ($1.place, $1.row.text) }.map(\.row))
        }
        return Dataset(
            training: training, heldOut: heldOut,
            order: TrainingOrder(
                rowCounts: training.map(\.count), weights: options.sources.map(\.weight), seed: seed))
    }

    private init(training: [[DataRow]], heldOut: [[DataRow]], order: TrainingOrder) {
        trainingBySource = training
        heldOutBySource = heldOut
        self.training = training.flatMap { $0 }
        self.heldOut = heldOut.flatMap { $0 }
        self.order = order
    }

    /// The prompt that training draws at a position, from 0. A pure function of the seed and the position: resuming
    /// needs the position alone.
    package func trainingRow(at position: Int) -> DataRow {
        let (source, row) = order[position]
        return trainingBySource[source][row]
    }

    /// Up to `count` held-out rows with different texts inside each source, one source after the other in turn; the
    /// same ones every time, whatever the seed of the order.
    package func heldOutRows(_ count: Int) -> [DataRow] {
        let distinct = heldOutBySource.map { rows in
            rows.indices.filter { $0 == 0 || rows[$0].text != rows[$0 - 1].text }.map { rows[$0] }
        }
        var chosen: [DataRow] = []
        let longest = distinct.map(\.count).max() ?? 0
        for place in 0..<longest {
            for rows in distinct where place < rows.count {
                if chosen.count >= count { return chosen }
                chosen.append(rows[place])
            }
        }
        return chosen
    }

    // MARK: Sources

    private static func load(
        _ source: DataSource, place: Int, name: String, options: DataOptions, seed: UInt64
    ) throws(DatasetError) -> [DataRow] {
        if let path = source.path {
            return try FileRows(source, path: path, source: name, refusesSystemTurns: options.system != nil).load()
        }
        let task = try GeneratedTask.named(source.task ?? "", place: place)
        return task.instances(count: source.count, seed: seed).map { instance in
            DataRow(
                identifier: "\(name)#\(instance.place)",
                messages: [ChatMessage(role: "user", content: filled(source.template, instance.question))],
                text: instance.question, answer: instance.answer, source: name)
        }
    }

    /// A task's name; a file's, with its folders or its filter only where two sources would share the name otherwise.
    private static func sourceNames(_ sources: [DataSource]) -> [String] {
        let paths = sources.map { $0.path ?? $0.task ?? "" }
        let files = paths.indices.map { place in
            sources[place].path == nil ? paths[place] : String(paths[place].split(separator: "/").last ?? "")
        }
        let unfiltered = files.indices.map { place in
            let isAmbiguous = files.indices.contains { files[$0] == files[place] && paths[$0] != paths[place] }
            return isAmbiguous ? paths[place] : files[place]
        }
        return unfiltered.indices.map { place in
            let isShared = unfiltered.count { $0 == unfiltered[place] } > 1
            guard isShared, let value = sources[place].filterValue else { return unfiltered[place] }
            return "\(unfiltered[place])[\(value)]"
        }
    }

    private static func check(_ options: DataOptions) throws(DatasetError) {
        func error(_ option: String, _ found: String, _ expected: String) -> DatasetError {
            .badOption(option: "data.\(option)", found: found, expected: expected)
        }
        guard options.heldOutShare >= 0, options.heldOutShare < 1 else {
            throw error("held_out_share", "\(options.heldOutShare)", "a share from 0 up to but not including 1")
        }
        if options.sources.isEmpty { throw error("sources", "none", "at least one task or file") }
        for (place, source) in options.sources.enumerated() {
            let name = "sources[\(place)]"
            switch (source.task, source.path) {
            case (nil, nil): throw error(name, "neither task nor path", "one of the two")
            case (_?, _?): throw error(name, "both task and path", "one of the two")
            default: break
            }
            guard source.weight.isFinite, source.weight >= 0 else {
                throw error("\(name).weight", "\(source.weight)", "a number that is 0 or more")
            }
            if !source.template.contains("{prompt}") {
                throw error("\(name).template", "\"\(source.template)\"", "a text that contains {prompt}")
            }
            if source.task != nil && source.count < 1 { throw error("\(name).count", "\(source.count)", "1 or more") }
            if (source.filterField == nil) != (source.filterValue == nil) {
                throw error(name, "one of filter_field and filter_value", "both or neither")
            }
            if source.answerAfter == "" { throw error("\(name).answer_after", "an empty text", "a marker") }
        }
        if !options.sources.contains(where: { $0.weight > 0 }) {
            throw error("sources", "no weight above 0", "at least one source to train on")
        }
    }
}
