-- Vouchers as both signed them, 300 bytes each. Nothing ever wrote to the tables that go.
DROP TABLE vouchers;
DROP TABLE audits;

CREATE TABLE vouchers (
    worker BLOB NOT NULL,
    orchestrator BLOB NOT NULL,
    signed BLOB NOT NULL,
    PRIMARY KEY (worker, orchestrator)
) STRICT, WITHOUT ROWID;
