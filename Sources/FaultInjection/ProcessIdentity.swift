// Which process is meant: a number alone may be another's by the time it is used.

import Foundation

/// A process as /proc tells it; signals go to it or to nobody.
package struct ProcessIdentity: Equatable, Sendable {
    package let identifier: Int32
    /// Since boot, in clock ticks: with the number, unique while the machine is up.
    private let startTicks: UInt64

    /// nil when there is no such process, or it has ended and only its number is left.
    package init?(_ identifier: Int32) {
        guard let fields = ProcessIdentity.fields(of: identifier), fields.state != "Z" else { return nil }
        self.identifier = identifier
        startTicks = fields.startTicks
    }

    package var isAlive: Bool { ProcessIdentity(identifier) == self }

    /// - Returns: whether it was there to get it.
    @discardableResult package func signal(_ number: Int32) -> Bool {
        isAlive && kill(identifier, number) == 0
    }

    /// Processes that this one started and that have not ended, by number.
    package var children: [ProcessIdentity] {
        // A folder that cannot be listed has no processes in it.
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []  // see the line above
        return names.compactMap { Int32($0) }.sorted().compactMap { number in
            guard ProcessIdentity.fields(of: number)?.parent == identifier else { return nil }
            return ProcessIdentity(number)
        }
    }

    /// Its command line's words; none when it has ended.
    package var arguments: [String] {
        let bytes = FileManager.default.contents(atPath: "/proc/\(identifier)/cmdline") ?? Data()
        return bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    }

    /// /proc/PID/stat, proc(5): the second field is a name in parentheses that may hold anything.
    private static func fields(of identifier: Int32) -> (state: String, parent: Int32, startTicks: UInt64)? {
        guard let data = FileManager.default.contents(atPath: "/proc/\(identifier)/stat"),
            let name = data.lastIndex(of: UInt8(ascii: ")"))
        else { return nil }
        let words = String(decoding: data[data.index(after: name)...], as: UTF8.self).split(separator: " ")
        guard words.count > 19, let parent = Int32(words[1]), let ticks = UInt64(words[19]) else { return nil }
        return (String(words[0]), parent, ticks)
    }
}
