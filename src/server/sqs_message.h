/*
 * Messages and receipts as SQS's protocol has them: AWS's rules for what may be sent, in AWS's
 * words, and the digests that clients compare. Pure.
 *
 *   struct queue_new_message message;
 *   TRY(sqs_message_check(entry, fifo, &message, failure));
 */
#ifndef SERVER_SQS_MESSAGE_H
#define SERVER_SQS_MESSAGE_H

#include "base/hash.h"
#include "server/sqs_request.h"

enum { SQS_BATCH_ID_MAX = 80 };

/*
 * Checks one message and turns it into what a queue takes; views of the entry, whose attributes are
 * put in the order of their names. What only the queue knows (its own size limit, content-based
 * deduplication) is left to it.
 */
enum status sqs_message_check(struct sqs_entry *entry, bool fifo,
                              struct queue_new_message *ret_message,
                              struct sqs_failure *failure) FALLIBLE;

/* Body, and names, types and values of the attributes: what counts against the limit. */
size_t sqs_message_size(const struct sqs_entry *entry);

/* Number, ids and total size of a batch: what fails the whole of it. `operation` names it. */
enum status sqs_batch_check(const struct sqs_request *request, struct str operation,
                            struct sqs_failure *failure) FALLIBLE;

/* A receipt handle, and with `extends` its new visibility time-out. */
enum status sqs_receipt_check(const struct sqs_entry *entry, bool extends,
                              struct queue_receipt *ret_receipt,
                              struct sqs_failure *failure) FALLIBLE;

/* Identifiers of groups and deduplication: 1 to 128 characters, letters, digits, punctuation. */
enum status sqs_id_check(struct str id, const char *parameter,
                         struct sqs_failure *failure) FALLIBLE;

#endif
