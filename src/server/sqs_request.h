/*
 * A request of SQS's protocol, whatever its operation: every member that one of them has, in one
 * struct. The names mean the same in all operations, so reading needs no knowledge of them.
 *
 *   struct sqs_request request;
 *   TRY(sqs_request_read_json(body, &arena, &request, failure));
 *   ... request.queue_url, request.entries[0].body ...
 *
 * Members that are unknown, or null, are passed over, as AWS does. What is stored is bounded; what
 * is beyond is counted, so that it can be refused with AWS's words. Pure; views of the body or the
 * arena.
 */
#ifndef SERVER_SQS_REQUEST_H
#define SERVER_SQS_REQUEST_H

#include "queue/queue.h"
#include "server/sqs_fault.h"

enum {
    SQS_ENTRIES_MAX = QUEUE_BATCH_MAX,
    SQS_NAMES_MAX = 128, /* of one list of names: attributes asked for, actions, tag keys */
    SQS_PAIRS_MAX = 128, /* of one map: attributes of a queue, tags */
};

#define SQS_UNSET INT64_MIN /* an integer that was not sent */

struct sqs_names {
    struct str *items;
    size_t count;
};

struct sqs_pair {
    struct str name;
    struct str value;
};

struct sqs_pairs {
    struct sqs_pair *items;
    size_t count;
};

struct sqs_attributes {
    struct queue_attribute *items; /* QUEUE_ATTRIBUTES_MAX of them at most; in the order sent */
    size_t count;                  /* as many as were sent: may be more than are stored */
};

/* A message to send, or a receipt. Texts that were not sent have data NULL. */
struct sqs_entry {
    struct str id; /* within a batch */
    struct str body;
    struct str group;
    struct str deduplication_id;
    struct str receipt;
    int64_t delay_s;
    int64_t visibility_s;
    struct sqs_attributes attributes;
    struct sqs_attributes system_attributes;
};

struct sqs_request {
    struct str queue_url;
    struct str queue_name;
    struct str prefix; /* QueueNamePrefix */
    struct str token;  /* NextToken */
    struct str attempt_id;
    struct str source_arn;
    struct str destination_arn;
    struct str task_handle;
    struct str label;
    int64_t results_max;  /* MaxResults */
    int64_t messages_max; /* MaxNumberOfMessages */
    int64_t rate_max;     /* MaxNumberOfMessagesPerSecond */
    int64_t wait_s;
    struct sqs_names attribute_names;
    struct sqs_names system_names;  /* MessageSystemAttributeNames */
    struct sqs_names message_names; /* MessageAttributeNames */
    struct sqs_names tag_keys;
    struct sqs_names accounts;
    struct sqs_names actions;
    struct sqs_pairs attributes;
    struct sqs_pairs tags;
    struct sqs_entry *entries; /* SQS_ENTRIES_MAX of them; the first is the message of operations on
                                  one */
    size_t entry_count;        /* of a batch, as many as were sent: may be more than are stored */
    struct arena *arena;
};

/* An empty request, with memory for its entries: EXHAUSTED if there is none. */
enum status sqs_request_init(struct sqs_request *request, struct arena *arena,
                             struct sqs_failure *failure) FALLIBLE;

/* Initialises it and reads the body of AwsJson1.0. An empty body is an empty object. */
enum status sqs_request_read_json(struct str body, struct arena *arena,
                                  struct sqs_request *ret_request,
                                  struct sqs_failure *failure) FALLIBLE;

/*
 * Sets a member that is a text or an integer, for readers of other forms: of the entry, or of the
 * whole if it is none of an entry's. Names that are unknown are passed over. The value stays where
 * it is.
 */
enum status sqs_request_put(struct sqs_request *request, struct sqs_entry *entry, struct str name,
                            struct str value, struct sqs_failure *failure) FALLIBLE;

#endif
