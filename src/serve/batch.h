/*
 * Which waiting calls form the next batch, and when. Pure: `now` is an argument, nothing is
 * allocated after batch_queue_init, and what waits is linked by the caller's own memory.
 *
 *   struct batch_queue queue;
 *   batch_queue_init(&queue, &policy);
 *   if (!batch_queue_add(&queue, &call->item, now)) ...    // full
 *   batch_queue_take(&queue, now, &taken);                  // taken.items: run these together
 *                                                           // taken.expired: answer these
 *                                                           // taken.wake_ns: ask again then
 *
 * Order. Levels first (0 is the most urgent), inside a level first come, first served; calls whose
 * time-out has passed and whose policy says DELAY stand behind all others of their level. The first
 * in this order, the head, is in the next batch, so nothing starves inside its level. The batch
 * takes, in order, those with the head's shapes until the next of them does not fit.
 *
 * When. Without a delay at once, with all that fits: whoever asks once per turn of the loop gets
 * tick batching. With a delay, until the oldest of the batch has waited that long, only a batch
 * that has a preferred size (the largest that its calls add up to) or cannot grow any more.
 *
 * One thread at a time; the caller locks.
 */
#ifndef SERVE_BATCH_H
#define SERVE_BATCH_H

#include "base/list.h"

enum {
    BATCH_LEVELS_MAX = 32,    /* of priority */
    BATCH_PREFERRED_MAX = 64, /* sizes */
    BATCH_SCAN_MAX = 1024,    /* calls of other shapes looked over for one batch */
};

/* What happens to one level's calls. */
struct batch_level {
    uint64_t timeout_us; /* 0: none */
    uint32_t size_max;   /* waiting calls of this level; 0: no limit of its own */
    bool timeout_delays; /* DELAY: moved behind the others; else REJECT */
    bool allow_override; /* a request's own time-out counts if it is shorter */
};

struct batch_policy {
    int64_t rows_max; /* 0: one call at a time */
    uint64_t delay_ns;
    uint32_t size_max;           /* waiting calls of all levels */
    uint64_t timeout_default_us; /* where neither level nor request sets one; 0: none */
    uint32_t level_count;
    uint32_t level_default; /* of a request without a priority, index from 0 */
    struct batch_level levels[BATCH_LEVELS_MAX];
    uint32_t preferred_count;
    int64_t preferred[BATCH_PREFERRED_MAX]; /* ascending */
};

/*
 * One waiting call. The caller sets the first part; `shape_key` is equal for, and only for, calls
 * whose tensors may stand in one batch.
 */
struct batch_item {
    int64_t rows; /* >= 0; counted as 1 if the model is not batchable */
    uint64_t shape_key;
    uint32_t priority;   /* 1 highest, 0: the default; beyond the last level: the last */
    uint64_t timeout_us; /* the request's own, 0: none */

    struct list link;
    uint64_t arrived_ns;
    uint64_t expires_ns; /* 0: never */
    uint32_t level;
    bool delayed;
};

struct batch_queue {
    const struct batch_policy *policy; /* borrowed */
    uint32_t count;
    uint32_t counts[BATCH_LEVELS_MAX];
    struct list waiting[BATCH_LEVELS_MAX];
    struct list delayed[BATCH_LEVELS_MAX];
};

struct batch_taken {
    struct list items;   /* by item.link, in order; empty: nothing to run now */
    struct list expired; /* time-out passed, policy REJECT */
    int64_t rows;
    uint32_t count;
    uint64_t wake_ns; /* when to ask again if nothing comes in; UINT64_MAX: no need */
};

/* A policy of one level, without time-outs and delay. */
void batch_policy_init(struct batch_policy *policy, int64_t rows_max, uint32_t size_max);

void batch_queue_init(struct batch_queue *queue, const struct batch_policy *policy);

/* Sets what follows from the moment and the policy (arrived_ns, expires_ns, level), queues nothing.
 */
void batch_item_arrive(const struct batch_queue *queue, struct batch_item *item, uint64_t now_ns);

/* batch_item_arrive, and queues the item; false if the queue or its level is full. */
bool batch_queue_add(struct batch_queue *queue, struct batch_item *item, uint64_t now_ns) FALLIBLE;

/* Takes a waiting item out: cancelled, or its time-out fired. */
void batch_queue_remove(struct batch_queue *queue, struct batch_item *item);

/* Takes all that waits, in order, and adds it to `items`. */
void batch_queue_drain(struct batch_queue *queue, struct list *items);

/* Forms the next batch. Overwrites *ret_taken. */
void batch_queue_take(struct batch_queue *queue, uint64_t now_ns, struct batch_taken *ret_taken);

/*
 * Of a model that is not batchable: up to `count_max` calls of any shapes, each of which runs
 * alone. Overwrites *ret_taken; its `rows` says nothing.
 */
void batch_queue_take_singles(struct batch_queue *queue, uint64_t now_ns, uint32_t count_max,
                              struct batch_taken *ret_taken);

/* True if the time-out has passed and the call is to be answered, not delayed. */
bool batch_item_is_rejected(const struct batch_queue *queue, const struct batch_item *item,
                            uint64_t now_ns);

#endif
