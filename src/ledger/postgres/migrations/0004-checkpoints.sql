-- Records before `first` are gone, or going: a checkpoint holds what they decided.
ALTER TABLE head ADD COLUMN first bigint NOT NULL DEFAULT 1;

-- Facts about a ledger that hold until a time: who may write the next checkpoint.
CREATE TABLE fact (
    ledger   smallint NOT NULL,
    name     text     NOT NULL,
    value    text     NOT NULL,
    until_ms bigint   NOT NULL,
    PRIMARY KEY (ledger, name)
);

-- Checkpoints that are whole: all rows as of `seq`, of which a node that carried out the erasures up
-- to `erased` made a file. A new node begins with the newest one.
CREATE TABLE checkpoint (
    ledger smallint NOT NULL,
    name   text     NOT NULL,
    seq    bigint   NOT NULL,
    chain  bytea    NOT NULL,
    fold   int      NOT NULL,
    erased bigint   NOT NULL,
    node   text     NOT NULL,
    at_ms  bigint   NOT NULL,
    parts  int      NOT NULL,
    octets bigint   NOT NULL,
    sha256 bytea    NOT NULL,
    PRIMARY KEY (ledger, name)
);

-- Their octets, and those of one that is being written. They are compressed already.
CREATE TABLE checkpoint_part (
    ledger smallint NOT NULL,
    name   text     NOT NULL,
    part   int      NOT NULL,
    octets bytea    NOT NULL,
    PRIMARY KEY (ledger, name, part)
);
ALTER TABLE checkpoint_part ALTER COLUMN octets SET STORAGE EXTERNAL;
