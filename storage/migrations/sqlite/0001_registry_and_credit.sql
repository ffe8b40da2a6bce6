-- Workers, what they earned, what they are owed, how they were checked, and how often experts were asked for.
CREATE TABLE batches (
    writer BLOB PRIMARY KEY,
    sequence INTEGER NOT NULL,
    run INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE workers (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    team TEXT,
    cpu_features TEXT NOT NULL,
    cores INTEGER NOT NULL,
    ram_bytes INTEGER NOT NULL,
    gpu TEXT NOT NULL,
    vram_bytes INTEGER NOT NULL,
    engine TEXT NOT NULL,
    version TEXT NOT NULL,
    first_seen_s INTEGER NOT NULL,
    last_seen_s INTEGER NOT NULL,
    valid REAL NOT NULL,
    invalid REAL NOT NULL,
    streak INTEGER NOT NULL,
    timely REAL NOT NULL,
    late REAL NOT NULL,
    uptime_s REAL NOT NULL,
    known_since_s INTEGER NOT NULL,
    excluded TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX workers_by_team ON workers (team) WHERE team IS NOT NULL;

CREATE TABLE credit (
    worker BLOB PRIMARY KEY,
    total INTEGER NOT NULL,
    recent REAL NOT NULL,
    at_s INTEGER NOT NULL,
    recent_order REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE vouchers (
    worker BLOB NOT NULL,
    orchestrator BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    total INTEGER NOT NULL,
    root BLOB NOT NULL,
    expires_s INTEGER NOT NULL,
    orchestrator_signature BLOB NOT NULL,
    worker_signature BLOB,
    PRIMARY KEY (worker, orchestrator)
) STRICT, WITHOUT ROWID;

CREATE TABLE audits (
    id BLOB PRIMARY KEY,
    worker BLOB NOT NULL,
    at_s INTEGER NOT NULL,
    verdict INTEGER NOT NULL,
    evidence BLOB NOT NULL
) STRICT;

CREATE INDEX audits_by_worker ON audits (worker, at_s);

CREATE TABLE expert_use (
    model BLOB NOT NULL,
    layer INTEGER NOT NULL,
    expert INTEGER NOT NULL,
    row_count INTEGER NOT NULL,
    PRIMARY KEY (model, layer, expert)
) STRICT, WITHOUT ROWID;
