// How large is a recipe once its aliases are written out? Asked before Yams builds it.

import CYaml

/// A few lines of YAML whose aliases stand for each other can stand for more values than memory holds, and Yams
/// compares keys value by value. This walks over libyaml's events, which Yams brings along, and keeps no values.
enum RecipeSize {
    /// Values and keys; the longest recipe has a few hundred.
    static let valueLimit = 10_000
    static let depthLimit = 64

    private struct Collection {
        var anchor: String?
        var values = 1
    }

    /// - Returns: what is too large and where; nil where nothing is, or where the text is no YAML: Yams says that better.
    static func problem(in yaml: String) -> (text: String, line: Int, column: Int)? {
        var parser = yaml_parser_t()
        guard yaml_parser_initialize(&parser) == 1 else { return nil }
        defer { yaml_parser_delete(&parser) }
        return Array(yaml.utf8).withUnsafeBufferPointer { bytes in
            yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING)
            yaml_parser_set_input_string(&parser, bytes.baseAddress, bytes.count)
            return problem(&parser)
        }
    }

    private static func problem(_ parser: inout yaml_parser_t) -> (text: String, line: Int, column: Int)? {
        var open: [Collection] = []
        var sizes: [String: Int] = [:]
        while true {
            var event = yaml_event_t()
            guard yaml_parser_parse(&parser, &event) == 1 else { return nil }
            defer { yaml_event_delete(&event) }
            var closed: Collection?
            switch event.type {
            case YAML_STREAM_END_EVENT, YAML_DOCUMENT_END_EVENT: return nil
            case YAML_SCALAR_EVENT: closed = Collection(anchor: text(event.data.scalar.anchor))
            case YAML_ALIAS_EVENT:
                closed = Collection(values: text(event.data.alias.anchor).flatMap { sizes[$0] } ?? 1)
            case YAML_SEQUENCE_START_EVENT: open.append(Collection(anchor: text(event.data.sequence_start.anchor)))
            case YAML_MAPPING_START_EVENT: open.append(Collection(anchor: text(event.data.mapping_start.anchor)))
            case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT: closed = open.popLast()
            default: continue
            }
            let (line, column) = (Int(event.start_mark.line) + 1, Int(event.start_mark.column) + 1)
            if open.count > depthLimit { return ("nested more than \(depthLimit) deep: this is no recipe", line, column) }
            guard let closed else { continue }
            if let anchor = closed.anchor { sizes[anchor] = closed.values }
            if let last = open.indices.last { open[last].values += closed.values }
            if max(closed.values, open.last?.values ?? 0) > valueLimit {
                return ("more than \(valueLimit) values, aliases written out: this is no recipe", line, column)
            }
        }
    }

    private static func text(_ anchor: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        anchor.map { String(cString: $0) }
    }
}
