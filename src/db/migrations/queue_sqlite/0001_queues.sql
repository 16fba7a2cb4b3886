-- A queue. Its id changes when it is purged: what is left of the old id is swept up in the background.
CREATE TABLE queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    fifo INTEGER NOT NULL,
    content_based INTEGER NOT NULL,
    by_group INTEGER NOT NULL,
    throughput_by_group INTEGER NOT NULL,
    visibility_s INTEGER NOT NULL,
    delay_s INTEGER NOT NULL,
    retention_s INTEGER NOT NULL,
    wait_s INTEGER NOT NULL,
    size_max INTEGER NOT NULL,
    max_receive_count INTEGER NOT NULL,
    dead_letter TEXT NOT NULL,
    redrive_allow BLOB NOT NULL,
    other BLOB NOT NULL,
    tags BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    purged_ms INTEGER NOT NULL DEFAULT 0,
    -- How many messages are in which state, kept as they change: counting ten millions takes a second.
    visible INTEGER NOT NULL DEFAULT 0,
    delayed INTEGER NOT NULL DEFAULT 0,
    in_flight INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX queue_dead_letter ON queue(dead_letter, name) WHERE dead_letter <> '';

-- Names of deleted queues, for as long as they must not be used again.
CREATE TABLE deleted_queue (name TEXT PRIMARY KEY, deleted_ms INTEGER NOT NULL) WITHOUT ROWID;

-- The last sequence number given to a message; one row.
CREATE TABLE message_sequence (id INTEGER PRIMARY KEY CHECK (id = 1), last INTEGER NOT NULL);
INSERT INTO message_sequence VALUES(1, 0);

-- A message. Its key rises with every send, so it is the order of a FIFO queue.
CREATE TABLE message (
    sequence INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    state INTEGER NOT NULL,         -- 0 ready, 1 delayed, 2 in flight
    ordered INTEGER NOT NULL,       -- in a FIFO queue
    named INTEGER NOT NULL,         -- its sender made its id: it may be cancelled
    priority INTEGER NOT NULL,
    hidden_until INTEGER NOT NULL,  -- ms; 0 if ready
    lease INTEGER NOT NULL,         -- changes with each receive: part of its receipt handle
    leased_ms INTEGER NOT NULL,
    receive_count INTEGER NOT NULL,
    first_received_ms INTEGER NOT NULL,
    sent_ms INTEGER NOT NULL,
    id TEXT NOT NULL,
    group_id TEXT,
    deduplication_id TEXT,
    source TEXT,                    -- the queue that a dead letter came from
    attributes BLOB,                -- trace header and typed attributes, queue/attributes.h
    body BLOB,                      -- NULL: in message_body, so that a change of state does not rewrite it
    body_key INTEGER NOT NULL
);
CREATE INDEX message_ready ON message(queue, priority, sequence) WHERE state = 0 AND ordered = 0;
CREATE INDEX message_hidden ON message(queue, hidden_until) WHERE state > 0;
CREATE INDEX message_ordered ON message(queue, group_id, sequence) WHERE ordered = 1;
CREATE INDEX message_named ON message(id) WHERE named = 1;

CREATE TABLE message_body (key INTEGER PRIMARY KEY, body BLOB NOT NULL);

-- A group of a FIFO queue that has messages: when the first of them may be leased.
CREATE TABLE message_group (
    queue INTEGER NOT NULL,
    group_id TEXT NOT NULL,
    head INTEGER NOT NULL,
    ready_ms INTEGER NOT NULL,
    PRIMARY KEY (queue, group_id)
) WITHOUT ROWID;
CREATE INDEX message_group_ready ON message_group(queue, ready_ms, head);

-- Deduplication ids of the last five minutes.
CREATE TABLE deduplication (
    queue INTEGER NOT NULL,
    scope TEXT NOT NULL,
    id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    PRIMARY KEY (queue, scope, id)
) WITHOUT ROWID;
CREATE INDEX deduplication_expiry ON deduplication(expires_ms);

-- What a receive with an attempt id has leased: (sequence, lease) pairs, eight bytes each.
CREATE TABLE receive_attempt (
    queue INTEGER NOT NULL,
    id TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    leases BLOB NOT NULL,
    PRIMARY KEY (queue, id)
) WITHOUT ROWID;

-- Redrives.
CREATE TABLE message_move (
    handle TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    destination TEXT NOT NULL,
    rate_max INTEGER NOT NULL,
    state TEXT NOT NULL,
    failure TEXT,
    moved INTEGER NOT NULL,
    to_move INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL
) WITHOUT ROWID;
