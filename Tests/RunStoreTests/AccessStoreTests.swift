// Invitations are used once and in time; workers are admitted, revoked and listed.

import Foundation
import Rollouts
import Synchronization
import Testing

@testable import RunStore

/// A store in a folder of its own whose time is set by hand.
private final class Ground {
    let path: String
    let time = Shared()
    let store: AccessStore

    final class Shared: Sendable { let now = Mutex(1000.0) }

    init() throws {
        let folder = NSTemporaryDirectory() + "/rookery-access-\(UInt32.random(in: 0 ..< .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        path = folder + "/access.sqlite"
        store = try AccessStore(path: path, clock: { [time] in time.now.withLock { $0 } })
    }

    deinit { try? FileManager.default.removeItem(atPath: (path as NSString).deletingLastPathComponent) }

    func invite(_ identifier: String, roles: [WorkerRole] = [.rollout], until expiresAt: Double = 2000) throws {
        try store.add([
            Invitation(identifier: identifier, verifier: [1, 2, 3], roles: roles, expiresAt: expiresAt)
        ])
    }

    /// The name that was admitted, or why none was.
    func redeem(_ identifier: String, _ key: String, _ name: String = "host") throws -> String {
        switch try store.redeem(identifier, key: key, name: name) {
        case .admitted(let worker, let isNew): (isNew ? "new " : "again ") + worker.name
        case .expired(let time): "expired \(Int(time))"
        case .used(let name): "used by \(name)"
        case .revoked(let name): "revoked \(name)"
        case .unknown: "unknown"
        }
    }
}

@Suite struct AccessStoreTests {
    @Test func `an invitation lets in one key, and that one again`() throws {
        let ground = try Ground()
        try ground.invite("one", roles: [.rollout, .verifier])
        #expect(try ground.store.verifier(of: "one") == [1, 2, 3])
        #expect(try ground.store.verifier(of: "two") == nil)
        #expect(try ground.redeem("two", "a") == "unknown")
        #expect(try ground.redeem("one", "a") == "new host")
        #expect(try ground.redeem("one", "a", "another") == "again host")
        #expect(try ground.redeem("one", "b") == "used by host")
        ground.time.now.withLock { $0 = 5000 }
        #expect(try ground.redeem("one", "a") == "again host")
        let workers = try ground.store.workers()
        #expect(workers.map(\.key) == ["a"] && workers[0].roles == [.rollout, .verifier])
        #expect(workers[0].joinedAt == 1000 && workers[0].seenAt == nil && workers[0].revokedAt == nil)
    }

    @Test func `an expired invitation lets in nobody new`() throws {
        let ground = try Ground()
        try ground.invite("one")
        try ground.invite("two")
        #expect(try ground.redeem("one", "a") == "new host")
        ground.time.now.withLock { $0 = 2000 }
        #expect(try ground.redeem("two", "b") == "expired 2000")
        #expect(try ground.redeem("two", "a") == "again host")
        ground.time.now.withLock { $0 = 1999 }
        #expect(try ground.redeem("two", "b") == "new host-2", "it was not used up")
        // Forgotten a day after its time.
        try ground.invite("three")
        ground.time.now.withLock { $0 = 2000 + 86_401 }
        try ground.invite("four", until: 1e9)
        #expect(try ground.redeem("three", "c") == "unknown")
    }

    @Test func `names are unique and made of harmless characters`() throws {
        let ground = try Ground()
        for identifier in ["1", "2", "3", "4"] { try ground.invite(identifier) }
        #expect(try ground.redeem("1", "a", "h o/s\u{0}t:\n") == "new host")
        #expect(try ground.redeem("2", "b", "host") == "new host-2")
        #expect(try ground.redeem("3", "c", "é") == "new worker")
        #expect(try ground.redeem("4", "d", String(repeating: "x", count: 500)).count == 64)
    }

    @Test func `a revoked worker stays out until it is invited again`() throws {
        let ground = try Ground()
        try ground.invite("one")
        #expect(try ground.redeem("one", "a") == "new host")
        #expect(try ground.store.revoke(name: "nobody") == nil)
        #expect(try ground.store.revoke(name: "host")?.key == "a")
        #expect(try ground.redeem("one", "a") == "revoked host")
        #expect(try ground.store.workers()[0].revokedAt == 1000)
        try ground.invite("two", roles: [.learner])
        #expect(try ground.redeem("two", "a") == "new host")
        #expect(try ground.store.workers()[0].roles == [.learner])
        #expect(try ground.store.workers()[0].revokedAt == nil)
    }

    @Test func `another process's change is noticed, and the file is closed to others`() throws {
        let ground = try Ground()
        let before = try ground.store.foreignChanges()
        try ground.store.storeEndpoints(["tcp://a:1", "tcp://b:2"])
        #expect(try ground.store.foreignChanges() == before, "one's own change")
        let other = try AccessStore(path: ground.path)
        #expect(try other.endpoints() == ["tcp://a:1", "tcp://b:2"])
        try other.see(names: ["nobody"])
        try other.storeEndpoints(["tcp://c:3"])
        #expect(try ground.store.foreignChanges() != before)
        #expect(try ground.store.endpoints() == ["tcp://c:3"])
        for suffix in ["", "-wal", "-shm"] {
            let mode = try FileManager.default.attributesOfItem(atPath: ground.path + suffix)[.posixPermissions]
            #expect(mode as? Int == 0o600, "\(suffix)")
        }
    }

    @Test func `a database of something else is refused by name`() throws {
        let ground = try Ground()
        let run = (ground.path as NSString).deletingLastPathComponent + "/run.sqlite"
        _ = try RunStore(path: run)
        let error = #expect(throws: RunStoreError.self) { _ = try AccessStore(path: run) }
        #expect(error == .foreign(path: run))
    }
}
