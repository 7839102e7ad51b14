-- Which process a node is, what it is configured with, and up to where it carried erasures out.
ALTER TABLE node
    ADD COLUMN run     text   NOT NULL DEFAULT '',
    ADD COLUMN twin_ms bigint NOT NULL DEFAULT 0,
    ADD COLUMN facts   text   NOT NULL DEFAULT '{}',
    ADD COLUMN erased  bigint NOT NULL DEFAULT 0;

-- Erasures, by the position of their act. While a row is here that is not done, records up to it are
-- being rewritten.
CREATE TABLE erasure (
    ledger  smallint NOT NULL,
    seq     bigint   NOT NULL,
    hash    text     NOT NULL,
    is_done boolean  NOT NULL DEFAULT false,
    PRIMARY KEY (ledger, seq)
);
