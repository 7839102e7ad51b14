-- For people and their BI tools: the journal as rows and columns. They read JSON as they go, so ask for
-- a stretch of `seq` or a time; nothing of bounced uses them.

CREATE VIEW event AS
SELECT ledger, seq, id, to_timestamp(at_ms / 1000.0) AS at,
       line::json ->> 'type'        AS type,
       line::json ->> 'kind'        AS kind,
       line::json ->> 'format'      AS format,
       line::json ->> 'scope'       AS scope,
       line::json ->> 'campaign'    AS campaign,
       line::json ->> 'attribution' AS attribution,
       line::json -> 'act' ->> 'what' AS act,
       line::json AS line
FROM journal;

CREATE VIEW event_recipient AS
SELECT e.ledger, e.seq, e.at,
       coalesce(r ->> 'address', r ->> 'original_recipient', r ->> 'final_recipient') AS address,
       r ->> 'action' AS action, r ->> 'status' AS status, r ->> 'reason' AS reason,
       r ->> 'category' AS category, r ->> 'class' AS class, r ->> 'advice' AS advice,
       r ->> 'provider' AS provider, r ->> 'rule' AS rule, r ->> 'diagnostic' AS diagnostic
FROM event e CROSS JOIN LATERAL json_array_elements(e.line -> 'recipients') r
WHERE json_typeof(e.line -> 'recipients') = 'array';

CREATE VIEW decision AS
SELECT e.ledger, e.seq, e.at, d ->> 'address' AS address, d ->> 'scope' AS scope,
       d ->> 'from' AS was, d ->> 'to' AS state, d ->> 'until' AS until, d ->> 'clause' AS clause
FROM event e CROSS JOIN LATERAL json_array_elements(e.line -> 'decisions') d
WHERE json_typeof(e.line -> 'decisions') = 'array';

CREATE VIEW newest_decision AS
SELECT DISTINCT ON (ledger, address, scope) *
FROM decision ORDER BY ledger, address, scope, seq DESC;
