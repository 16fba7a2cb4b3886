/*
 * Records of synchronous requests, written off the request path.
 *
 *   if (recorder_wants(recorder, loop_index, now_ns, failed)) {       // a few loads, no lock
 *       struct record *record = recorder_begin(recorder, loop_index, &arena);
 *       if (record) { fill it, with memory of the arena; recorder_end(recorder, loop_index); }
 *   }
 *
 * One bounded ring per loop thread (it alone writes there) and one recorder thread that empties all
 * of them in batches, each one STORE_PUT. What does not fit in a ring, or is above rate_max a
 * second, is shed: counted, and nothing else. So a store that is slow, full or away costs requests
 * nothing, and a flood costs them a comparison.
 *
 * The recorder thread also prunes the store: what is older than keep_age_ns, the oldest above
 * keep_bytes, and loans older than loan_ns, whoever wrote it; once a minute, and soon after the
 * store was full. It logs a failure to write or to prune once until it changes.
 */
#ifndef WATCH_RECORDER_H
#define WATCH_RECORDER_H

#include "store/privacy.h"
#include "store/store.h"

enum {
    RECORDER_RING_MAX = 1024,              /* records of one loop thread that wait */
    RECORDER_RING_BYTES_MAX = 64 << 20,    /* of them together */
    RECORDER_RECORD_BYTES_MAX = 128 << 20, /* of one: both payloads, and redaction's work */
    RECORDER_BATCH_MAX = 256,
};

enum recorder_sync { RECORDER_ALL, RECORDER_SAMPLED, RECORDER_ERRORS, RECORDER_NONE };

/* The store, or NULL while there is none. On the recorder's thread. */
typedef struct store *recorder_store_function(void *context);

struct recorder_options {
    enum recorder_sync sync;
    double sample_rate;   /* of RECORDER_SAMPLED, 0 to 1 */
    uint64_t rate_max;    /* records a second, all threads together */
    uint64_t keep_age_ns; /* 0: any age */
    uint64_t keep_bytes;  /* 0: any size */
    uint64_t loan_ns;     /* how long answers of jobs are on loan (store/record.h) */
    uint32_t ring_count;  /* loop threads */
    uint64_t flush_ns;    /* between two batches; 0: 50 ms */
    uint64_t prune_ns;    /* between two prunings; 0: 60 s */
    struct privacy input; /* redact lists: borrowed */
    struct privacy output;
    recorder_store_function *store;
    void *context;
};

/* Since the start. */
struct recorder_counters {
    uint64_t written;
    uint64_t failed;    /* the store refused them */
    uint64_t shed_rate; /* above rate_max */
    uint64_t shed_full; /* the ring, or its memory */
    uint64_t shed_away; /* no store was there */
    uint64_t pruned;
};

struct recorder;

/* Starts the thread. */
enum status recorder_new(const struct recorder_options *options, struct recorder **ret_recorder,
                         struct error *err) FALLIBLE;

/* Writes what waits, if there is a store, and ends the thread. No loop thread records any more.
 * Accepts NULL. */
void recorder_free(struct recorder *recorder);

/* Waits until all that was recorded before has been written, or shed; false if that took longer. No
 * loop's thread. */
bool recorder_flush(struct recorder *recorder, uint64_t timeout_ns);

const struct recorder_options *recorder_options(const struct recorder *recorder);

/* True if a request that ended at `now_ns` (monotonic) is to be recorded: the policy wants it, and
 * the second has room. Takes that room. The ring's loop thread. */
bool recorder_wants(struct recorder *recorder, uint32_t ring, uint64_t now_ns, bool failed);

/*
 * The next place in the ring of the loop's thread of this index: a zeroed record to fill with
 * memory of *ret_arena, or NULL: shed. recorder_end gives it to the recorder's thread;
 * recorder_drop gives it up.
 */
struct record *recorder_begin(struct recorder *recorder, uint32_t index, struct arena **ret_arena);
void recorder_end(struct recorder *recorder, uint32_t index);
void recorder_drop(struct recorder *recorder, uint32_t index);

/* Any thread. */
void recorder_counters_read(const struct recorder *recorder,
                            struct recorder_counters *ret_counters);

#endif
