-- A queue. Its id changes when it is purged: what is left of the old id is swept up in the
-- background. How many messages it has is in slipway_counts: 'queue.ID.STATE'.
CREATE SEQUENCE queue_id;
CREATE TABLE queue (
    id bigint PRIMARY KEY,
    name text NOT NULL UNIQUE,
    fifo boolean NOT NULL,
    content_based boolean NOT NULL,
    by_group boolean NOT NULL,
    throughput_by_group boolean NOT NULL,
    visibility_s bigint NOT NULL,
    delay_s bigint NOT NULL,
    retention_s bigint NOT NULL,
    wait_s bigint NOT NULL,
    size_max bigint NOT NULL,
    max_receive_count bigint NOT NULL,
    dead_letter text NOT NULL,
    redrive_allow bytea NOT NULL,
    other bytea NOT NULL,
    tags bytea NOT NULL,
    created_ms bigint NOT NULL,
    modified_ms bigint NOT NULL,
    purged_ms bigint NOT NULL DEFAULT 0
);
CREATE INDEX queue_dead_letter ON queue (dead_letter, name) WHERE dead_letter <> '';

-- Names of deleted queues, for as long as they must not be used again.
CREATE TABLE deleted_queue (name text PRIMARY KEY, deleted_ms bigint NOT NULL);

-- A message. Its sequence rises with every send to its group, so it is the group's order.
CREATE SEQUENCE message_sequence;
CREATE TABLE message (
    sequence bigint PRIMARY KEY,
    queue bigint NOT NULL,
    state smallint NOT NULL,         -- 0 ready, 1 delayed, 2 in flight
    ordered boolean NOT NULL,        -- in a FIFO queue
    named boolean NOT NULL,          -- its sender made its id: it may be cancelled
    priority smallint NOT NULL,
    receive_count integer NOT NULL,
    hidden_until bigint NOT NULL,    -- ms; 0 if ready
    lease bigint NOT NULL,           -- changes with each receive: part of its receipt handle
    leased_ms bigint NOT NULL,
    first_received_ms bigint NOT NULL,
    sent_ms bigint NOT NULL,
    id text NOT NULL,
    group_id text,
    deduplication_id text,
    source text,                     -- the queue that a dead letter came from
    attributes bytea,                -- trace header and typed attributes, queue/attributes.h
    body bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE message ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX message_ready ON message (queue, priority, sequence) WHERE state = 0 AND NOT ordered;
CREATE INDEX message_hidden ON message (queue, hidden_until) WHERE state > 0;
CREATE INDEX message_ordered ON message (queue, group_id, sequence) WHERE ordered;
CREATE INDEX message_named ON message (id) WHERE named;

-- A group of a FIFO queue that has messages: when the first of them may be leased.
CREATE TABLE message_group (
    queue bigint NOT NULL,
    group_id text NOT NULL,
    head bigint NOT NULL,
    ready_ms bigint NOT NULL,
    PRIMARY KEY (queue, group_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX message_group_ready ON message_group (queue, ready_ms, head);

-- Deduplication ids of the last five minutes.
CREATE TABLE deduplication (
    queue bigint NOT NULL,
    scope text NOT NULL,
    id text NOT NULL,
    message_id text NOT NULL,
    sequence bigint NOT NULL,
    expires_ms bigint NOT NULL,
    PRIMARY KEY (queue, scope, id)
);
CREATE INDEX deduplication_expiry ON deduplication (expires_ms);

-- What a receive with an attempt id has leased.
CREATE TABLE receive_attempt (
    queue bigint NOT NULL,
    id text NOT NULL,
    expires_ms bigint NOT NULL,
    sequences bigint[] NOT NULL,
    leases bigint[] NOT NULL,
    PRIMARY KEY (queue, id)
);

-- Redrives.
CREATE TABLE message_move (
    handle text PRIMARY KEY,
    source text NOT NULL,
    destination text NOT NULL,
    rate_max bigint NOT NULL,
    state text NOT NULL,
    failure text,
    moved bigint NOT NULL,
    to_move bigint NOT NULL,
    started_ms bigint NOT NULL,
    due_ms bigint NOT NULL
);
