-- One row per inference. `sequence` is the order of writing: rows are appended, and what a row
-- weighs does not weigh on the index by id. Ids (16 bytes) sort by time. States and sources are
-- positions in the tables of store/record.h; times are microseconds since 1970. Payloads come last:
-- a list that leaves them out does not read their pages.
CREATE TABLE records (
    sequence INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    state INTEGER NOT NULL,
    source INTEGER NOT NULL,
    status INTEGER NOT NULL,
    model TEXT NOT NULL,
    version TEXT,
    digest TEXT,
    variant TEXT,
    key TEXT,
    key_hash BLOB,
    trace_id TEXT,
    request_id TEXT,
    queue TEXT,
    message_id TEXT,
    message_group TEXT,
    received_us INTEGER,
    queued_us INTEGER,
    started_us INTEGER,
    done_us INTEGER,
    error TEXT,
    label TEXT,
    priority INTEGER,
    attempts INTEGER,
    start_us INTEGER,
    expires_us INTEGER,
    callback TEXT,
    progress REAL,
    input_type TEXT,
    input_header_size INTEGER,
    input_size INTEGER,
    input_hash BLOB,
    input_keep INTEGER,
    output_type TEXT,
    output_header_size INTEGER,
    output_size INTEGER,
    output_hash BLOB,
    output_keep INTEGER,
    input BLOB,
    output BLOB
);

CREATE UNIQUE INDEX records_by_id ON records (id);
CREATE INDEX records_by_model ON records (model, id);

-- What finished well, which is nearly all, is in neither of these.
CREATE INDEX records_by_state ON records (state, id) WHERE state <> 2;
CREATE UNIQUE INDEX records_by_key ON records (model, key) WHERE key IS NOT NULL;
