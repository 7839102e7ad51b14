-- One order for all nodes of a ledger: who appends locks its row here.
CREATE TABLE head (
    ledger smallint PRIMARY KEY,
    seq    bigint NOT NULL,
    chain  bytea  NOT NULL,
    fold   int    NOT NULL
) WITH (fillfactor = 10);

-- The journal. `chain` is SHA-256 over the chain of the record before and `id`; `line` is the record,
-- octet for octet, so it is no jsonb.
CREATE TABLE journal (
    ledger smallint NOT NULL,
    seq    bigint   NOT NULL,
    at_ms  bigint   NOT NULL,
    id     text     NOT NULL,
    chain  bytea    NOT NULL,
    line   text     NOT NULL,
    PRIMARY KEY (ledger, seq)
);

-- Who takes part, how far, and when it was heard last.
CREATE TABLE node (
    ledger  smallint NOT NULL,
    name    text     NOT NULL,
    seq     bigint   NOT NULL,
    chain   bytea    NOT NULL,
    fold    int      NOT NULL,
    release text     NOT NULL,
    seen_ms bigint   NOT NULL,
    PRIMARY KEY (ledger, name)
);
