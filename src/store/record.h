/*
 * A record: one inference as it is kept, whether asked for over HTTP, gRPC or a queue, finished or
 * still to come (a job is a record that is not finished yet).
 *
 * Plain views; whoever makes one says whose memory they are in. Absent texts have data NULL.
 */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include "base/arena.h"
#include "base/hash.h"

/* X(name, text) */
#define RECORD_STATE_TABLE(X)                                                                      \
    X(PENDING, "pending")                                                                          \
    X(RUNNING, "running")                                                                          \
    X(SUCCEEDED, "succeeded")                                                                      \
    X(FAILED, "failed")                                                                            \
    X(CANCELLED, "cancelled")                                                                      \
    X(EXPIRED, "expired")

enum record_state {
#define X(name, text) RECORD_##name,
    RECORD_STATE_TABLE(X)
#undef X
        RECORD_STATE_COUNT
};

#define RECORD_SOURCE_TABLE(X)                                                                     \
    X(HTTP, "http")                                                                                \
    X(GRPC, "grpc")                                                                                \
    X(JOB, "job")                                                                                  \
    X(QUEUE, "queue")

enum record_source {
#define X(name, text) RECORD_SOURCE_##name,
    RECORD_SOURCE_TABLE(X)
#undef X
        RECORD_SOURCE_COUNT
};

/* How much of a payload is kept. */
#define RECORD_KEEP_TABLE(X)                                                                       \
    X(INLINE, "inline")       /* all of it */                                                      \
    X(TRUNCATED, "truncated") /* the first bytes; size and hash are of the whole */                \
    X(HASHED, "hashed")       /* size and hash only */                                             \
    X(OMITTED, "omitted")     /* nothing */

enum record_keep {
#define X(name, text) RECORD_KEEP_##name,
    RECORD_KEEP_TABLE(X)
#undef X
        RECORD_KEEP_COUNT
};

enum {
    RECORD_ID_SIZE = 26,  /* characters of an id */
    RECORD_KEY_MAX = 255, /* of an idempotency key */
    RECORD_LABEL_MAX = 4096,
    RECORD_PAYLOAD_MAX = 64 * 1024 * 1024,
};

struct record_payload {
    struct str bytes; /* what is kept; data NULL: nothing */
    struct str type;  /* "application/json", "application/octet-stream" */
    /* JSON bytes before the binary tensors of the V2 binary form; 0: all JSON. */
    uint64_t header_size;
    uint64_t size; /* of the whole payload */
    bool hashed;   /* `hash` is set: SHA-256 of the whole */
    uint8_t hash[SHA256_SIZE];
    enum record_keep keep;
};

struct record {
    /*
     * 48 bits of milliseconds and 80 of chance in Crockford's base 32 (a ULID): sorts by time.
     * Within a process rising also inside a millisecond.
     */
    char id[RECORD_ID_SIZE + 1];
    struct str model;
    struct str version; /* that ran; before: as asked, may be empty */
    struct str digest;  /* of the model file, hex; empty if unknown */
    struct str variant; /* of a roll-out; empty */
    enum record_source source;
    enum record_state state;
    struct str key;                /* the caller's idempotency key; NULL: none */
    uint8_t key_hash[SHA256_SIZE]; /* of the input that the key came with */
    struct str trace_id;           /* W3C, 32 hex */
    struct str request_id;
    struct str queue; /* it came through */
    struct str message_id;
    struct str group;
    /* Microseconds since 1970; 0: not yet. */
    uint64_t received_us;
    uint64_t queued_us;
    uint64_t started_us;
    uint64_t done_us;
    enum status status; /* OK, or why it failed */
    struct str error;
    struct record_payload input;
    struct record_payload output;
    /*
     * What input or output do not keep, whole (bytes, type, header_size): while a job waits or runs
     * its input, if that lies nowhere else; then, for a while, its answer. Data NULL: nothing. It
     * is for the job's worker and for who fetches the answer, and shown nowhere else.
     */
    struct record_payload loan;
    struct str label; /* feedback: what the right answer was, JSON */

    /* Of jobs only. */
    uint32_t priority;
    uint32_t attempts;   /* times it was started */
    uint64_t start_us;   /* not before; 0 */
    uint64_t expires_us; /* not after; 0: never */
    struct str callback; /* URL; NULL: none */
    double progress;     /* 0 to 1 */
};

const char *record_state_text(enum record_state state);
/* False if it is none. */
bool record_state_of(struct str text, enum record_state *ret_state);
const char *record_source_text(enum record_source source);
bool record_source_of(struct str text, enum record_source *ret_source);
const char *record_keep_text(enum record_keep keep);

/* True of the states that nothing follows. */
bool record_state_is_final(enum record_state state);

/* True if it is kept as it came: all of it, and nothing redacted (what was has a hash as well). */
bool record_payload_is_whole(const struct record_payload *payload);

/*
 * The one test of what may be run or given again: the input or the answer of a record that was read
 * with payloads, as it came, from what is kept or what is on loan. NULL: it is not there any more.
 */
const struct record_payload *record_whole_input(const struct record *record);
const struct record_payload *record_whole_output(const struct record *record);

/* A new id at this time, greater than all this process has made. Any thread; no lock. */
void record_id_make(uint64_t now_ms, char ret_id[RECORD_ID_SIZE + 1]);

/* The least id of that millisecond: ids made at or after it are not less. */
void record_id_first(uint64_t ms, char ret_id[RECORD_ID_SIZE + 1]);

/* True if the text could be an id: 26 characters of the alphabet, the first 0 to 7. */
bool record_id_is_valid(struct str text);

/* When a valid id was made, in milliseconds since 1970. */
uint64_t record_id_time_ms(struct str id);

/* The 128 bits of a valid id, and back: half the size, the same order. */
enum { RECORD_ID_BYTES = 16 };
void record_id_pack(struct str id, uint8_t ret_bytes[RECORD_ID_BYTES]);
void record_id_unpack(const uint8_t bytes[RECORD_ID_BYTES], char ret_id[RECORD_ID_SIZE + 1]);

/* A deep copy; payload bytes only if `with_payloads`. EXHAUSTED if the arena has no room. */
enum status record_copy(const struct record *record, bool with_payloads, struct arena *arena,
                        struct record *ret_copy, struct error *err) FALLIBLE;

/* What every kind of store refuses to write: INVALID_ARGUMENT names the field. Texts are UTF-8
 * without NUL, since PostgreSQL keeps no others; payloads are any bytes. */
enum status record_check(const struct record *record, struct error *err) FALLIBLE;
enum status record_check_text(struct str text, const char *what, struct error *err) FALLIBLE;

#endif
