-- Workers, what they earned, what they are owed, how they were checked, and how often experts were asked for.
CREATE TABLE batches (
    writer BYTEA PRIMARY KEY,
    sequence BIGINT NOT NULL,
    run BIGINT NOT NULL
);

CREATE TABLE workers (
    id BYTEA PRIMARY KEY,
    name TEXT NOT NULL,
    -- Byte order, as SQLite has it, whatever the locale: ties of teams go by name.
    team TEXT COLLATE "C",
    cpu_features TEXT NOT NULL,
    cores BIGINT NOT NULL,
    ram_bytes BIGINT NOT NULL,
    gpu TEXT NOT NULL,
    vram_bytes BIGINT NOT NULL,
    engine TEXT NOT NULL,
    version TEXT NOT NULL,
    first_seen_s BIGINT NOT NULL,
    last_seen_s BIGINT NOT NULL,
    valid DOUBLE PRECISION NOT NULL,
    invalid DOUBLE PRECISION NOT NULL,
    streak BIGINT NOT NULL,
    timely DOUBLE PRECISION NOT NULL,
    late DOUBLE PRECISION NOT NULL,
    uptime_s DOUBLE PRECISION NOT NULL,
    known_since_s BIGINT NOT NULL,
    excluded TEXT
);

CREATE INDEX workers_by_team ON workers (team) WHERE team IS NOT NULL;

CREATE TABLE credit (
    worker BYTEA PRIMARY KEY,
    total BIGINT NOT NULL,
    recent DOUBLE PRECISION NOT NULL,
    at_s BIGINT NOT NULL,
    recent_order DOUBLE PRECISION NOT NULL
);

CREATE TABLE vouchers (
    worker BYTEA NOT NULL,
    orchestrator BYTEA NOT NULL,
    sequence BIGINT NOT NULL,
    total BIGINT NOT NULL,
    root BYTEA NOT NULL,
    expires_s BIGINT NOT NULL,
    orchestrator_signature BYTEA NOT NULL,
    worker_signature BYTEA,
    PRIMARY KEY (worker, orchestrator)
);

CREATE TABLE audits (
    id BYTEA PRIMARY KEY,
    worker BYTEA NOT NULL,
    at_s BIGINT NOT NULL,
    verdict BIGINT NOT NULL,
    evidence BYTEA NOT NULL
);

CREATE INDEX audits_by_worker ON audits (worker, at_s);

CREATE TABLE expert_use (
    model BYTEA NOT NULL,
    layer BIGINT NOT NULL,
    expert BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    PRIMARY KEY (model, layer, expert)
);
