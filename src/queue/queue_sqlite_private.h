/*
 * What the files of the SQLite implementation share. All of it runs on the writer's thread, but for
 * what only describes, lists and counts.
 *
 * Queues are few and used all the time, so what is known of them is kept in memory: a struct
 * queue_entry each, loaded when it is first named. Counts change there and are written once per
 * transaction (a flush). Another process may change the file too: PRAGMA data_version tells, and
 * then everything is loaded anew.
 */
#ifndef QUEUE_QUEUE_SQLITE_PRIVATE_H
#define QUEUE_QUEUE_SQLITE_PRIVATE_H

#include "base/rand.h"
#include "db/sqlite.h"
#include "queue/queue.h"

enum { ENTRY_BUCKETS = 1024, BODY_INLINE_MAX = 2048 };

enum message_state { MESSAGE_READY, MESSAGE_DELAYED, MESSAGE_IN_FLIGHT, MESSAGE_STATES };

struct queue_entry {
    struct queue_entry *next; /* of its bucket */
    struct list changed;      /* linked while counts differ from the file's */
    char name[QUEUE_NAME_MAX + 1];
    int64_t id;
    struct queue_settings settings; /* without redrive_allow and other */
    int64_t counts[MESSAGE_STATES];
    uint64_t due_ms; /* no hidden message comes back before */
    uint64_t purged_ms;
};

struct sqlite_queues {
    struct queue_store base; /* first */
    struct database_flush flush;
    struct queue_entry *buckets[ENTRY_BUCKETS];
    struct list changed;
    int64_t sequence; /* last given */
    bool sequence_changed;
    bool loaded;        /* the sequence is known */
    int64_t version;    /* of the file: PRAGMA data_version */
    int64_t sweep_from; /* the sweep for expired messages goes on here */
    struct prng prng;
};

/* A row of message, without body and attributes. */
struct message_row {
    int64_t sequence;
    int64_t queue;
    enum message_state state;
    bool ordered;
    int64_t priority;
    uint64_t hidden_until;
    uint64_t lease;
    uint64_t leased_ms;
    uint32_t receive_count;
    uint64_t first_received_ms;
    uint64_t sent_ms;
    int64_t body_key;
    struct str id; /* until the statement is reset */
    struct str group;
    struct str deduplication_id;
    struct str source;
    struct str attributes;
    struct str body; /* data NULL: in message_body */
};

/* The columns of struct message_row, in its order. */
#define MESSAGE_COLUMNS                                                                            \
    "sequence, queue, state, ordered, priority, hidden_until, lease, leased_ms, receive_count, "   \
    "first_received_ms, sent_ms, body_key, id, group_id, deduplication_id, source, attributes, "   \
    "body"

void message_row_read(struct sqlite_statement *statement, struct message_row *row);

/* --- queue_sqlite.c: entries -------------------------------------------------------------------
 */

/* Before anything else in a call: what memory says is as the file is. */
enum status queues_enter(struct sqlite_queues *queues, struct database_session *session,
                         struct error *err) FALLIBLE;

/* NOT_FOUND: AWS's words. Valid until the end of the transaction. */
enum status entry_find(struct sqlite_queues *queues, struct database_session *session,
                       struct str name, struct queue_entry **ret_entry, struct error *err) FALLIBLE;
enum status entry_by_id(struct sqlite_queues *queues, struct database_session *session, int64_t id,
                        struct queue_entry **ret_entry, struct error *err) FALLIBLE;

/* Of a queue that was deleted: not known any more. */
void entry_remove(struct sqlite_queues *queues, struct queue_entry *entry);

/* Counts messages of a state in or out. */
void entry_count(struct sqlite_queues *queues, struct queue_entry *entry, enum message_state state,
                 int64_t change);

int64_t next_sequence(struct sqlite_queues *queues);

/* --- what the operations are in -----------------------------------------------------------------
 */

enum status sqlite_create(struct sqlite_queues *, struct database_session *, struct queue_call *,
                          struct error *) FALLIBLE;
enum status sqlite_delete(struct sqlite_queues *, struct database_session *, struct queue_call *,
                          struct error *) FALLIBLE;
enum status sqlite_configure(struct sqlite_queues *, struct database_session *, struct queue_call *,
                             struct error *) FALLIBLE;
enum status sqlite_tag(struct sqlite_queues *, struct database_session *, struct queue_call *,
                       struct error *) FALLIBLE;
enum status sqlite_purge(struct sqlite_queues *, struct database_session *, struct queue_call *,
                         struct error *) FALLIBLE;
enum status sqlite_send(struct sqlite_queues *, struct database_session *, struct queue_call *,
                        struct error *) FALLIBLE;
enum status sqlite_lease(struct sqlite_queues *, struct database_session *, struct queue_call *,
                         struct error *) FALLIBLE;
enum status sqlite_receipts(struct sqlite_queues *, struct database_session *, struct queue_call *,
                            struct error *) FALLIBLE;
enum status sqlite_cancel(struct sqlite_queues *, struct database_session *, struct queue_call *,
                          struct error *) FALLIBLE;
enum status sqlite_move_start(struct sqlite_queues *, struct database_session *,
                              struct queue_call *, struct error *) FALLIBLE;
enum status sqlite_move_cancel(struct sqlite_queues *, struct database_session *,
                               struct queue_call *, struct error *) FALLIBLE;

/* Those that only read, on any session: they ask the file, not the entries. */
enum status sqlite_describe(struct database_session *, struct queue_call *,
                            struct error *) FALLIBLE;
enum status sqlite_list(struct database_session *, struct queue_call *, struct error *) FALLIBLE;
enum status sqlite_depth(struct database_session *, struct queue_call *, struct error *) FALLIBLE;
enum status sqlite_move_list(struct database_session *, struct queue_call *,
                             struct error *) FALLIBLE;

/* --- pieces --------------------------------------------------------------------------------------
 */

/* Makes hidden messages of the queue ready whose time has come: at most `count_max`. */
enum status promote_due(struct sqlite_queues *queues, struct database_session *session,
                        struct queue_entry *entry, uint32_t count_max, struct error *err) FALLIBLE;

/* Deletes a message and what belongs to it; counts it out. */
enum status message_delete(struct sqlite_queues *queues, struct database_session *session,
                           struct queue_entry *entry, const struct message_row *row,
                           struct error *err) FALLIBLE;

/* Sets when the group's head may be leased, from what its messages say now. */
enum status group_refresh(struct database_session *session, const struct queue_entry *entry,
                          struct str group, struct error *err) FALLIBLE;

/* To the dead-letter queue: id, body, attributes and receive count kept. *ret_moved is false where
 * the queue has none, or it is gone. */
enum status message_bury(struct sqlite_queues *queues, struct database_session *session,
                         struct queue_entry *entry, const struct message_row *row, bool *ret_moved,
                         struct error *err) FALLIBLE;

/* Inserts a message with the next sequence number. */
struct message_new {
    struct str id;
    struct str body; /* data NULL: under body_key in message_body already */
    struct str attributes;
    struct str group;
    struct str deduplication_id;
    struct str source;
    int64_t body_key; /* 0: a new one */
    int64_t priority;
    uint64_t sent_ms;
    uint64_t hidden_until;
    uint32_t receive_count;
    uint64_t first_received_ms;
    bool named;
};
enum status message_insert(struct sqlite_queues *queues, struct database_session *session,
                           struct queue_entry *entry, const struct message_new *message,
                           int64_t *ret_sequence, struct error *err) FALLIBLE;

/* A random UUID as text. */
enum { UUID_SIZE = 36 };
void uuid_make(struct prng *prng, char text[UUID_SIZE + 1]);

/* Whether a message may not be delivered any more. */
bool message_is_expired(const struct queue_entry *entry, uint64_t sent_ms, uint64_t now_ms);

enum status sqlite_maintain(struct queue_store *base, struct database_session *session,
                            uint32_t work_max, bool *ret_more, struct error *err) FALLIBLE;

#endif
