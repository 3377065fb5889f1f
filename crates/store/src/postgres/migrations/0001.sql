-- Messages with their history, by the day that is in their id: old days are dropped whole. What is looked for changes in
-- no index, so that an update stays in its page; hence the tables beside it.
CREATE TABLE message (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    country text NOT NULL,
    created int8 NOT NULL,
    expires int8 NOT NULL,
    notify bool NOT NULL,
    status text NOT NULL,
    updated int8 NOT NULL,
    provider text,
    upstream_id text,
    lane text NOT NULL,
    wait int8, -- null: nothing is pending; -1: an attempt is open; else the due time
    attempt int4 NOT NULL,
    copies int4 NOT NULL,
    owner int8 NOT NULL, -- the node whose attempt is open; it alone may settle it
    key_id int8 NOT NULL,
    client_id text,
    to_hash uuid NOT NULL,
    to_sealed bytea,
    body_sealed bytea,
    details_sealed bytea NOT NULL,
    log bytea NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX message_tenant ON message (tenant, id);
CREATE INDEX message_to ON message (to_hash, id);
CREATE TABLE message_rest PARTITION OF message DEFAULT WITH (fillfactor = 70);

-- Unsettled messages only. Those of open attempts are in no index but the first.
CREATE TABLE job (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    country text NOT NULL,
    lane text NOT NULL,
    status text NOT NULL,
    created int8 NOT NULL,
    expires int8 NOT NULL,
    due int8 NOT NULL, -- -1: an attempt is open
    brief bool NOT NULL, -- it lives for minutes
    owner int8 NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);
CREATE INDEX job_turn ON job (lane, tenant, country, brief, id) WHERE due >= 0;
CREATE INDEX job_due ON job (lane, due) WHERE due >= 0;
CREATE INDEX job_expires ON job (expires) WHERE due >= 0;
-- Put off until their end: only the owner knows what for.
CREATE INDEX job_put_off ON job (owner) WHERE due >= expires;

-- Idempotency records.
CREATE TABLE answer (
    key uuid PRIMARY KEY,
    message uuid NOT NULL,
    fingerprint uuid NOT NULL,
    answer_sealed bytea NOT NULL,
    until int8 NOT NULL
);
CREATE INDEX answer_until ON answer USING brin (until) WITH (pages_per_range = 16);

-- The acceptances charged to a limit's key, by keyed hash.
CREATE TABLE allowance (key uuid PRIMARY KEY, log bytea NOT NULL, until int8 NOT NULL)
    WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);

-- Providers' ids of messages, and of parts of messages. The id comes first: a provider has millions.
CREATE TABLE upstream (
    upstream_id text NOT NULL,
    provider text NOT NULL,
    message uuid NOT NULL,
    number int4, -- of a part
    parts int4
);
CREATE INDEX upstream_id ON upstream (upstream_id, provider);
CREATE INDEX upstream_message ON upstream USING brin (message) WITH (pages_per_range = 16);

CREATE TABLE parked (
    row int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider text NOT NULL,
    message uuid,
    upstream_id text NOT NULL,
    state text NOT NULL,
    code text,
    their_time int8,
    at int8 NOT NULL,
    part int4,
    parts int4
);
CREATE INDEX parked_message ON parked (message) WHERE message IS NOT NULL;
CREATE INDEX parked_upstream ON parked (upstream_id);

-- Status changes to tell. A node that tells holds them for a while, so that no two tell the same.
CREATE TABLE notice (
    row int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message uuid NOT NULL,
    tenant text NOT NULL,
    status text NOT NULL,
    at int8 NOT NULL,
    due int8 NOT NULL,
    attempt int4 NOT NULL,
    holder int8 NOT NULL DEFAULT 0,
    held_until timestamptz NOT NULL DEFAULT '-infinity'
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX notice_due ON notice (tenant, due, row);
CREATE INDEX notice_message ON notice (message);

CREATE TABLE endpoint (tenant text PRIMARY KEY, url uuid NOT NULL, failing int8, disabled int8, why text);

-- Gateways by the number of their present life. `gone`: what it left open is for the others.
CREATE TABLE node (
    id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    lease_until timestamptz NOT NULL,
    gone bool NOT NULL DEFAULT false
);

CREATE TABLE meta (name text PRIMARY KEY, value bytea NOT NULL);
