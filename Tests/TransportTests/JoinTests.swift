// Tokens, proofs and the join socket.

import Rollouts
import Synchronization
import Testing

@testable import Transport

private func bytes(_ hex: String) -> [UInt8] { Hexadecimal.bytes(hex) ?? [] }

private func token(_ server: PublicKey, _ addresses: [Address]) -> JoinToken {
    JoinToken(server: server, identifier: .random(), secret: .random(), addresses: addresses)
}

// RFC 4648, section 10, in lower case and without padding.
@Test func `base32 is the standard's, in either case`() {
    let vectors = [
        "": "", "f": "my", "fo": "mzxq", "foo": "mzxw6", "foob": "mzxw6yq", "fooba": "mzxw6ytb",
        "foobar": "mzxw6ytboi",
    ]
    for plain in vectors.keys.sorted() {
        let text = vectors[plain] ?? ""
        #expect(Base32.text(Array(plain.utf8)) == text)
        #expect(Base32.bytes(text) == Array(plain.utf8))
        #expect(Base32.bytes(text.uppercased()) == Array(plain.utf8))
    }
    for wrong in ["m", "mz", "mzxw6y0", "mzx", "my=", "mé"] { #expect(Base32.bytes(wrong) == nil, "\(wrong)") }
}

// RFC 4231, test cases 1, 2 and 6.
@Test func `the proof's HMAC is the standard's`() {
    let cases: [([UInt8], [UInt8], String)] = [
        (
            [UInt8](repeating: 0x0B, count: 20), Array("Hi There".utf8),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        ),
        (
            Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        ),
        (
            [UInt8](repeating: 0xAA, count: 131), Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        ),
    ]
    for (key, message, expected) in cases { #expect(HMAC.sha256(key: key, message: message) == bytes(expected)) }
}

@Test func `a token comes back from its text, and its secret is in no description`() throws {
    let made = token(
        KeyPair.generate().publicKey,
        [.tcp(host: "head.example.org", port: 5557), .tcp(host: "fd00::1", port: 5557)])
    #expect(made.text.hasPrefix("rookery1-"))
    #expect(try JoinToken(made.text) == made)
    #expect(try JoinToken(made.text.uppercased()) == made)
    let secret = Hexadecimal.text(made.secret.bytes)
    #expect(!"\(made)".contains(secret) && !String(reflecting: made).contains(secret))
}

@Test func `a mistyped token is named as such, whatever was mistyped`() throws {
    let text = token(KeyPair.generate().publicKey, [.tcp(host: "head", port: 1)]).text
    let start = JoinToken.prefix.count
    func refusal(_ text: String) -> String? {
        do throws(TransportError) {
            _ = try JoinToken(text)
            return nil
        } catch { return error.description }
    }
    var characters = Array(text)
    for place in start..<characters.count {
        let former = characters[place]
        characters[place] = former == "a" ? "b" : "a"
        #expect(refusal(String(characters))?.contains("mistyped or cut") == true)
        characters[place] = former
    }
    for length in start..<characters.count {
        #expect(refusal(String(characters[..<length]))?.contains("mistyped or cut") == true)
    }
    #expect(refusal("rookery2-" + text.dropFirst(start))?.contains("another release") == true)
    #expect(refusal("tcp://head:1")?.contains("no token") == true)
    #expect(refusal(text + "!")?.contains("copy the whole line that `coordinator invite` printed") == true)
}

@Test func `a proof holds for its worker, its coordinator and its token alone`() throws {
    let (worker, server) = (KeyPair.generate().publicKey, KeyPair.generate().publicKey)
    let made = token(server, [anyPort])
    let verifier = made.secret.verifier
    #expect(verifier.bytes != made.secret.bytes && verifier.bytes.count == 32)
    let proof = verifier.proof(worker: worker, server: server, identifier: made.identifier)
    #expect(verifier.accepts(proof, worker: worker, server: server, identifier: made.identifier))
    #expect(!verifier.accepts(proof, worker: server, server: worker, identifier: made.identifier))
    #expect(!verifier.accepts(proof, worker: worker, server: server, identifier: .random()))
    #expect(!JoinSecret.random().verifier.accepts(proof, worker: worker, server: server, identifier: made.identifier))
    #expect(!verifier.accepts(Array(proof.dropLast()), worker: worker, server: server, identifier: made.identifier))
}

@Test func `join messages come back from their bytes, and no cut of one passes`() throws {
    let request = JoinRequest(identifier: .random(), proof: [UInt8](repeating: 7, count: 32), name: "höst")
    let frame = JoinFrame.encode(request)
    #expect(try JoinFrame.decodeRequest(frame) == request)
    for length in 0..<frame.count {
        #expect(throws: TransportError.self) { try JoinFrame.decodeRequest(Array(frame[..<length])) }
    }
    let answers: [JoinAnswer] = [
        .admitted(
            JoinAdmission(
                name: "a-2", roles: [.learner, .rollout], run: "r",
                addresses: [.tcp(host: "*", port: 1), .tcp(host: "::1", port: 2)])),
        .refused(reason: "no", mayRetry: false), .refused(reason: "später", mayRetry: true),
    ]
    for answer in answers {
        let frame = JoinFrame.encode(answer)
        #expect(try JoinFrame.decodeAnswer(frame) == answer)
        for length in 0..<(frame.count - 1) {
            #expect(throws: TransportError.self) { try JoinFrame.decodeAnswer(Array(frame[..<length])) }
        }
    }
    #expect(throws: TransportError.self) { try JoinFrame.decodeRequest(JoinFrame.encode(answers[1])) }
    #expect(throws: TransportError.self) { try JoinFrame.decodeAnswer(frame) }
}

@Suite(.serialized, .timeLimit(.minutes(2)))
struct JoinSocketTests {
    private func ask(
        _ ground: Guarded, _ token: JoinToken, _ keys: KeyPair, within answer: Duration = patience
    ) throws -> JoinClient.Outcome {
        var limits = JoinClient.Limits()
        limits.answer = answer
        return try JoinClient.ask(
            ground.context, token: token, keys: keys, name: "host", wake: try WakePipe(), limits: limits)
    }

    @Test func `a worker asks with its own key and gets its answer`() throws {
        let ground = try Guarded()
        let worker = KeyPair.generate()
        let admission = JoinAdmission(
            name: "host", roles: [.rollout], run: "r", addresses: [.tcp(host: "*", port: 5555)])
        let asked = Mutex<[PublicKey]>([])
        let known = JoinSecret.random()
        let server = try JoinServer(ground.context, curve: ground.listener(domain: "join")) { request, key in
            guard
                known.verifier.accepts(
                    request.proof, worker: key, server: ground.keys.publicKey, identifier: request.identifier)
            else { return .refused(reason: "not an invitation", mayRetry: false) }
            asked.withLock { $0.append(key) }
            return .admitted(admission)
        } report: { _ in }
        let good = JoinToken(
            server: ground.keys.publicKey, identifier: .random(), secret: known, addresses: server.addresses)
        #expect(try ask(ground, good, worker) == .admitted(admission, reached: server.addresses[0]))
        #expect(asked.withLock { $0 } == [worker.publicKey])
        let guess = token(ground.keys.publicKey, server.addresses)
        #expect(try ask(ground, guess, worker) == .refused(reason: "not an invitation", mayRetry: false))
        // Another coordinator's token: nobody it trusts is here.
        let misled = JoinToken(
            server: KeyPair.generate().publicKey, identifier: .random(), secret: known, addresses: server.addresses)
        #expect(try ask(ground, misled, worker, within: .milliseconds(600)) == .unanswered)
        server.stop()
    }

    @Test func `what is no request gets no answer, another release gets one, and a flood is cut`() throws {
        let ground = try Guarded()
        let wake = try WakePipe()
        let said = Mutex<[String]>([])
        let decided = Mutex(0)
        let server = try JoinServer(ground.context, curve: ground.listener(domain: "join")) { _, _ in
            decided.withLock { $0 += 1 }
            return .refused(reason: "no", mayRetry: true)
        } report: { text in said.withLock { $0.append(text) } }
        var client = try ground.client(.generate(), server.addresses[0])
        let request = JoinFrame.encode(
            JoinRequest(identifier: .random(), proof: [UInt8](repeating: 0, count: 32), name: "x"))
        var newer = request
        newer[4] = 2
        for frame in [[1, 2, 3], newer, request] { #expect(client.send(frame) == .sent) }
        let refusal = next(&client, wake)
        let first = try JoinFrame.decodeAnswer(try #require(refusal))
        #expect(
            first
                == .refused(
                    reason: "the other side speaks join protocol 2.0, this one 1.0; "
                        + "install the same release on both hosts", mayRetry: false))
        let decision = next(&client, wake)
        let second = try JoinFrame.decodeAnswer(try #require(decision))
        #expect(second == .refused(reason: "no", mayRetry: true))
        #expect(said.withLock { $0 }.count == 2)
        #expect(said.withLock { $0 }.first == "a message to the join socket was dropped: 3 bytes that are no join message")
        for _ in 0..<300 { _ = client.send(request) }
        while !said.withLock({ $0 }).contains(where: { $0.contains("come faster than 32 a second") }) {
            _ = client.send(request)
            _ = client.receive()
        }
        #expect(decided.withLock { $0 } >= 1)
        server.stop()
    }
}

@Test func `a budget is spent, refilled with time, and granted`() {
    var budget = RateBudget(burst: 3, perSecond: 2)
    let start = MonotonicTime(nanoseconds: 5_000_000_000)
    func taken(_ count: Int, after milliseconds: Int = 0) -> Int {
        (0..<count).count { _ in budget.take(at: start + .milliseconds(milliseconds)) }
    }
    #expect(taken(5) == 3)
    #expect(taken(1, after: 499) == 0)
    #expect(taken(5, after: 1000) == 2)
    budget.grant(2)
    #expect(taken(5) == 2, "a clock that goes back refills nothing")
    budget.grant(100)
    #expect(taken(5) == 3)
}

@Test func `refusals are said once, then counted, and a scan from everywhere has an end`() {
    var tally = RefusalTally()
    let start = MonotonicTime.zero
    for _ in 0..<5 { tally.add("10.0.0.1 was refused", at: start) }
    tally.add("10.0.0.2 was refused", at: start)
    #expect(tally.take(at: start) == ["10.0.0.1 was refused", "10.0.0.2 was refused"])
    tally.add("10.0.0.1 was refused", at: start + .seconds(59))
    #expect(tally.take(at: start + .seconds(59)) == [])
    #expect(tally.nextDeadline == start + .seconds(60))
    #expect(tally.take(at: start + .seconds(60)) == ["10.0.0.1 was refused (5 more within a minute)"])
    #expect(tally.nextDeadline == nil)
    for number in 0..<10_000 { tally.add("host \(number)", at: start + .seconds(100)) }
    let lines = tally.take(at: start + .seconds(100))
    #expect(lines.count == RefusalTally.kindLimit + 1 && lines.last == "others were refused too")
    #expect(
        tally.take(at: start + .seconds(160)) == ["others were refused too (\(10_000 - 33) more within a minute)"])
}
