-- Vouchers as both signed them, 300 bytes each. Nothing ever wrote to the tables that go.
DROP TABLE vouchers;
DROP TABLE audits;

CREATE TABLE vouchers (
    worker BYTEA NOT NULL,
    orchestrator BYTEA NOT NULL,
    signed BYTEA NOT NULL,
    PRIMARY KEY (worker, orchestrator)
);
