// Secret keys in files, and the folders they lie in.

import Glibc
import Testing

@testable import Transport

private func write(_ text: String, _ path: String, mode: mode_t = 0o600) {
    unlink(path)
    let descriptor = open(path, O_WRONLY | O_CREAT, mode)
    _ = Glibc.write(descriptor, text, text.utf8.count)
    fchmod(descriptor, mode)
    close(descriptor)
}

private func refusal(_ path: String) -> String {
    do throws(TransportError) {
        _ = try KeyFile.load(path)
        return ""
    } catch { return error.description }
}

@Test func `a key file is made once, closed to others, and read again`() throws {
    let folder = TestFolder()
    let path = folder.path + "/control"
    let made = try KeyFile.loadOrCreate(path)
    #expect(try KeyFile.loadOrCreate(path) == made)
    #expect(try KeyFile.load(path) == made)
    var status = stat()
    #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
    #expect(KeyPair(secretKey: made.secretKey) == made)
    #expect(PublicKey(hex: made.publicKey.hex) == made.publicKey)
}

@Test func `a key file that others can read, or that holds no keys, is refused by name`() throws {
    let folder = TestFolder()
    let path = folder.path + "/control"
    #expect(refusal(path).contains("No such file"))
    let made = try KeyFile.loadOrCreate(path)
    chmod(path, 0o640)
    #expect(refusal(path).contains("its mode is 0640, so others can read the secret"))
    #expect(refusal(path).contains(path))
    let other = KeyPair.generate().publicKey.hex
    let secret = made.secretKey.bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    for text in [
        "", "public \(other)\n", "public \(other)\nsecret \(secret)\n", "secret \(secret)\n", "one two three\n",
        "public \(made.publicKey.hex)\nsecret \(secret.dropLast())\n", String(repeating: "x", count: 10_000),
        "public \(String(repeating: "0", count: 64))\nsecret \(String(repeating: "0", count: 64))\n",
    ] {
        write(text, path)
        #expect(refusal(path).contains("it does not hold a key pair"), "\(text)")
    }
    write("public \(made.publicKey.hex)\nsecret \(secret)\n", path)
    #expect(try KeyFile.load(path) == made)
    #expect(symlink(path, folder.path + "/blobs") == 0)
    #expect(refusal(folder.path + "/blobs").contains("symbolic link"))
}

@Test func `a private folder is made with its parents, and one that is open is closed`() throws {
    let folder = TestFolder()
    let path = folder.path + "/a/b"
    defer {
        rmdir(path)
        rmdir(folder.path + "/a")
    }
    try PrivateFolder.ensure(path)
    var status = stat()
    #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o700)
    chmod(path, 0o755)
    try PrivateFolder.ensure(path)
    #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o700)
    write("", folder.path + "/control")
    let error = #expect(throws: TransportError.self) { try PrivateFolder.ensure(folder.path + "/control") }
    #expect(error?.description.contains("it is not a folder") == true)
}
