// Which tables a run's store has, and how an older one becomes a newer one.

import GRDB

enum RunSchema {
    /// "Rook": tells a run's store from any other SQLite file.
    static let applicationIdentifier = 0x526f_6f6b

    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("v1") { database in
            try database.execute(sql: version1)
        }
        migrator.registerMigration("drains") { database in
            try database.execute(sql: "ALTER TABLE workers ADD COLUMN drained_sequence INTEGER")
        }
        // One row a group instead of one for each completion and each verdict.
        migrator.registerMigration("v2") { database in
            try database.execute(sql: version2)
            try Version1Groups(database: database).move()
            try database.execute(sql: "DROP TABLE verdicts_1; DROP TABLE completions_1; DROP TABLE groups_1")
            try database.execute(sql: "DROP TABLE drops_1")
        }
        return migrator
    }

    /// Text that a model or a file wrote is in `ANY` columns: with a NUL character in it, it is stored as bytes.
    /// `sequence` columns number the records of a run in the order in which they were appended.
    private static let version1 = """
        CREATE TABLE run (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            created_at REAL NOT NULL,
            recipe ANY,
            options TEXT,
            sequence INTEGER NOT NULL DEFAULT 0,
            open_count INTEGER NOT NULL DEFAULT 0,
            outcome TEXT CHECK (outcome IN ('completed', 'interrupted', 'failed')),
            outcome_step INTEGER,
            outcome_reason ANY,
            outcome_sequence INTEGER
        ) STRICT;

        CREATE TABLE workers (
            id INTEGER PRIMARY KEY,
            name ANY NOT NULL,
            host ANY NOT NULL,
            roles TEXT NOT NULL,
            open_count INTEGER NOT NULL,
            joined_at REAL NOT NULL,
            joined_sequence INTEGER NOT NULL,
            left_at REAL,
            left_sequence INTEGER,
            left_reason ANY
        ) STRICT;
        CREATE INDEX workers_by_name ON workers (name);

        CREATE TABLE groups (
            purpose INTEGER NOT NULL,
            step INTEGER NOT NULL,
            ordinal INTEGER NOT NULL,
            source ANY NOT NULL,
            prompt_text ANY NOT NULL,
            answer ANY NOT NULL,
            prompt_tokens BLOB NOT NULL,
            sequence INTEGER NOT NULL,
            judged_sequence INTEGER,
            compacted INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (purpose, step, ordinal)
        ) STRICT;

        CREATE TABLE completions (
            purpose INTEGER NOT NULL,
            step INTEGER NOT NULL,
            ordinal INTEGER NOT NULL,
            position INTEGER NOT NULL,
            completion_index INTEGER NOT NULL,
            finish INTEGER NOT NULL,
            text ANY NOT NULL,
            token_count INTEGER NOT NULL,
            tokens BLOB,
            sampled_log_probs BLOB,
            policy_log_probs BLOB,
            entropies BLOB,
            versions BLOB,
            checksum INTEGER NOT NULL,
            PRIMARY KEY (purpose, step, ordinal, position),
            FOREIGN KEY (purpose, step, ordinal) REFERENCES groups ON DELETE CASCADE
        ) STRICT;

        CREATE TABLE verdicts (
            purpose INTEGER NOT NULL,
            step INTEGER NOT NULL,
            ordinal INTEGER NOT NULL,
            position INTEGER NOT NULL,
            outcome INTEGER NOT NULL,
            score REAL,
            reason ANY NOT NULL,
            PRIMARY KEY (purpose, step, ordinal, position),
            FOREIGN KEY (purpose, step, ordinal) REFERENCES groups ON DELETE CASCADE
        ) STRICT;

        CREATE TABLE drops (
            purpose INTEGER NOT NULL,
            step INTEGER NOT NULL,
            ordinal INTEGER NOT NULL,
            reason ANY NOT NULL,
            sequence INTEGER NOT NULL,
            PRIMARY KEY (purpose, step, ordinal)
        ) STRICT;

        CREATE TABLE steps (
            step INTEGER PRIMARY KEY,
            sequence INTEGER NOT NULL,
            trained_at REAL NOT NULL,
            undone INTEGER NOT NULL DEFAULT 0,
            policy_version INTEGER NOT NULL,
            weights_hash TEXT NOT NULL,
            next_position INTEGER NOT NULL,
            \(manifestColumns)
        ) STRICT;
        CREATE TABLE step_values (
            step INTEGER NOT NULL REFERENCES steps ON DELETE CASCADE,
            position INTEGER NOT NULL,
            name TEXT NOT NULL,
            value REAL,
            PRIMARY KEY (step, position)
        ) STRICT;
        CREATE TABLE step_groups (
            step INTEGER NOT NULL REFERENCES steps ON DELETE CASCADE,
            position INTEGER NOT NULL,
            group_purpose INTEGER NOT NULL,
            group_step INTEGER NOT NULL,
            group_ordinal INTEGER NOT NULL,
            PRIMARY KEY (step, position)
        ) STRICT;

        CREATE TABLE evaluations (
            step INTEGER PRIMARY KEY,
            sequence INTEGER NOT NULL,
            policy_version INTEGER NOT NULL,
            right_count INTEGER NOT NULL,
            wrong_count INTEGER NOT NULL,
            no_verdict_count INTEGER NOT NULL,
            completion_tokens_mean REAL
        ) STRICT;
        CREATE TABLE evaluation_sources (
            step INTEGER NOT NULL REFERENCES evaluations ON DELETE CASCADE,
            position INTEGER NOT NULL,
            source ANY NOT NULL,
            right_count INTEGER NOT NULL,
            judged_count INTEGER NOT NULL,
            PRIMARY KEY (step, position)
        ) STRICT;
        CREATE TABLE evaluation_examples (
            step INTEGER NOT NULL REFERENCES evaluations ON DELETE CASCADE,
            position INTEGER NOT NULL,
            prompt ANY NOT NULL,
            completion ANY NOT NULL,
            answer ANY NOT NULL,
            outcome INTEGER NOT NULL,
            PRIMARY KEY (step, position)
        ) STRICT;

        CREATE TABLE checkpoints (
            step INTEGER PRIMARY KEY,
            sequence INTEGER NOT NULL,
            next_position INTEGER NOT NULL,
            \(manifestColumns)
        ) STRICT;
        """

    private static let manifestColumns = """
        manifest_version INTEGER NOT NULL,
            manifest_weights_hash TEXT NOT NULL,
            weights_digest TEXT NOT NULL,
            weights_bytes INTEGER NOT NULL,
            optimizer_digest TEXT,
            optimizer_bytes INTEGER
        """

    /// `id` is `GroupKey.rowIdentifier`. `completions` and `verdicts` are described in `GroupBlob.swift`.
    private static let version2 = """
        ALTER TABLE groups RENAME TO groups_1;
        ALTER TABLE completions RENAME TO completions_1;
        ALTER TABLE verdicts RENAME TO verdicts_1;
        ALTER TABLE drops RENAME TO drops_1;

        CREATE TABLE groups (
            id INTEGER PRIMARY KEY,
            \(keyColumns),
            sequence INTEGER NOT NULL,
            compacted INTEGER NOT NULL DEFAULT 0,
            source ANY NOT NULL,
            prompt_text ANY NOT NULL,
            answer ANY NOT NULL,
            prompt_tokens BLOB NOT NULL,
            completions BLOB NOT NULL
        ) STRICT;
        CREATE TABLE verdicts (
            id INTEGER PRIMARY KEY,
            \(keyColumns),
            sequence INTEGER NOT NULL,
            verdicts BLOB NOT NULL
        ) STRICT;
        CREATE TABLE drops (
            id INTEGER PRIMARY KEY,
            \(keyColumns),
            reason ANY NOT NULL,
            sequence INTEGER NOT NULL
        ) STRICT;
        """

    /// For people who ask the file; they take no room.
    private static let keyColumns = """
        purpose INTEGER GENERATED ALWAYS AS (id >> 54) VIRTUAL,
            step INTEGER GENERATED ALWAYS AS (id >> 24 & 1073741823) VIRTUAL,
            ordinal INTEGER GENERATED ALWAYS AS (id & 16777215) VIRTUAL
        """
}
