-- One row per inference. Ids (16 bytes) sort by time. States and sources are positions in the
-- tables of store/record.h; times are microseconds since 1970. `was` and `weight_was` are state and
-- weight before the last change: what a change took away is known without a second look.
CREATE TABLE records (
    id bytea PRIMARY KEY,
    state smallint NOT NULL,
    source smallint NOT NULL,
    status smallint NOT NULL,
    model text NOT NULL,
    version text,
    digest text,
    variant text,
    key text,
    key_hash bytea,
    trace_id text,
    request_id text,
    queue text,
    message_id text,
    message_group text,
    received_us bigint NOT NULL,
    queued_us bigint NOT NULL,
    started_us bigint NOT NULL,
    done_us bigint NOT NULL,
    error text,
    label text,
    priority integer NOT NULL,
    attempts integer NOT NULL,
    start_us bigint NOT NULL,
    expires_us bigint NOT NULL,
    callback text,
    progress double precision NOT NULL,
    input_type text,
    input_header_size bigint NOT NULL,
    input_size bigint NOT NULL,
    input_hash bytea,
    input_keep smallint NOT NULL,
    output_type text,
    output_header_size bigint NOT NULL,
    output_size bigint NOT NULL,
    output_hash bytea,
    output_keep smallint NOT NULL,
    weight bigint NOT NULL,
    was smallint NOT NULL DEFAULT 0,
    weight_was bigint NOT NULL DEFAULT 0,
    input bytea,
    output bytea
);

CREATE INDEX records_by_model ON records (model, id);

-- What finished well, which is nearly all, is in neither of these.
CREATE INDEX records_by_state ON records (state, id) WHERE state <> 2;
CREATE UNIQUE INDEX records_by_key ON records (model, key) WHERE key IS NOT NULL;
