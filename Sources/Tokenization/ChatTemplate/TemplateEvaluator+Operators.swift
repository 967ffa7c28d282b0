// What do operators give? Python's arithmetic, order and equality.

extension TemplateEvaluator {
    mutating func combine(
        _ operation: TemplateExpression.BinaryOperator, _ left: TemplateValue, _ right: TemplateValue, _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        switch (operation, left, right) {
        case (.concatenate, _, _):
            let text = try printed(left, line) + printed(right, line)
            try charge(text.count, line)
            return .text(text)
        case (.add, .text(let first), .text(let second)):
            try charge(first.count + second.count, line)
            return .text(first + second)
        case (.add, .list(let first), .list(let second)) where first.isTuple == second.isTuple:
            try charge(first.items.count + second.items.count, line)
            return .list(TemplateList(first.items + second.items, isTuple: first.isTuple))
        case (.multiply, .text(let text), _):
            if let times = right.integerValue { return .text(try repeated(text, times, line)) }
        case (.multiply, _, .text(let text)):
            if let times = left.integerValue { return .text(try repeated(text, times, line)) }
        default: break
        }
        for case .undefined(let name) in [left, right] {
            throw .template(line: line, problem: "`\(name.shortened(60))` is not defined")
        }
        guard let result = TemplateEvaluator.arithmetic(operation, left, right) else {
            throw .template(
                line: line,
                problem: "`\(operation.rawValue)` between \(left.typeName) and \(right.typeName), or its result "
                    + "is out of range")
        }
        return result
    }

    private mutating func repeated(
        _ text: TemplateText, _ times: Int, _ line: Int
    ) throws(TokenizationError) -> TemplateText {
        let (length, overflow) = text.count.multipliedReportingOverflow(by: max(times, 0))
        try charge(overflow ? .max : length, line)
        var units: [UInt32] = []
        units.reserveCapacity(length)
        if !text.isEmpty { for _ in 0..<max(times, 0) { units += text.units } }
        return TemplateText(units: units)
    }

    /// - Returns: nil for what is no number, division by zero and whole numbers beyond 64 bits.
    private static func arithmetic(
        _ operation: TemplateExpression.BinaryOperator, _ left: TemplateValue, _ right: TemplateValue
    ) -> TemplateValue? {
        if operation != .divide, let first = left.integerValue, let second = right.integerValue {
            return whole(operation, first, second).map { .integer($0) }
        }
        guard let first = left.number, let second = right.number else { return nil }
        switch operation {
        case .add: return .float(first + second)
        case .subtract: return .float(first - second)
        case .multiply: return .float(first * second)
        case .divide: return second == 0 ? nil : .float(first / second)
        case .floorDivide: return second == 0 ? nil : .float((first / second).rounded(.down))
        case .modulo: return second == 0 ? nil : .float(first - second * (first / second).rounded(.down))
        case .power, .concatenate: return nil
        }
    }

    private static func whole(_ operation: TemplateExpression.BinaryOperator, _ left: Int, _ right: Int) -> Int? {
        func exact(_ result: (partialValue: Int, overflow: Bool)) -> Int? {
            result.overflow ? nil : result.partialValue
        }
        switch operation {
        case .add: return exact(left.addingReportingOverflow(right))
        case .subtract: return exact(left.subtractingReportingOverflow(right))
        case .multiply: return exact(left.multipliedReportingOverflow(by: right))
        case .floorDivide, .modulo:
            guard right != 0, let quotient = exact(left.dividedReportingOverflow(by: right)) else { return nil }
            let remainder = left % right
            let adjusts = remainder != 0 && (remainder < 0) != (right < 0)
            if operation == .modulo { return adjusts ? remainder + right : remainder }
            return adjusts ? quotient - 1 : quotient
        case .power:
            guard (0...64).contains(right) else { return nil }
            var result = 1
            for _ in 0..<right {
                guard let next = exact(result.multipliedReportingOverflow(by: left)) else { return nil }
                result = next
            }
            return result
        case .divide, .concatenate: return nil
        }
    }

    func negated(_ value: TemplateValue, _ line: Int) throws(TokenizationError) -> TemplateValue {
        if let number = value.integerValue, number != .min { return .integer(-number) }
        if case .float(let number) = value { return .float(-number) }
        throw .template(line: line, problem: "`-` before \(value.typeName)")
    }

    /// `a < b == c`: every neighbour is compared; stops at the first that fails.
    mutating func compare(
        _ first: TemplateExpression,
        _ operands: [(operation: TemplateExpression.Comparison, operand: TemplateExpression)], _ line: Int
    ) throws(TokenizationError) -> TemplateValue {
        var left = try evaluate(first)
        for (operation, operand) in operands {
            let right = try evaluate(operand)
            guard try holds(operation, left, right, line) else { return .bool(false) }
            left = right
        }
        return .bool(true)
    }

    mutating func holds(
        _ operation: TemplateExpression.Comparison, _ left: TemplateValue, _ right: TemplateValue, _ line: Int
    ) throws(TokenizationError) -> Bool {
        switch operation {
        case .equal: return try equal(left, right, line)
        case .unequal: return try !equal(left, right, line)
        case .isIn: return try contains(right, left, line)
        case .isNotIn: return try !contains(right, left, line)
        case .less: return try isLess(left, right, line)
        case .greater: return try isLess(right, left, line)
        // For numbers and strings these are the opposites, save for NaN, which no template can make.
        case .lessOrEqual: return try !isLess(right, left, line)
        case .greaterOrEqual: return try !isLess(left, right, line)
        }
    }

    private mutating func isLess(
        _ left: TemplateValue, _ right: TemplateValue, _ line: Int
    ) throws(TokenizationError) -> Bool {
        if let first = left.integerValue, let second = right.integerValue { return first < second }
        if let first = left.number, let second = right.number { return first < second }
        if case .text(let first) = left, case .text(let second) = right {
            try charge(min(first.count, second.count), line)
            return first < second
        }
        throw .template(line: line, problem: "\(left.typeName) and \(right.typeName) have no order")
    }

    mutating func equal(
        _ left: TemplateValue, _ right: TemplateValue, _ line: Int
    ) throws(TokenizationError) -> Bool {
        try charge(1, line)
        switch (left, right) {
        case (.undefined, .undefined), (.none, .none): return true
        case (.text(let first), .text(let second)):
            try charge(min(first.count, second.count), line)
            return first == second
        case (.list(let first), .list(let second)):
            guard first.items.count == second.items.count, first.isTuple == second.isTuple else { return false }
            for (one, other) in zip(first.items, second.items) where try !equal(one, other, line) { return false }
            return true
        case (.dictionary(let first), .dictionary(let second)):
            guard first.keys.count == second.keys.count else { return false }
            for (key, value) in zip(first.keys, first.values) {
                var isThere = false
                for (otherKey, other) in zip(second.keys, second.values) where try equal(key, otherKey, line) {
                    guard try equal(value, other, line) else { return false }
                    isThere = true
                }
                if !isThere { return false }
            }
            return true
        case (.namespace(let first), .namespace(let second)), (.macro(let first), .macro(let second)),
            (.loop(let first), .loop(let second)):
            return first == second
        case (.function(let first), .function(let second)): return first == second
        default:
            if let first = left.integerValue, let second = right.integerValue { return first == second }
            guard let first = left.number, let second = right.number else { return false }
            return first == second
        }
    }

    /// `item in container`
    mutating func contains(
        _ container: TemplateValue, _ item: TemplateValue, _ line: Int
    ) throws(TokenizationError) -> Bool {
        switch container {
        case .text(let text):
            guard case .text(let part) = item else {
                throw .template(line: line, problem: "`in` looks for a string in a string, found \(item.typeName)")
            }
            try charge(text.count + part.count, line)
            return text.contains(part)
        case .list(let list):
            for candidate in list.items where try equal(candidate, item, line) { return true }
            return false
        case .dictionary(let dictionary):
            for key in dictionary.keys where try equal(key, item, line) { return true }
            return false
        case .undefined: return false
        default: throw .template(line: line, problem: "`in` looks into \(container.typeName)")
        }
    }

    /// What a loop over the value visits.
    mutating func items(of value: TemplateValue, _ line: Int) throws(TokenizationError) -> [TemplateValue] {
        switch value {
        case .list(let list): return list.items
        case .dictionary(let dictionary): return dictionary.keys
        case .text(let text):
            try charge(text.count * 8, line)
            return (0..<text.count).map { .text(text[$0..<$0 + 1]) }
        case .undefined: return []
        default: throw .template(line: line, problem: "\(value.typeName) cannot be gone through")
        }
    }
}
