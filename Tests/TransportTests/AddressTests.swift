// Addresses as people write them.

import Testing

@testable import Transport

private func refusal(_ text: String) -> String? {
    do throws(TransportError) {
        _ = try Address(text)
        return nil
    } catch {
        return error.description
    }
}

@Test func `an address reads and writes the same text`() throws {
    for text in [
        "tcp://127.0.0.1:5555", "tcp://*:0", "tcp://head.example.org:65535", "tcp://[::1]:80", "ipc:///tmp/a b/control",
        "ipc://relative",
    ] {
        #expect(try Address(text).description == text)
    }
    #expect(try Address("tcp://[::1]:80") == .tcp(host: "::1", port: 80))
}

@Test func `a wrong address says what is wrong with it`() {
    let advice = "; write tcp://HOST:PORT or ipc:///FOLDER/NAME"
    #expect(refusal("head:5555") == "read address `head:5555`: no scheme" + advice)
    #expect(refusal("http://head:80") == "read address `http://head:80`: unknown scheme `http`" + advice)
    #expect(refusal("tcp://head") == "read address `tcp://head`: no port" + advice)
    #expect(refusal("tcp://head:") == "read address `tcp://head:`: no port" + advice)
    #expect(refusal("tcp://[::1]") == "read address `tcp://[::1]`: no port" + advice)
    #expect(refusal("tcp://:80") == "read address `tcp://:80`: no host" + advice)
    #expect(
        refusal("tcp://head:65536") == "read address `tcp://head:65536`: `65536` is not a port (0 to 65535)" + advice)
    #expect(refusal("tcp://head:+80") == "read address `tcp://head:+80`: `+80` is not a port (0 to 65535)" + advice)
    #expect(
        refusal("tcp://::1:80") == "read address `tcp://::1:80`: an IPv6 host without brackets: [::1]" + advice)
    #expect(refusal("tcp://a;b:80") == "read address `tcp://a;b:80`: `a;b` is not a host" + advice)
    #expect(refusal("ipc://") == "read address `ipc://`: no path" + advice)
    #expect(refusal("ipc://@x") == "read address `ipc://@x`: an abstract name has no owner and no permissions" + advice)
    #expect(refusal("ipc://a\u{0}b") == "read address `ipc://a\u{0}b`: a zero byte inside" + advice)
}

@Test func `a socket's path has at most 107 bytes`() throws {
    let longest = "ipc://" + String(repeating: "p", count: 107)
    #expect(try Address(longest).description == longest)
    #expect(refusal(longest + "p")?.contains("a path of 108 bytes, and a socket's path has at most 107") == true)
}

@Test func `loopback is this machine and nothing that looks like it`() throws {
    for text in ["ipc:///tmp/x", "tcp://127.0.0.1:1", "tcp://127.9.8.7:1", "tcp://localhost:1", "tcp://[::1]:1"] {
        #expect(try Address(text).isLoopback, "\(text)")
    }
    for text in [
        "tcp://*:1", "tcp://0.0.0.0:1", "tcp://10.0.0.1:1", "tcp://127.example.org:1", "tcp://127.0.0.1.org:1",
        "tcp://127.0.0:1", "tcp://head:1",
    ] {
        #expect(try !Address(text).isLoopback, "\(text)")
    }
}

@Test func `a wildcard host becomes the host that was reached`() throws {
    let reached = try Address("tcp://head:7000")
    #expect(try Address("tcp://*:7001").seen(from: reached).description == "tcp://head:7001")
    #expect(try Address("tcp://0.0.0.0:7001").seen(from: reached).description == "tcp://head:7001")
    #expect(try Address("tcp://[::]:7001").seen(from: .ipc(path: "/x")).description == "tcp://127.0.0.1:7001")
    #expect(try Address("tcp://other:7001").seen(from: reached).description == "tcp://other:7001")
    #expect(try Address("ipc:///x").seen(from: reached).description == "ipc:///x")
}
