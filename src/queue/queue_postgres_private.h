/*
 * What the files of the PostgreSQL implementation share. All of it runs on database threads, many
 * at the same time, each in a transaction of its own, in as many processes as there are.
 *
 * Standard queues. A lease takes what nobody else has locked (SKIP LOCKED); the rest is by row.
 *
 * FIFO queues. Whoever touches messages of a group holds the group's lock until the end of his
 * transaction: an advisory lock of the stripe that its name falls in (there are STRIPES of them for
 * all queues together, so that locks stay few). So within a group sequence numbers rise in the
 * order of commits, and what is leased is the prefix that everybody sees. A lease passes over
 * groups that others hold. The others need theirs: the first lock of a transaction is waited for,
 * as long as nothing else is held; later ones are only tried, and if one is taken the chain is
 * run again in the next transaction (session->busy). So there are no deadlocks.
 *
 * A transaction's state lasts until its end: queues that were looked up, stripes that are held, and
 * groups whose rows are brought up to date right before the commit, once for all that changed them.
 */
#ifndef QUEUE_QUEUE_POSTGRES_PRIVATE_H
#define QUEUE_QUEUE_POSTGRES_PRIVATE_H

#include "db/postgres.h"
#include "queue/queue.h"

enum {
    STRIPES = 1024, /* a power of two */
    STRIPE_BITS = 10,
    RECENT_SLOTS = 256,
    UUID_SIZE = 36,
};
_Static_assert(STRIPES == 1 << STRIPE_BITS, "a lease holds its stripe in its lowest bits");

enum message_state { MESSAGE_READY, MESSAGE_DELAYED, MESSAGE_IN_FLIGHT, MESSAGE_STATES };

/* A queue as this transaction sees it. */
struct queue_entry {
    struct queue_entry *next;
    char name[QUEUE_NAME_MAX + 1];
    int64_t id;
    struct queue_settings settings; /* without redrive_allow and other */
    uint64_t purged_ms;
};

/* What this process knows of the queues whose ids fall into this slot; a guess, never relied on. */
struct recent {
    _Atomic uint64_t promoted_ms; /* when hidden messages were looked through last */
    _Atomic uint64_t counted_ms;  /* when those in flight were counted last */
    _Atomic int64_t in_flight;
};

struct postgres_queues {
    struct queue_store base; /* first */
    struct recent recent[RECENT_SLOTS];
    _Atomic int64_t sweep_from; /* the sweep for expired messages goes on here */
};

struct changed_group {
    int64_t queue;
    struct str group; /* in the transaction's arena */
};

/* The state of one transaction. */
struct transaction {
    struct postgres_hook hook;
    struct postgres_queues *queues;
    struct arena arena;
    struct queue_entry *entries;
    uint64_t held[STRIPES / 64];
    bool holds; /* any stripe */
    struct changed_group *changed;
    size_t changed_count, changed_capacity;
};

extern const char postgres_queue_channel[]; /* notices: payload is the queue's name */

/* --- queue_postgres.c: transactions ------------------------------------------------------------
 */

struct transaction *postgres_transaction(struct postgres_queues *queues,
                                         struct database_session *session);

/* NOT_FOUND: AWS's words. Valid until the end of the transaction. */
enum status postgres_entry_find(struct transaction *transaction, struct database_session *session,
                                struct str name, struct queue_entry **ret_entry,
                                struct error *err) FALLIBLE;

/* After a change of its row: looked up anew. */
void postgres_entry_forget(struct transaction *transaction, struct str name);

/* Counts messages of a state in or out, at the commit. */
void postgres_entry_count(struct database_session *session, int64_t queue, enum message_state state,
                          int64_t change);

unsigned postgres_stripe(struct str group);

/* Locks the stripes: waits only if none is held yet. ABORTED and session->busy: others hold one. */
enum status postgres_stripes_lock(struct transaction *transaction, struct database_session *session,
                                  const unsigned *stripes, size_t count,
                                  struct error *err) FALLIBLE;

/* Never waits: whether each of them is held now. */
enum status postgres_stripes_try(struct transaction *transaction, struct database_session *session,
                                 const unsigned *stripes, size_t count, bool *ret_held,
                                 struct error *err) FALLIBLE;

/* The group's row is brought up to date before the commit. Its stripe is held. */
void postgres_group_changed(struct transaction *transaction, int64_t queue, struct str group);

/* Somebody may find a message there. */
void postgres_queue_notify(struct database_session *session, const struct queue_entry *entry);

void postgres_uuid(char text[UUID_SIZE + 1]);
uint64_t postgres_chance(void);

static inline struct recent *recent_of(struct postgres_queues *queues, int64_t queue)
{
    return &queues->recent[(uint64_t)queue % RECENT_SLOTS];
}

static inline struct str text_or_null(struct str text)
{
    return text.size ? text : (struct str){0};
}

/* --- what the operations are in -----------------------------------------------------------------
 */

struct operation {
    struct postgres_queues *queues;
    struct transaction *transaction;
    struct database_session *session;
    struct queue_call *call;
    struct queue_entry *entry; /* of call->queue, where it names one */
    bool wrote;                /* a failure from now on needs a rollback */
};

typedef enum status operation_function(struct operation *operation, struct error *err);

operation_function postgres_queue_create, postgres_queue_delete, postgres_queue_configure,
    postgres_queue_tag, postgres_queue_purge, postgres_queue_describe, postgres_queue_list,
    postgres_queue_depth, postgres_queue_send, postgres_queue_lease, postgres_queue_receipts,
    postgres_queue_cancel, postgres_move_start, postgres_move_cancel, postgres_move_list;

/* --- pieces --------------------------------------------------------------------------------------
 */

/* A message as operations other than sends look at it, its row locked. */
struct message_row {
    int64_t sequence;
    enum message_state state;
    uint64_t hidden_until;
    uint64_t lease;
    uint64_t leased_ms;
    uint32_t receive_count;
    uint64_t sent_ms;
    bool ordered;
    struct str id; /* views of a result */
    struct str group;
    struct str source;
};

#define MESSAGE_COLUMNS                                                                            \
    "m.sequence, m.state, m.hidden_until, m.lease, m.leased_ms, m.receive_count, m.sent_ms, "      \
    "m.ordered, m.id, m.group_id, m.source"
void postgres_message_read(const struct postgres_result *result, int row,
                           struct message_row *message);

/* To another queue, by number; as a dead letter (id and counts kept) or as a new message. The
 * stripe is held if ordered. */
enum status postgres_message_bury(struct operation *operation, const struct queue_entry *from,
                                  const struct message_row *row, bool *ret_moved,
                                  struct error *err) FALLIBLE;

/* Deletes rows that are locked; counts them out, and marks their groups. */
enum status postgres_messages_delete(struct operation *operation, int64_t queue,
                                     const int64_t *sequences, size_t count,
                                     struct error *err) FALLIBLE;

/* Whether a message may not be delivered any more. */
static inline bool message_is_expired(const struct queue_entry *entry, uint64_t sent_ms,
                                      uint64_t now_ms)
{
    return sent_ms + (uint64_t)entry->settings.retention_s * 1000 <= now_ms;
}

enum status postgres_maintain(struct queue_store *base, struct database_session *session,
                              uint32_t work_max, bool *ret_more, struct error *err);

#endif
