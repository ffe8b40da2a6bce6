//! The statements, as both databases read them.

/// Lines of the leaderboard that fulfil a condition.
macro_rules! ranked {
    ($condition:literal) => {
        concat!(
            "WITH ranked AS (SELECT worker, total, recent, at_s,
        row_number() OVER (ORDER BY total DESC, worker) AS place,
        rank() OVER (ORDER BY recent_order DESC) - 1 AS above, count(*) OVER () AS entries
        FROM credit)
    SELECT ranked.worker, coalesce(workers.name, ''), workers.team, ranked.total, ranked.recent, ranked.at_s,
        ranked.place, ranked.above, ranked.entries
    FROM ranked LEFT JOIN workers ON workers.id = ranked.worker WHERE ",
            $condition
        )
    };
}

/// The writer's last batch.
pub const LAST_BATCH: &str = "SELECT sequence, run FROM batches WHERE writer = $1";

/// Remembers the writer's last batch.
pub const PUT_BATCH: &str = "INSERT INTO batches (writer, sequence, run) VALUES ($1, $2, $3)
    ON CONFLICT (writer) DO UPDATE SET sequence = excluded.sequence, run = excluded.run";

/// Writes a worker; the earlier `first_seen_s` stays, and so does an exclusion.
pub const PUT_WORKER: &str = "INSERT INTO workers (id, name, team, cpu_features, cores, ram_bytes, gpu, vram_bytes,
        engine, version, first_seen_s, last_seen_s, valid, invalid, streak, timely, late, uptime_s, known_since_s, excluded)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, team = excluded.team, cpu_features = excluded.cpu_features,
        cores = excluded.cores, ram_bytes = excluded.ram_bytes, gpu = excluded.gpu, vram_bytes = excluded.vram_bytes,
        engine = excluded.engine, version = excluded.version,
        first_seen_s = CASE WHEN workers.first_seen_s < excluded.first_seen_s
            THEN workers.first_seen_s ELSE excluded.first_seen_s END,
        last_seen_s = excluded.last_seen_s, valid = excluded.valid, invalid = excluded.invalid,
        streak = excluded.streak, timely = excluded.timely, late = excluded.late, uptime_s = excluded.uptime_s,
        known_since_s = excluded.known_since_s, excluded = coalesce(workers.excluded, excluded.excluded)";

/// Ends a worker's exclusion.
pub const PARDON: &str = "UPDATE workers SET excluded = NULL WHERE id = $1";

/// All workers.
pub const WORKERS: &str = "SELECT id, name, team, cpu_features, cores, ram_bytes, gpu, vram_bytes, engine, version,
        first_seen_s, last_seen_s, valid, invalid, streak, timely, late, uptime_s, known_since_s, excluded
    FROM workers ORDER BY id";

/// One worker's credit.
pub const CREDIT: &str = "SELECT total, recent, at_s FROM credit WHERE worker = $1";

/// Writes one worker's credit.
pub const PUT_CREDIT: &str =
    "INSERT INTO credit (worker, total, recent, at_s, recent_order) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (worker) DO UPDATE SET total = excluded.total, recent = excluded.recent, at_s = excluded.at_s,
        recent_order = excluded.recent_order";

/// The leaderboard down to a place.
pub const TOP_WORKERS: &str = ranked!("ranked.place <= $1 ORDER BY ranked.place");

/// One worker's place.
pub const RANK: &str = ranked!("ranked.worker = $1");

/// A team's part of the leaderboard.
pub const TEAM: &str = ranked!("workers.team = $1 ORDER BY ranked.place LIMIT $2");

/// Teams by their sums. Whole units and the rest are added apart, so that no sum leaves its column.
pub const TOP_TEAMS: &str = "WITH sums AS (
        SELECT workers.team AS team, count(*) AS members,
            CAST(sum(credit.total / 1000000) AS BIGINT) AS units, CAST(sum(credit.total % 1000000) AS BIGINT) AS rest
        FROM credit JOIN workers ON workers.id = credit.worker WHERE workers.team IS NOT NULL GROUP BY workers.team)
    SELECT team, members, units + rest / 1000000 AS whole, rest % 1000000 AS part FROM sums
    ORDER BY whole DESC, part DESC, team LIMIT $1";

/// A pair's voucher.
pub const VOUCHER: &str = "SELECT signed FROM vouchers WHERE worker = $1 AND orchestrator = $2";

/// The vouchers of one orchestrator.
pub const VOUCHERS: &str = "SELECT signed FROM vouchers WHERE orchestrator = $1 ORDER BY worker";

/// Writes a pair's voucher.
pub const PUT_VOUCHER: &str = "INSERT INTO vouchers (worker, orchestrator, signed) VALUES ($1, $2, $3)
    ON CONFLICT (worker, orchestrator) DO UPDATE SET signed = excluded.signed";

/// How often a model's experts were asked for.
pub const EXPERT_USE: &str =
    "SELECT model, layer, expert, row_count FROM expert_use WHERE model = $1 ORDER BY layer, expert";

/// Adds to it.
pub const ADD_EXPERT_USE: &str = "INSERT INTO expert_use (model, layer, expert, row_count) VALUES ($1, $2, $3, $4)
    ON CONFLICT (model, layer, expert) DO UPDATE SET row_count = expert_use.row_count + excluded.row_count";
