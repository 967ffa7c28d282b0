// The fuzzer's program: `fuzz TARGET [libFuzzer's options and corpus folders]`, and `fuzz` alone to list the targets.

import FuzzTargets
import Glibc

/// Set once before the first input, by the only thread there is.
nonisolated(unsafe) private var target = FuzzTarget.all[0]

/// Names the target for this process and those it starts.
private let variable = "ROOKERY_FUZZ_TARGET"

private typealias Arguments = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutablePointer<Arguments>,
    _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// The package manager makes this the program's `main`, in place of libFuzzer's own.
@_cdecl("fuzz_main")
public func fuzz(_ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> CInt {
    var count = count
    var arguments = arguments
    if getenv(variable) == nil {
        guard count > 1 else {
            for target in FuzzTarget.all { print(target.name, target.lengthLimit) }
            return 0
        }
        // A merge starts this program again with libFuzzer's options alone.
        if let name = arguments[1] { setenv(variable, name, 1) }
        arguments[1] = arguments[0]
        arguments += 1
        count -= 1
    }
    let name = getenv(variable).map { String(cString: $0) } ?? ""
    guard let found = FuzzTarget.named(name) else {
        print("`\(name)` is no target; expected one of \(FuzzTarget.all.map(\.name).joined(separator: ", "))")
        return 2
    }
    target = found
    return runDriver(&count, &arguments) { start, count in
        do throws(FuzzFinding) {
            _ = try target.run([UInt8](UnsafeBufferPointer(start: start, count: count)))
        } catch {
            preconditionFailure("\(target.name): \(error)")
        }
        return 0
    }
}
