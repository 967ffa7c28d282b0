// Three hosts on one: network namespaces, and the cables between them.

import Foundation

/// A head and two workers, each with a cable of its own to the head. Everything has this process's number in its name
/// and goes when it ends.
final class NamespaceGround {
    struct Worker {
        let name: String
        let namespace: String
        /// The head's end of its cable, and the head's address there.
        let cable: String
        let headAddress: String
    }

    let head: String
    let workers: [Worker]
    private var made: [String] = []

    /// - Throws: one line that says what it takes, where it is not permitted.
    init() throws(FaultInjectionError) {
        guard getuid() == 0 else {
            throw FaultInjectionError("--namespaces makes network namespaces, which takes root: run it with sudo")
        }
        head = "rookery-\(getpid())-head"
        workers = ["one", "two"].enumerated().map { index, name in
            Worker(
                name: name, namespace: "rookery-\(getpid())-\(name)", cable: name,
                headAddress: "10.77.\(index + 1).1")
        }
        do throws(FaultInjectionError) {
            try setUp()
        } catch {
            tearDown()
            throw error
        }
    }

    private func setUp() throws(FaultInjectionError) {
        for namespace in [head] + workers.map(\.namespace) {
            try ip(["netns", "add", namespace])
            made.append(namespace)
            try ip(["-n", namespace, "link", "set", "lo", "up"])
        }
        for worker in workers {
            let far = worker.headAddress.dropLast() + "2"
            try ip([
                "link", "add", worker.cable, "netns", head, "type", "veth", "peer", "name", "cable", "netns",
                worker.namespace,
            ])
            try ip(["-n", head, "address", "add", worker.headAddress + "/24", "dev", worker.cable])
            try ip(["-n", worker.namespace, "address", "add", far + "/24", "dev", "cable"])
            try ip(["-n", worker.namespace, "link", "set", "dev", "cable", "up"])
            try heal(worker)
        }
    }

    func cut(_ worker: Worker) throws(FaultInjectionError) {
        try ip(["-n", head, "link", "set", "dev", worker.cable, "down"])
    }

    func heal(_ worker: Worker) throws(FaultInjectionError) {
        try ip(["-n", head, "link", "set", "dev", worker.cable, "up"])
    }

    /// Words before a command that make it run there.
    static func inside(_ namespace: String) -> [String] {
        ["/bin/sh", "-c", "exec ip netns exec \"$0\" \"$@\"", namespace]
    }

    /// The same, and a folder of this host looks empty to it, as on another host.
    static func inside(_ namespace: String, hiding folder: String) -> [String] {
        inside(namespace) + ["/bin/sh", "-c", "mount -t tmpfs -o size=1m none \"$0\" && exec \"$@\"", folder]
    }

    func tearDown() {
        // One that cannot be removed is empty and does no harm; its name says whose it was.
        for namespace in made { _ = try? ip(["netns", "delete", namespace]) }  // see the line above
        made = []
    }

    @discardableResult private func ip(_ words: [String]) throws(FaultInjectionError) -> String {
        try Command.output(["/bin/sh", "-c", "exec ip \"$@\"", "ip"] + words)
    }
}
