/* SQS events. */
#include "protocol/sqs_event.h"

#include "base/num.h"

/*
 * `Records` may stand behind other members. What follows it is checked when the last record was
 * read, so `Records` is entered here and left there.
 */
enum status sqs_event_open(struct sqs_event *event, struct str text, struct arena *arena,
                           struct error *err)
{
    struct json_reader *reader = &event->reader;
    json_reader_init(reader, text, arena);
    TRY(fail_while(err, json_open_object(reader, err), "the event is not an SQS event"));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(reader, &key, &more, err));
        if (!more)
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "the event has no 'Records': is it an SQS event?");
        if (str_equal(key, STR("Records"))) break;
        TRY(json_skip(reader, err));
    }
    return json_open_array(reader, err);
}

/* Numbers come as strings: "1657982523327". */
static enum status read_number_text(struct json_reader *reader, uint64_t *ret_value,
                                    struct error *err)
{
    struct str text;
    if (json_peek(reader) == JSON_NUMBER) return json_read_u64(reader, ret_value, err);
    TRY(json_read_string(reader, &text, err));
    if (!num_read_u64(text, ret_value)) return json_fail(reader, "a number is expected here", err);
    return STATUS_OK;
}

static enum status read_attributes(struct json_reader *reader, struct sqs_record *record,
                                   struct error *err)
{
    TRY(json_open_object(reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) return STATUS_OK;
        if (str_equal(key, STR("ApproximateReceiveCount")))
            TRY(read_number_text(reader, &record->receive_count, err));
        else if (str_equal(key, STR("SentTimestamp")))
            TRY(read_number_text(reader, &record->sent_ms, err));
        else if (str_equal(key, STR("MessageGroupId")))
            TRY(json_read_string(reader, &record->group_id, err));
        else if (str_equal(key, STR("MessageDeduplicationId")))
            TRY(json_read_string(reader, &record->deduplication_id, err));
        else if (str_equal(key, STR("AWSTraceHeader")) && json_peek(reader) == JSON_STRING)
            TRY(json_read_string(reader, &record->trace_header, err));
        else
            TRY(json_skip(reader, err));
    }
}

static enum status read_member(struct json_reader *reader, struct str key,
                               struct sqs_record *record, struct error *err)
{
    if (str_equal(key, STR("messageId"))) return json_read_string(reader, &record->message_id, err);
    if (str_equal(key, STR("receiptHandle")))
        return json_read_string(reader, &record->receipt_handle, err);
    if (str_equal(key, STR("body"))) return json_read_string(reader, &record->body, err);
    if (str_equal(key, STR("md5OfBody"))) return json_read_string(reader, &record->body_md5, err);
    if (str_equal(key, STR("eventSourceARN")))
        return json_read_string(reader, &record->event_source_arn, err);
    if (str_equal(key, STR("attributes"))) return read_attributes(reader, record, err);
    if (str_equal(key, STR("messageAttributes")))
        return json_read_raw(reader, &record->message_attributes, err);
    return json_skip(reader, err);
}

static enum status read_record(struct json_reader *reader, struct sqs_record *ret_record,
                               struct error *err)
{
    struct sqs_record record = {STR_EMPTY, STR_EMPTY, STR_EMPTY, STR_EMPTY, STR_EMPTY, STR_EMPTY,
                                STR_EMPTY, STR_EMPTY, STR_EMPTY, 0,         0};
    bool body = false;
    TRY(json_open_object(reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) break;
        TRY(read_member(reader, key, &record, err));
        body |= str_equal(key, STR("body"));
    }
    if (!body)
        return fail(err, STATUS_INVALID_ARGUMENT, "record '%.*s' of the event has no 'body'",
                    STR_ARGS(record.message_id));
    *ret_record = record;
    return STATUS_OK;
}

/* The rest of the event behind its records. */
static enum status finish(struct json_reader *reader, struct error *err)
{
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) return json_end(reader, err);
        TRY(json_skip(reader, err));
    }
}

enum status sqs_event_next(struct sqs_event *event, struct sqs_record *ret_record, bool *ret_more,
                           struct error *err)
{
    bool more;
    TRY(json_next_element(&event->reader, &more, err));
    TRY(more ? read_record(&event->reader, ret_record, err) : finish(&event->reader, err));
    *ret_more = more;
    return STATUS_OK;
}

static enum status read_attribute_text(struct json_reader *reader, struct str *ret_value,
                                       struct error *err)
{
    if (json_peek(reader) != JSON_OBJECT) return json_skip(reader, err);
    TRY(json_open_object(reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) return STATUS_OK;
        if (str_equal(key, STR("stringValue")) && json_peek(reader) == JSON_STRING)
            TRY(json_read_string(reader, ret_value, err));
        else
            TRY(json_skip(reader, err));
    }
}

enum status sqs_event_attribute(const struct sqs_record *record, struct str name,
                                struct arena *arena, struct str *ret_value, struct error *err)
{
    struct json_reader reader;
    struct str value = {NULL, 0};
    json_reader_init(&reader, record->message_attributes, arena);
    if (record->message_attributes.size > 0 && json_peek(&reader) == JSON_OBJECT) {
        TRY(json_open_object(&reader, err));
        for (;;) {
            struct str key;
            bool more;
            TRY(json_next_member(&reader, &key, &more, err));
            if (!more) break;
            TRY(str_equal(key, name) ? read_attribute_text(&reader, &value, err)
                                     : json_skip(&reader, err));
        }
    }
    *ret_value = value;
    return STATUS_OK;
}

void sqs_event_write_failures(const struct str *message_ids, size_t count, struct buffer *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    json_add_name(&writer, STR("batchItemFailures"));
    json_begin_array(&writer);
    for (size_t i = 0; i < count; i++) {
        json_begin_object(&writer);
        json_put_string(&writer, STR("itemIdentifier"), message_ids[i]);
        json_end_object(&writer);
    }
    json_end_array(&writer);
    json_end_object(&writer);
}
