// swift-tools-version: 6.0
// The fuzzer's program, as a package of its own: only `cluster/fuzz` builds it, with the sanitizers that it needs. What it
// runs, `FuzzTargets`, is a target of the project, whose tests replay the corpus without it.
import PackageDescription

/// Rookery's symbols have `package` access: see benchmarks/Package.swift.
let rookeryFolder = Context.packageDirectory.split(separator: "/").dropLast().last.map { $0.lowercased() } ?? ""
let rookeryName = String(
    rookeryFolder.enumerated().map { index, character in
        let fits = character.isLetter || character == "_" || (character.isNumber && index > 0)
        return fits ? character : "_"
    })

let package = Package(
    name: "fuzzing",
    dependencies: [.package(name: "rookery", path: "..")],
    targets: [
        .executableTarget(
            name: "fuzz", dependencies: [.product(name: "RookeryFuzzTargets", package: "rookery")],
            packageAccess: false, swiftSettings: [.unsafeFlags(["-package-name", rookeryName, "-parse-as-library"])])
    ],
    swiftLanguageModes: [.v6]
)
