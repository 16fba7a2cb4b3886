/*
 * SQS's protocol (AwsJson1.0) from the side of who asks: requests to JSON, answers to queue.h's
 * structs. Pure. What a service answers is checked as strictly as what a client sends: kinds,
 * numbers, counts, sizes, and the digests of bodies and attributes.
 *
 *   sqs_write_receive(&request, url, &lease, 10, 20, -1);
 *   ... aws_json_call(client, "AmazonSQS.ReceiveMessage", request) ...
 *   TRY(sqs_read_messages(reply.body, call->arena, &batch, err));
 *
 * Writers append to a buffer with a ceiling, which remembers that it was too small. Readers give
 * views of the answer and of the arena; an answer that is none of SQS's is DATA_LOSS.
 */
#ifndef QUEUE_QUEUE_SQS_WIRE_H
#define QUEUE_QUEUE_SQS_WIRE_H

#include "queue/queue.h"

enum {
    SQS_WAIT_S_MAX = 20,            /* of one receive */
    SQS_ACCOUNT_SIZE = 12,          /* digits */
    SQS_URL_SIZE_MAX = 1024,        /* of a queue */
    SQS_REGION_SIZE_MAX = 64,       /* of an ARN */
    SQS_REPLY_SIZE_MAX = 64 << 20,  /* ten of the largest messages, every character escaped */
    SQS_REQUEST_SIZE_MAX = 8 << 20, /* the largest batch, likewise */
    SQS_ATTRIBUTE_VALUE_MAX = QUEUE_MESSAGE_SIZE_MAX,
};

/* --- names ------------------------------------------------------------------------------------ */

/* What a queue was called: its name, its URL or its ARN. Views. */
struct sqs_queue_name {
    struct str name;
    struct str url;     /* empty: to be asked for */
    struct str account; /* 12 digits, of a URL or an ARN; else empty */
    struct str region;  /* of an ARN, or of AWS's own URLs; else empty */
};

/* "orders.fifo", "https://sqs.eu-west-3.amazonaws.com/123456789012/orders.fifo",
 * "arn:aws:sqs:eu-west-3:123456789012:orders.fifo". INVALID_ARGUMENT. */
enum status sqs_read_name(struct str text, struct sqs_queue_name *ret_name,
                          struct error *err) FALLIBLE;

/* --- requests --------------------------------------------------------------------------------- */

/* {"QueueUrl":...} and nothing else. */
void sqs_write_url(struct buffer *out, struct str url);

void sqs_write_get_url(struct buffer *out, const struct sqs_queue_name *name);

/* All attributes. */
void sqs_write_get_attributes(struct buffer *out, struct str url);

/* `dead_letter_arn` is that of settings->dead_letter, empty without one; `ends_redrive`: there was
 * one until now. */
void sqs_write_create(struct buffer *out, struct str name,
                      const struct queue_description *description, struct str dead_letter_arn);
void sqs_write_set_attributes(struct buffer *out, struct str url,
                              const struct queue_settings *settings, struct str dead_letter_arn,
                              bool ends_redrive);

/* SendMessage of one message, SendMessageBatch of 2 to QUEUE_BATCH_MAX. */
void sqs_write_send(struct buffer *out, struct str url, const struct queue_new_message *messages,
                    size_t count);

/* `wait_s`, `visibility_s` -1: the queue's. */
void sqs_write_receive(struct buffer *out, struct str url, const struct queue_lease *lease,
                       uint32_t count, int64_t wait_s, int64_t visibility_s);

/* DeleteMessageBatch, or with `visibility` ChangeMessageVisibilityBatch. Entries are numbered. */
void sqs_write_receipts(struct buffer *out, struct str url, struct queue_receipt *const *receipts,
                        size_t count, bool visibility);

/* Whole seconds, not less than the milliseconds. */
int64_t sqs_seconds(int64_t ms);

/* --- answers ---------------------------------------------------------------------------------- */

/* A text member of the answer's object: "QueueUrl". */
enum status sqs_read_text(struct str body, const char *name, struct arena *arena,
                          struct str *ret_text, struct error *err) FALLIBLE;

struct sqs_queue_state {
    struct queue_settings settings; /* texts in the arena */
    struct queue_depth depth;       /* oldest_ms is not known */
    struct str arn;
    uint64_t created_ms;
    uint64_t modified_ms;
};

/* Of GetQueueAttributes. What is not there keeps the default. */
enum status sqs_read_attributes(struct str body, struct arena *arena,
                                struct sqs_queue_state *ret_state, struct error *err) FALLIBLE;

/* What one receive brought. */
struct sqs_batch {
    struct queue_message *messages; /* in the arena */
    size_t count;
    size_t damaged; /* whose digests were not those of what came: left out */
};

/* Receipts, bodies and attributes; at most QUEUE_BATCH_MAX. Attributes by name, ascending. */
enum status sqs_read_messages(struct str body, struct arena *arena, struct sqs_batch *ret_batch,
                              struct error *err) FALLIBLE;

/* Sets status, reason, id and sequence of each of `count`. The digests are compared: DATA_LOSS of
 * a message that arrived as another one. */
enum status sqs_read_sent(struct str body, const struct queue_new_message *messages, size_t count,
                          struct arena *arena, struct queue_sent *sent, struct error *err) FALLIBLE;

/* Sets status and reason of each receipt of a batch. UNAVAILABLE: worth another try. */
enum status sqs_read_receipts(struct str body, struct queue_receipt *const *receipts, size_t count,
                              struct arena *arena, struct error *err) FALLIBLE;

/*
 * What an error of SQS's means here, by its code in either form ("QueueDoesNotExist",
 * "AWS.SimpleQueueService.NonExistentQueue") and where that says too little its message.
 * `otherwise` is the status without a code that is known.
 */
enum status sqs_status_of(struct str code, struct str message, enum status otherwise);

#endif
