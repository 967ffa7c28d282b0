// swift-tools-version: 6.0
// What is measured, as a package of its own: building and testing Rookery does not build it.
import PackageDescription

/// Rookery's symbols have `package` access. The compiler's package name is the folder's name (SwiftPM's identity of a
/// package by path) as an identifier; a target with that name and without one of its own sees them.
let rookeryFolder = Context.packageDirectory.split(separator: "/").dropLast().last.map { $0.lowercased() } ?? ""
let rookeryName = String(
    rookeryFolder.enumerated().map { index, character in
        let fits = character.isLetter || character == "_" || (character.isNumber && index > 0)
        return fits ? character : "_"
    })

let optimised: [CSetting] = [.unsafeFlags(["-O3", "-ffp-contract=off", "-Wall", "-Wextra"])]

let package = Package(
    name: "benchmarks",
    dependencies: [
        .package(name: "rookery", path: ".."),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    ],
    targets: [
        .target(name: "CPeak", cSettings: optimised),
        .target(name: "Measurement"),
        .executableTarget(
            name: "benchmark",
            dependencies: [
                "CPeak", "Measurement", .product(name: "RookeryEngine", package: "rookery"),
                .product(name: "RookeryCluster", package: "rookery"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            packageAccess: false, swiftSettings: [.unsafeFlags(["-package-name", rookeryName])]),
        .testTarget(name: "MeasurementTests", dependencies: ["Measurement"]),
    ],
    swiftLanguageModes: [.v6]
)
