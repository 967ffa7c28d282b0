// What does a template print? Walks its statements, with a bound on the work.

struct TemplateEvaluator {
    /// The state of a `for`, reachable as `loop` while its body runs.
    struct LoopState {
        var items: [TemplateValue]
        var index: Int
    }

    private enum Flow { case onward, leaveLoop, nextTurn }

    private let limits: ChatTemplate.Limits
    private let date: CalendarDate
    private var work = 0
    private var depth = 0
    /// The outermost holds the template's variables; loops and macros add theirs.
    private var scopes: [[String: TemplateValue]]
    /// Scopes below this one, except the outermost, belong to whoever called the running macro.
    private var firstScope = 0
    private var namespaces: [[(name: String, value: TemplateValue)]] = []
    private var macros: [TemplateMacro] = []
    var loops: [LoopState] = []

    init(_ variables: [(String, TemplateValue)], date: CalendarDate, limits: ChatTemplate.Limits) {
        scopes = [Dictionary(variables, uniquingKeysWith: { $1 })]
        self.date = date
        self.limits = limits
    }

    mutating func run(_ statements: [TemplateStatement]) throws(TokenizationError) -> TemplateText {
        var output = TemplateText()
        if case .onward = try execute(statements, &output) { return output }
        throw .template(line: statements.first?.line ?? 1, problem: "`break` or `continue` outside a loop")
    }

    // MARK: Bounds

    mutating func charge(_ amount: Int, _ line: Int) throws(TokenizationError) {
        let (sum, overflow) = work.addingReportingOverflow(max(amount, 0))
        work = sum
        guard !overflow, work <= limits.work else {
            throw .template(line: line, problem: "the template does more work than \(limits.work) steps")
        }
    }

    mutating func enter(_ line: Int) throws(TokenizationError) {
        depth += 1
        guard depth <= limits.depth else {
            throw .template(line: line, problem: "calls and values are nested more than \(limits.depth) deep")
        }
        try charge(1, line)
    }

    mutating func leave() { depth -= 1 }

    /// Checks a value that was just put together from others.
    func bounded(_ value: TemplateValue, _ line: Int) throws(TokenizationError) -> TemplateValue {
        guard value.depth <= TemplateList.depthLimit else {
            throw .template(line: line, problem: "lists are nested more than \(TemplateList.depthLimit) deep")
        }
        return value
    }

    // MARK: Names

    func value(_ name: String) -> TemplateValue {
        var index = scopes.count - 1
        while index > 0, index >= firstScope {
            if let value = scopes[index][name] { return value }
            index -= 1
        }
        if let value = scopes[0][name] { return value }
        return TemplateFunction(rawValue: name).map { .function($0) } ?? .undefined(name)
    }

    func attribute(namespace: Int, _ name: String) -> TemplateValue? {
        namespaces[namespace].first { $0.name == name }?.value
    }

    mutating func makeNamespace(_ members: [(String, TemplateValue)]) -> TemplateValue {
        namespaces.append(members.map { (name: $0.0, value: $0.1) })
        return .namespace(namespaces.count - 1)
    }

    private mutating func assign(
        _ value: TemplateValue, to target: TemplateStatement.Target, _ line: Int
    ) throws(TokenizationError) {
        switch target {
        case .name(let name): scopes[scopes.count - 1][name] = value
        case .attribute(let holder, let name):
            guard case .namespace(let index) = self.value(holder) else {
                throw .template(line: line, problem: "`\(holder)` is \(self.value(holder).typeName), not a namespace")
            }
            if let member = namespaces[index].firstIndex(where: { $0.name == name }) {
                namespaces[index][member].value = value
            } else {
                namespaces[index].append((name, value))
            }
        }
    }

    // MARK: Statements

    private mutating func execute(
        _ statements: [TemplateStatement], _ output: inout TemplateText
    ) throws(TokenizationError) -> Flow {
        for statement in statements {
            try enter(statement.line)
            defer { leave() }
            let flow = try execute(statement, &output)
            if flow != .onward { return flow }
        }
        return .onward
    }

    private mutating func execute(
        _ statement: TemplateStatement, _ output: inout TemplateText
    ) throws(TokenizationError) -> Flow {
        switch statement.kind {
        case .text(let text):
            try charge(text.count, statement.line)
            output.append(text)
        case .output(let expression):
            let text = try printed(try evaluate(expression), statement.line)
            try charge(text.count, statement.line)
            output.append(text)
        case .branches(let branches, let otherwise):
            for branch in branches where try evaluate(branch.test).isTrue { return try execute(branch.body, &output) }
            return try execute(otherwise, &output)
        case .loop(let loop): return try execute(loop, statement.line, &output)
        case .set(let targets, let expression): try set(targets, try evaluate(expression), statement.line)
        case .setBlock(let target, let body):
            var text = TemplateText()
            let flow = try execute(body, &text)
            try assign(.text(text), to: target, statement.line)
            return flow
        case .macro(let macro):
            macros.append(macro)
            scopes[scopes.count - 1][macro.name] = .macro(macros.count - 1)
        case .generation(let body): return try execute(body, &output)
        case .leaveLoop: return .leaveLoop
        case .nextTurn: return .nextTurn
        }
        return .onward
    }

    private mutating func set(
        _ targets: [TemplateStatement.Target], _ value: TemplateValue, _ line: Int
    ) throws(TokenizationError) {
        if targets.count == 1 { return try assign(value, to: targets[0], line) }
        let values = try items(of: value, line)
        guard values.count == targets.count else {
            throw .template(line: line, problem: "\(values.count) values for \(targets.count) names")
        }
        for (target, value) in zip(targets, values) { try assign(value, to: target, line) }
    }

    private mutating func execute(
        _ loop: TemplateLoop, _ line: Int, _ output: inout TemplateText
    ) throws(TokenizationError) -> Flow {
        var items = try items(of: try evaluate(loop.iterable), line)
        try charge(items.count + 32, line)
        if let filter = loop.filter {
            var kept: [TemplateValue] = []
            for item in items {
                scopes.append([:])
                defer { scopes.removeLast() }
                try bind(item, to: loop.targets, line)
                if try evaluate(filter).isTrue { kept.append(item) }
            }
            items = kept
        }
        if items.isEmpty { return try execute(loop.otherwise, &output) }
        loops.append(LoopState(items: items, index: 0))
        let handle = loops.count - 1
        for index in items.indices {
            loops[handle].index = index
            scopes.append(["loop": .loop(handle)])
            defer { scopes.removeLast() }
            try charge(1, line)
            try bind(items[index], to: loop.targets, line)
            if try execute(loop.body, &output) == .leaveLoop { break }
        }
        return .onward
    }

    private mutating func bind(
        _ item: TemplateValue, to names: [String], _ line: Int
    ) throws(TokenizationError) {
        if names.count == 1 {
            scopes[scopes.count - 1][names[0]] = item
            return
        }
        let parts = try items(of: item, line)
        guard parts.count == names.count else {
            throw .template(line: line, problem: "\(parts.count) values for the \(names.count) names of the loop")
        }
        for (name, part) in zip(names, parts) { scopes[scopes.count - 1][name] = part }
    }

    // MARK: Calls

    /// A macro sees its own arguments and the template's outermost variables.
    mutating func call(
        macro index: Int, _ positional: [TemplateValue], _ named: [(String, TemplateValue)], _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        let macro = macros[index]
        guard positional.count <= macro.parameters.count else {
            throw .template(
                line: line,
                problem: "`\(macro.name)` takes \(macro.parameters.count) arguments, found \(positional.count)")
        }
        for (name, _) in named where !macro.parameters.contains(where: { $0.name == name }) {
            throw .template(line: line, problem: "`\(macro.name)` has no parameter `\(name)`")
        }
        try enter(line)
        let callerScope = firstScope
        scopes.append([:])
        firstScope = scopes.count - 1
        defer {
            scopes.removeLast()
            firstScope = callerScope
            leave()
        }
        for (position, parameter) in macro.parameters.enumerated() {
            var value = position < positional.count ? positional[position] : nil
            if value == nil { value = named.first { $0.0 == parameter.name }?.1 }
            if value == nil, let fallback = parameter.fallback { value = try evaluate(fallback) }
            scopes[scopes.count - 1][parameter.name] = value ?? .undefined(parameter.name)
        }
        var text = TemplateText()
        guard try execute(macro.body, &text) == .onward else {
            throw .template(line: line, problem: "`break` or `continue` outside a loop in `\(macro.name)`")
        }
        return .text(text)
    }

    func formattedDate(_ format: TemplateText, _ line: Int) throws(TokenizationError) -> TemplateValue {
        guard let text = date.formatted(format.string) else {
            throw .template(line: line, problem: "the date format `\(format.string.shortened(60))` is not supported")
        }
        return .string(text)
    }
}
