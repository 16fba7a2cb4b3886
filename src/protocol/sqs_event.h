/*
 * An SQS event as Lambda hands it over: {"Records":[{"messageId":...,"body":"..."}, ...]}. Reads
 * it record by record; and writes the answer that tells SQS which of them failed.
 *
 *   struct sqs_event event;
 *   TRY(sqs_event_open(&event, text, &arena, err));
 *   for (;;) {
 *       TRY(sqs_event_next(&event, &record, &more, err));
 *       if (!more) break;
 *       ... record.body ...
 *   }
 */
#ifndef PROTOCOL_SQS_EVENT_H
#define PROTOCOL_SQS_EVENT_H

#include "base/json.h"

/* Views of the text or the arena; empty where the record does not say. */
struct sqs_record {
    struct str message_id;
    struct str receipt_handle;
    struct str body;
    struct str body_md5;         /* hexadecimal, as the queue computed it */
    struct str group_id;         /* attributes.MessageGroupId of a FIFO queue */
    struct str deduplication_id; /* attributes.MessageDeduplicationId */
    struct str event_source_arn;
    struct str message_attributes; /* as JSON */
    struct str trace_header;       /* attributes.AWSTraceHeader, X-Ray's */
    uint64_t receive_count;        /* attributes.ApproximateReceiveCount, 0 if not said */
    uint64_t sent_ms;              /* attributes.SentTimestamp, milliseconds since 1970, or 0 */
};

struct sqs_event {
    struct json_reader reader;
};

/* Finds the records. Borrows text and arena. A text without `Records` is INVALID_ARGUMENT. */
enum status sqs_event_open(struct sqs_event *event, struct str text, struct arena *arena,
                           struct error *err) FALLIBLE;

/* The next record; *ret_more is false when there is none, and the rest was checked. */
enum status sqs_event_next(struct sqs_event *event, struct sqs_record *ret_record, bool *ret_more,
                           struct error *err) FALLIBLE;

/* The text of a message attribute (stringValue), in its escapes decoded in the arena; data NULL if
 * it is not there, or binary. */
enum status sqs_event_attribute(const struct sqs_record *record, struct str name,
                                struct arena *arena, struct str *ret_value,
                                struct error *err) FALLIBLE;

/* Appends {"batchItemFailures":[{"itemIdentifier":"..."}]}. */
void sqs_event_write_failures(const struct str *message_ids, size_t count, struct buffer *out);

#endif
