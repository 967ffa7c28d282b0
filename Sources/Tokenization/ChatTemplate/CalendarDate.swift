// What does a template's `strftime_now` print?

/// A date and time of the Gregorian calendar, without a time zone.
package struct CalendarDate: Hashable, Sendable {
    package let year: Int
    package let month: Int
    package let day: Int
    package let hour: Int
    package let minute: Int
    package let second: Int

    /// - Precondition: a date that exists, in the years 1 to 9999.
    package init(year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0) {
        guard
            let date = CalendarDate(
                checkedYear: year, month: month, day: day, hour: hour, minute: minute, second: second)
        else { preconditionFailure("no such date: \(year)-\(month)-\(day) \(hour):\(minute):\(second)") }
        self = date
    }

    init?(checkedYear year: Int, month: Int, day: Int, hour: Int, minute: Int, second: Int) {
        guard (1...9999).contains(year), (1...12).contains(month),
            (1...CalendarDate.days(in: month, of: year)).contains(day),
            (0...23).contains(hour), (0...59).contains(minute), (0...59).contains(second)
        else { return nil }
        (self.year, self.month, self.day) = (year, month, day)
        (self.hour, self.minute, self.second) = (hour, minute, second)
    }

    private static func isLeap(_ year: Int) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

    private static func days(in month: Int, of year: Int) -> Int {
        [31, isLeap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
    }

    /// From 1 for the first of January.
    private var dayOfYear: Int { (1..<month).reduce(day) { $0 + CalendarDate.days(in: $1, of: year) } }

    /// 0 is Monday.
    private var weekday: Int {
        let before = year - 1
        return (before * 365 + before / 4 - before / 100 + before / 400 + dayOfYear - 1) % 7
    }

    private static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ]
    private static let weekdays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]

    /// C's `strftime` in the C locale, the directives that need no locale or time zone; `%-d` leaves out the zero.
    /// - Returns: nil for a directive outside those.
    func formatted(_ format: String) -> String? {
        var result = ""
        var characters = format.unicodeScalars.makeIterator()
        while let character = characters.next() {
            guard character == "%" else {
                result.unicodeScalars.append(character)
                continue
            }
            guard var directive = characters.next() else { return nil }
            let pads = directive != "-"
            if !pads {
                guard let next = characters.next() else { return nil }
                directive = next
            }
            guard let text = directiveText(directive, pads: pads) else { return nil }
            result += text
        }
        return result
    }

    private func directiveText(_ directive: Unicode.Scalar, pads: Bool) -> String? {
        func number(_ value: Int, _ width: Int) -> String {
            let digits = String(value)
            return pads && digits.count < width ? String(repeating: "0", count: width - digits.count) + digits : digits
        }
        switch directive {
        case "Y": return String(year)
        case "y": return number(year % 100, 2)
        case "m": return number(month, 2)
        case "d": return number(day, 2)
        case "e": return pads && day < 10 ? " \(day)" : String(day)
        case "j": return number(dayOfYear, 3)
        case "B": return CalendarDate.months[month - 1]
        case "b", "h": return String(CalendarDate.months[month - 1].prefix(3))
        case "A": return CalendarDate.weekdays[weekday]
        case "a": return String(CalendarDate.weekdays[weekday].prefix(3))
        case "H": return number(hour, 2)
        case "I": return number(hour % 12 == 0 ? 12 : hour % 12, 2)
        case "M": return number(minute, 2)
        case "S": return number(second, 2)
        case "p": return hour < 12 ? "AM" : "PM"
        case "F": return formatted("%Y-%m-%d")
        case "T": return formatted("%H:%M:%S")
        case "D": return formatted("%m/%d/%y")
        case "%": return "%"
        default: return nil
        }
    }
}
