// How much memory processes hold. Source: proc(5).

import Foundation

enum ProcessMemory {
    /// Highest resident size of this process so far, in bytes.
    static var peakBytes: Double { Double(field("VmHWM", of: "self") ?? 0) }

    /// Resident size of this process now, in bytes.
    static var currentBytes: Double { Double(field("VmRSS", of: "self") ?? 0) }

    /// Resident bytes of a process and all its descendants together. Pages that several of them map count in each.
    static func treeBytes(root: Int32) -> Double {
        var children: [Int32: [Int32]] = [:]
        // A process that ends while it is looked at is no part of the sum.
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
            guard let identifier = Int32(name), let parent = parent(of: name) else { continue }
            children[parent, default: []].append(identifier)
        }
        var sum = 0
        var open = [root]
        while let next = open.popLast() {
            sum += field("VmRSS", of: String(next)) ?? 0
            open += children[next] ?? []
        }
        return Double(sum)
    }

    private static func parent(of process: String) -> Int32? {
        guard let text = contents("/proc/\(process)/stat"), let end = text.lastIndex(of: ")") else { return nil }
        // After the name in parentheses: state, parent.
        let fields = text[text.index(after: end)...].split(separator: " ")
        return fields.count > 1 ? Int32(fields[1]) : nil
    }

    /// A line of the status file that is given in kB, as bytes.
    private static func field(_ name: String, of process: String) -> Int? {
        guard let text = contents("/proc/\(process)/status") else { return nil }
        for line in text.split(separator: "\n") where line.hasPrefix(name + ":") {
            return line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { Int($0) }
                .map { $0 * 1024 }
        }
        return nil
    }

    private static func contents(_ path: String) -> String? {
        // Gone with its process, or another user's.
        try? String(contentsOfFile: path, encoding: .utf8)
    }
}
