-- Since which record a ledger is folded as which version; without a row for it, as the first. The act at
-- `seq` says the same to whoever folds the journal.
CREATE TABLE fold (
    ledger  smallint NOT NULL,
    version int      NOT NULL,
    seq     bigint   NOT NULL,
    PRIMARY KEY (ledger, version)
);
