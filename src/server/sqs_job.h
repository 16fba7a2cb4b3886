/*
 * One request of SQS's protocol on its way: the operation's steps between which a queue is asked.
 *
 *   job->operation = sqs_operation_find(name);
 *   for (;;) {
 *       TRY(job->operation->next(job, &ask, failure));      // fills job->call, or is done
 *       if (!ask) break;
 *       ... submit job->call; when it is done, put its outcome into job->outcome ...
 *   }
 *   job->operation->reply(job, out);
 *
 * Everything lies in job->arena, which whoever works on the job uses alone: first the loop's
 * thread, then the database's, then the loop's again.
 */
#ifndef SERVER_SQS_JOB_H
#define SERVER_SQS_JOB_H

#include "server/sqs_name.h"
#include "server/sqs_out.h"
#include "server/sqs_request.h"

struct sqs_job;

typedef enum status sqs_next_function(struct sqs_job *job, bool *ret_ask,
                                      struct sqs_failure *failure);
typedef void sqs_reply_function(const struct sqs_job *job, struct sqs_out *out);

struct sqs_operation {
    struct str name;
    sqs_next_function *next;
    sqs_reply_function *reply; /* NULL: an empty answer */
};

/* What became of one entry of a batch. */
struct sqs_result {
    struct sqs_failure failure; /* of an entry that failed */
    bool failed;
    size_t index; /* of a submitted one: in job->sent or job->receipts */
};

struct sqs_job {
    const struct sqs_operation *operation;
    struct sqs_site site;
    struct sqs_request request;
    struct arena *arena;

    /* The call to make, and how it ended. */
    struct queue_call call;
    struct error outcome; /* status OK: it did not fail */
    unsigned step;        /* the operation's own; 0 at first */

    /* What the steps found out. */
    struct str queue;                     /* the name asked for */
    struct queue_description description; /* of that queue: as it is, then as it shall be */
    struct queue_depth depth;
    struct queue_move move;
    struct str token; /* NextToken, TaskHandle */

    size_t submitted; /* how many of the entries the queue was given */

    /* Entries. Large, and not zeroed at first: set as far as they are used. */
    struct sqs_result results[SQS_ENTRIES_MAX];
    struct queue_new_message messages[SQS_ENTRIES_MAX];
    struct queue_sent sent[SQS_ENTRIES_MAX];
    struct queue_receipt receipts[SQS_ENTRIES_MAX];
};

/* NULL: there is none of that name. */
const struct sqs_operation *sqs_operation_find(struct str name);

/* --- for the operations ------------------------------------------------------------------------
 */

/* Prepares job->call: `operation` on `queue`. */
void sqs_ask(struct sqs_job *job, enum queue_operation operation, struct str queue);

/* The failure of the last call, named as SQS names it; OK if it had none. */
enum status sqs_check_outcome(const struct sqs_job *job, struct sqs_failure *failure) FALLIBLE;

/* Takes the queue's name from QueueUrl into job->queue. */
enum status sqs_take_queue(struct sqs_job *job, struct sqs_failure *failure) FALLIBLE;

/* A next token, or a task's handle, as opaque text and back. */
struct str sqs_token_write(struct str text, struct arena *arena);
bool sqs_token_read(struct str token, struct arena *arena, struct str *ret_text) FALLIBLE;

/* sqs_queues.c */
sqs_next_function sqs_create_next, sqs_url_next, sqs_get_next, sqs_set_next, sqs_delete_queue_next,
    sqs_purge_next, sqs_tag_next, sqs_untag_next, sqs_tags_next, sqs_allow_next, sqs_disallow_next;
sqs_reply_function sqs_url_reply, sqs_get_reply, sqs_tags_reply;

/* sqs_lists.c */
sqs_next_function sqs_list_next, sqs_sources_next, sqs_move_start_next, sqs_move_list_next,
    sqs_move_cancel_next;
sqs_reply_function sqs_list_reply, sqs_sources_reply, sqs_move_start_reply, sqs_move_list_reply,
    sqs_move_cancel_reply;

/* sqs_messages.c */
sqs_next_function sqs_send_next, sqs_send_batch_next, sqs_receive_next, sqs_delete_next,
    sqs_delete_batch_next, sqs_extend_next, sqs_extend_batch_next;
sqs_reply_function sqs_send_reply, sqs_send_batch_reply, sqs_receive_reply, sqs_receipts_reply;

#endif
