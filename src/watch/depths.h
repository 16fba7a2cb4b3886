/*
 * How many messages lie in each queue: read in the background at an interval, so that a look at it
 * never waits for a database. The page says when it was read.
 *
 *   TRY(depths_new(&options, &depths, err));
 *   struct depths_page *page = MEM_NEW(struct depths_page);
 *   depths_read(depths, page);                       // the last reading, any thread
 *   depths_free(depths);
 *
 * Of at most DEPTHS_QUEUES_MAX queues, the product's own first; shown are the DEPTHS_NAMES_MAX with
 * most messages (the product's own in any case), the others summed up as "other". While the
 * database does not answer, the last reading stays, and its time with it.
 */
#ifndef WATCH_DEPTHS_H
#define WATCH_DEPTHS_H

#include "queue/queue.h"

enum {
    DEPTHS_NAMES_MAX = 100,
    DEPTHS_ROWS_MAX = DEPTHS_NAMES_MAX + 1, /* and "other" */
    DEPTHS_QUEUES_MAX = 1000,
};

_Static_assert((int)DEPTHS_QUEUES_MAX <= (int)QUEUE_QUEUES_MAX, "more there are not");

/* The row of what has none of its own, and of a queue of this very name. */
#define DEPTHS_OTHER "other"

struct depths_row {
    char name[QUEUE_NAME_MAX + 1];
    char dead_letter[QUEUE_NAME_MAX + 1]; /* its dead-letter queue; "": none */
    struct queue_depth depth;
    uint64_t dead;   /* messages in the dead-letter queue */
    bool dead_known; /* that was read */
    bool own;        /* one of the product's */
};

struct depths_page {
    struct depths_row rows[DEPTHS_ROWS_MAX]; /* by name, "other" last */
    size_t count;
    uint64_t queues;  /* that were read */
    double read_at_s; /* since 1970; 0: nothing was read yet */
};

/* The queues, or NULL while there are none. On the thread that reads. */
typedef struct queue_store *depths_queues_function(void *context);

struct depths_options {
    uint64_t interval_ns; /* between two readings */
    struct str own;       /* prefix of the product's own queues; borrowed */
    depths_queues_function *queues;
    void *context;
};

struct depths;

/* Starts the thread. */
enum status depths_new(const struct depths_options *options, struct depths **ret_depths,
                       struct error *err) FALLIBLE;

/* Waits for a reading that runs. Before the queues are freed. Accepts NULL. */
void depths_free(struct depths *depths);

/* Copies the last reading. Any thread. */
void depths_read(struct depths *depths, struct depths_page *ret_page);

/* For tests: `count` rows, in any order, made into a page; the rows are sorted meanwhile. */
void depths_condense(struct depths_row *rows, size_t count, struct depths_page *ret_page);

#endif
