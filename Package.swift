// swift-tools-version: 6.0
// Layers: a target depends only on layers below it; Tests/TidyTests checks the imports of every file against this list.
import PackageDescription

let optimised: [CSetting] = [
    // Loops live in C: fast in debug builds too, and never reordered or fused by the compiler.
    .unsafeFlags(["-O3", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra", "-Wno-unused-parameter"])
]

let package = Package(
    name: "rookery",
    products: [
        .executable(name: "coordinator", targets: ["coordinator"]),
        .executable(name: "worker", targets: ["worker"]),
        .executable(name: "simulate", targets: ["simulate"]),
        .executable(name: "chaos", targets: ["chaos"]),
        // For benchmarks/, a package of its own.
        .library(
            name: "RookeryEngine",
            targets: ["Rollouts", "PolicyOptimization", "Tokenization", "Weights", "Engine", "CKernels"]),
        .library(
            name: "RookeryCluster",
            targets: ["Rollouts", "Cluster", "Transport", "Wire", "RunStore", "Runtime", "Telemetry"]),
        // For fuzzing/, another.
        .library(name: "RookeryFuzzTargets", targets: ["FuzzTargets"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    ],
    targets: [
        // C
        .systemLibrary(name: "CZeroMQ"),
        .systemLibrary(name: "CSodium"),
        .systemLibrary(name: "COpenBLAS"),
        .target(name: "CKernels", cSettings: optimised, linkerSettings: [.linkedLibrary("pthread")]),
        .target(name: "CWire", cSettings: optimised, linkerSettings: [.linkedLibrary("protobuf-c")]),

        .target(name: "CChecksum", cSettings: optimised),

        // words
        .target(name: "Rollouts"),

        // pure
        .target(name: "PolicyOptimization", dependencies: ["Rollouts", "CKernels"]),
        .target(name: "Cluster", dependencies: ["Rollouts", "PolicyOptimization"]),
        .target(name: "Verifiers", dependencies: ["Rollouts"]),

        // edges, lower row
        .target(
            name: "Weights", dependencies: ["Rollouts", "CSodium", "CChecksum", "CKernels"],
            linkerSettings: [.linkedLibrary("sodium")]),
        .target(
            name: "Engine", dependencies: ["Rollouts", "Weights", "CKernels", "COpenBLAS"],
            linkerSettings: [.linkedLibrary("openblas")]),
        .target(name: "Tokenization", dependencies: ["Rollouts"]),

        // edges, upper row
        .target(
            name: "Transport", dependencies: ["Rollouts", "CZeroMQ", "CSodium", "CChecksum"],
            linkerSettings: [.linkedLibrary("zmq"), .linkedLibrary("sodium")]),
        .target(name: "Wire", dependencies: ["Rollouts", "Cluster", "CWire", "CChecksum"]),
        .target(
            name: "Telemetry",
            dependencies: ["Rollouts", "Cluster", "CChecksum", .product(name: "Logging", package: "swift-log")]),
        .target(name: "Recipes", dependencies: ["Rollouts", "Yams"]),
        .target(name: "Datasets", dependencies: ["Rollouts"]),
        .target(
            name: "RunStore", dependencies: ["Rollouts", "Cluster", .product(name: "GRDB", package: "GRDB.swift")]),

        // shell
        .target(
            name: "Compute",
            dependencies: [
                "Rollouts", "Cluster", "PolicyOptimization", "Verifiers", "Weights", "Engine", "Tokenization",
            ]),
        .target(
            name: "Runtime",
            dependencies: [
                "Rollouts", "Cluster", "Weights", "Tokenization", "Transport", "Wire", "Telemetry", "Recipes",
                "Datasets", "RunStore", "Verifiers",
            ]),
        .target(name: "Simulation", dependencies: ["Rollouts", "Cluster"]),
        .target(
            name: "FaultInjection",
            dependencies: ["Rollouts", "Cluster", "Wire", "Transport", "Recipes", "RunStore", "Runtime"]),

        // What fuzzing/ runs on any bytes, and the tests on its corpus.
        .target(
            name: "FuzzTargets",
            dependencies: [
                "Rollouts", "Cluster", "Weights", "Tokenization", "Transport", "Wire", "Recipes", "Datasets",
                "CChecksum",
            ],
            path: "fuzzing/Sources/FuzzTargets"),

        // executables
        .executableTarget(
            name: "coordinator",
            dependencies: ["Runtime", .product(name: "ArgumentParser", package: "swift-argument-parser")]),
        .executableTarget(
            name: "worker",
            dependencies: ["Runtime", "Compute", .product(name: "ArgumentParser", package: "swift-argument-parser")]),
        .executableTarget(
            name: "simulate",
            dependencies: ["Simulation", .product(name: "ArgumentParser", package: "swift-argument-parser")]),
        .executableTarget(
            name: "chaos",
            dependencies: [
                "Runtime", "FaultInjection", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),

        // tests
        .testTarget(name: "RolloutsTests", dependencies: ["Rollouts"]),
        .testTarget(
            name: "PolicyOptimizationTests", dependencies: ["PolicyOptimization"], resources: [.copy("Fixtures")]),
        .testTarget(name: "ClusterTests", dependencies: ["Cluster", "Simulation"], exclude: ["Transcripts"]),
        .testTarget(name: "VerifiersTests", dependencies: ["Verifiers"]),
        .testTarget(name: "WeightsTests", dependencies: ["Weights"], resources: [.copy("Fixtures")]),
        .testTarget(
            name: "EngineTests", dependencies: ["Engine", "Weights", "Rollouts", "CKernels"],
            resources: [.copy("Fixtures")]),
        .testTarget(
            name: "TokenizationTests", dependencies: ["Tokenization", "Rollouts"], resources: [.copy("Fixtures")]),
        .testTarget(name: "TransportTests", dependencies: ["Transport"]),
        .testTarget(name: "WireTests", dependencies: ["Wire"]),
        .testTarget(name: "TelemetryTests", dependencies: ["Telemetry"]),
        .testTarget(name: "RecipesTests", dependencies: ["Recipes"]),
        .testTarget(name: "DatasetsTests", dependencies: ["Datasets"], resources: [.copy("Fixtures")]),
        .testTarget(name: "RunStoreTests", dependencies: ["RunStore"]),
        .testTarget(
            name: "ComputeTests", dependencies: ["Compute", "Engine", "Weights", "Tokenization", "Rollouts"],
            resources: [.copy("Fixtures")]),
        .testTarget(name: "RuntimeTests", dependencies: ["Runtime", "Simulation"]),
        .testTarget(name: "ExecutableTests", dependencies: ["coordinator", "worker", "simulate", "chaos"]),
        .testTarget(name: "FaultInjectionTests", dependencies: ["FaultInjection"]),
        .testTarget(name: "FuzzingTests", dependencies: ["FuzzTargets"]),
        .testTarget(name: "TidyTests"),
    ],
    swiftLanguageModes: [.v6]
)
