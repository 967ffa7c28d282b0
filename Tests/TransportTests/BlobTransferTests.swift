// Blobs over real sockets, with what can go wrong on the way.

import Rollouts
import Synchronization
import Testing

@testable import Transport

private func quick() -> BlobClient.Limits {
    var limits = BlobClient.Limits()
    limits.reply = .milliseconds(300)
    limits.backoffFirst = .milliseconds(1)
    limits.backoffMost = .milliseconds(20)
    limits.attempts = 4
    return limits
}

private let chunk = 1 << 20

@Test(arguments: [0, 1, chunk - 1, chunk, chunk + 1, 6 * chunk + 12_345])
func `a blob of any size goes down and up over ipc and TCP`(count: Int) throws {
    let folder = TestFolder()
    let context = try Context()
    let cancel = try CancelFlag()
    let home = MemoryStorage()
    let events = try EventList()
    let server = try BlobServer(context, listen: [folder.address("blobs"), anyPort], storage: home) { events.add($0) }
    let bytes = blobBytes(count)
    let blob = home.add(bytes)
    let away = MemoryStorage()
    for (index, address) in server.addresses.enumerated() {
        var client = try BlobClient(context, connect: address)
        #expect(try client.size(of: blob.digest, cancel: cancel) == count)
        let fresh = MemoryStorage()
        var steps: [Int] = []
        try client.download(blob, into: fresh, cancel: cancel) { steps.append($0) }
        #expect(fresh.state.withLock { $0.stored[blob.digest] } == bytes)
        #expect(steps == steps.sorted() && steps.last ?? 0 == count)

        let other = away.add(blobBytes(count, seed: 77 + UInt64(index) * 1_000_003))
        if count > 1 { #expect(try client.size(of: other.digest, cancel: cancel) == nil) }
        try client.upload(other, from: away, cancel: cancel)
        #expect(home.size(of: other.digest) == count)
        if count > 1 { #expect(events.all.contains(.stored(other))) }
        #expect(client.recreations == 0)
    }
    server.stop()
}

private final class EventList: Sendable {
    private let events = Mutex<[BlobServerEvent]>([])
    private let added: WakePipe
    init() throws { added = try WakePipe() }
    func add(_ event: BlobServerEvent) {
        events.withLock { $0.append(event) }
        added.wake()
    }
    var all: [BlobServerEvent] { events.withLock { $0 } }
    func waitForFirst() { _ = added.wait(timeout: patience) }
}

@Test func `a download goes on where it was interrupted`() throws {
    let context = try Context()
    let home = MemoryStorage()
    let server = try BlobServer(context, listen: [anyPort], storage: home)
    let bytes = blobBytes(5 * chunk)
    let blob = home.add(bytes)
    let away = MemoryStorage()
    away.state.withLock { $0.partial[blob.digest] = Array(bytes[..<(2 * chunk + 5)]) }
    var client = try BlobClient(context, connect: server.addresses[0])
    try client.download(blob, into: away, cancel: CancelFlag())
    #expect(away.size(of: blob.digest) == 5 * chunk)
    #expect(home.state.withLock { $0.reads } == [2 * chunk + 5, 3 * chunk + 5, 4 * chunk + 5])
}

@Test func `an upload goes on where the server stands`() throws {
    let context = try Context()
    let home = MemoryStorage()
    let server = try BlobServer(context, listen: [anyPort], storage: home)
    let away = MemoryStorage()
    let bytes = blobBytes(3 * chunk)
    let blob = away.add(bytes)
    home.state.withLock { $0.partial[blob.digest] = Array(bytes[..<chunk]) }
    var client = try BlobClient(context, connect: server.addresses[0])
    try client.upload(blob, from: away, cancel: CancelFlag())
    #expect(home.size(of: blob.digest) == 3 * chunk)
    #expect(away.state.withLock { $0.reads } == [chunk, 2 * chunk])
    // Stored already: one question, no bytes.
    try client.upload(blob, from: away, cancel: CancelFlag())
    #expect(away.state.withLock { $0.reads.count } == 2)
}

@Test func `a blob that the server does not have, or that is not here, is missing`() throws {
    let context = try Context()
    let server = try BlobServer(context, listen: [anyPort], storage: MemoryStorage())
    let blob = BlobReference(digest: digest(of: [1]), byteCount: 10)
    var client = try BlobClient(context, connect: server.addresses[0])
    let down = #expect(throws: TransportError.self) {
        try client.download(blob, into: MemoryStorage(), cancel: CancelFlag())
    }
    #expect(down?.kind == .missing)
    #expect(down?.description == "download blob \(blob.digest): the server has no such blob")
    let up = #expect(throws: TransportError.self) {
        try client.upload(blob, from: MemoryStorage(), cancel: CancelFlag())
    }
    #expect(up?.description == "upload blob \(blob.digest): not stored here")
}

@Test func `damaged, lost and late answers cost time and no bytes`() throws {
    let context = try Context()
    let home = MemoryStorage()
    let bytes = blobBytes(5 * chunk + 1)
    let blob = home.add(bytes)
    // Answer 1 is damaged in its payload, 5 in its header; 8 is lost.
    let server = try ScriptedServer(context, home) { index, reply in
        var reply = reply
        if index == 1 { reply[reply.count / 2] ^= 0x10 }
        if index == 5 { reply[20] ^= 0x01 }
        return index == 8 ? nil : reply
    }
    let away = MemoryStorage()
    var client = try BlobClient(context, connect: server.address, limits: quick())
    try client.download(blob, into: away, cancel: CancelFlag())
    #expect(away.state.withLock { $0.stored[blob.digest] } == bytes)
    #expect(client.recreations >= 2)
}

@Test func `an upload survives lost answers`() throws {
    let context = try Context()
    let home = MemoryStorage()
    let server = try ScriptedServer(context, home) { index, reply in index == 0 || index == 3 ? nil : reply }
    let away = MemoryStorage()
    let blob = away.add(blobBytes(4 * chunk + 9))
    var client = try BlobClient(context, connect: server.address, limits: quick())
    try client.upload(blob, from: away, cancel: CancelFlag())
    #expect(home.size(of: blob.digest) == 4 * chunk + 9)
    #expect(home.state.withLock { $0.writes } == [0, chunk, 2 * chunk, 3 * chunk, 4 * chunk], "each byte once")
}

@Test func `a whole that does not verify is fetched once more, and not for ever`() throws {
    let context = try Context()
    let home = MemoryStorage()
    let server = try BlobServer(context, listen: [anyPort], storage: home)
    let blob = home.add(blobBytes(2 * chunk))
    var client = try BlobClient(context, connect: server.addresses[0], limits: quick())
    let away = MemoryStorage()
    away.state.withLock { $0.damagesNextWrite = true }
    try client.download(blob, into: away, cancel: CancelFlag())
    #expect(away.size(of: blob.digest) == 2 * chunk)
    #expect(home.state.withLock { $0.reads.count } == 4)

    // The server's copy itself is wrong.
    home.state.withLock { $0.stored[blob.digest]![7] ^= 1 }
    let error = #expect(throws: TransportError.self) {
        try client.download(blob, into: MemoryStorage(), cancel: CancelFlag())
    }
    #expect(error?.kind == .corrupt)
}

@Test func `an upload that arrives damaged in storage starts over`() throws {
    let context = try Context()
    let home = MemoryStorage()
    home.state.withLock { $0.damagesNextWrite = true }
    let events = try EventList()
    let server = try BlobServer(context, listen: [anyPort], storage: home) { events.add($0) }
    let away = MemoryStorage()
    let blob = away.add(blobBytes(2 * chunk))
    var client = try BlobClient(context, connect: server.addresses[0], limits: quick())
    try client.upload(blob, from: away, cancel: CancelFlag())
    #expect(home.state.withLock { $0.writes } == [0, chunk, 0, chunk])
    server.stop()
    #expect(events.all.count == 2)
    guard case .refused(_, blob.digest, "wrong digest") = events.all[0] else {
        Issue.record("\(events.all[0])")
        return
    }
    #expect(events.all[1] == .stored(blob))
}

@Test func `storage that fails once is tried again from where it stands`() throws {
    let context = try Context()
    let home = MemoryStorage()
    home.state.withLock { $0.failsAfterWrites = 2 }
    let server = try BlobServer(context, listen: [anyPort], storage: home)
    let away = MemoryStorage()
    let blob = away.add(blobBytes(4 * chunk))
    var client = try BlobClient(context, connect: server.addresses[0], limits: quick())
    try client.upload(blob, from: away, cancel: CancelFlag())
    #expect(home.state.withLock { $0.writes } == [0, chunk, 2 * chunk, 3 * chunk])
}

@Test func `an upload larger than the server takes is refused with the numbers`() throws {
    let context = try Context()
    let server = try BlobServer(context, listen: [anyPort], storage: MemoryStorage(), blobLimitBytes: 999)
    let away = MemoryStorage()
    let blob = away.add(blobBytes(1000))
    var client = try BlobClient(context, connect: server.addresses[0], limits: quick())
    let error = #expect(throws: TransportError.self) { try client.upload(blob, from: away, cancel: CancelFlag()) }
    #expect(error?.description == "upload blob \(blob.digest): 1000 bytes, more than the 999 that are taken here")
}

@Test func `a server that is not there ends the attempts with words`() throws {
    let context = try Context()
    var limits = quick()
    limits.reply = .milliseconds(20)
    var client = try BlobClient(context, connect: .ipc(path: "/tmp/rookery-no-blobs"), limits: limits)
    let blob = BlobReference(digest: digest(of: [2]), byteCount: 10)
    let error = #expect(throws: TransportError.self) {
        try client.download(blob, into: MemoryStorage(), cancel: CancelFlag())
    }
    #expect(error?.kind == .timedOut)
    #expect(
        error?.reason == "4 attempts failed at byte 0, the last with: no connection to ipc:///tmp/rookery-no-blobs")
}

@Test func `a cancelled transfer stops between two chunks and can be resumed`() throws {
    let context = try Context()
    let home = MemoryStorage()
    let server = try BlobServer(context, listen: [anyPort], storage: home)
    let blob = home.add(blobBytes(8 * chunk))
    let away = MemoryStorage()
    let cancel = try CancelFlag()
    var client = try BlobClient(context, connect: server.addresses[0])
    let error = #expect(throws: TransportError.self) {
        try client.download(blob, into: away, cancel: cancel) { if $0 >= 2 * chunk { cancel.cancel() } }
    }
    #expect(error?.kind == .cancelled)
    let held = away.state.withLock { $0.partial[blob.digest]?.count ?? 0 }
    #expect(held >= 2 * chunk && held < 8 * chunk)
    try client.download(blob, into: away, cancel: CancelFlag())
    #expect(away.size(of: blob.digest) == 8 * chunk)
}

@Test func `garbage on the blob port is reported and changes nothing`() throws {
    let context = try Context()
    let home = MemoryStorage()
    let events = try EventList()
    let server = try BlobServer(context, listen: [anyPort], storage: home) { events.add($0) }
    let blob = home.add(blobBytes(100))
    var odd = try ControlClient(context, connect: server.addresses[0])
    #expect(odd.send(Array("not a blob frame".utf8)) == .sent)
    events.waitForFirst()
    #expect(odd.receive() == nil)
    var client = try BlobClient(context, connect: server.addresses[0])
    try client.download(blob, into: MemoryStorage(), cancel: CancelFlag())
    server.stop()
    #expect(events.all.count == 1)
    guard case .malformed(_, "16 bytes, shorter than its header") = events.all.first else {
        Issue.record("\(events.all)")
        return
    }
}

@Test func `a blob server that cannot listen says so at once`() throws {
    let context = try Context()
    let first = try BlobServer(context, listen: [anyPort], storage: MemoryStorage())
    let error = #expect(throws: TransportError.self) {
        _ = try BlobServer(context, listen: first.addresses, storage: MemoryStorage())
    }
    #expect(error?.operation == "listen on")
}
