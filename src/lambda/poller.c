/* Messages to events, answers to failures. */
#include "lambda/poller.h"

#include "base/base64.h"
#include "base/hash.h"
#include "base/json.h"

/* --- events ----------------------------------------------------------------------------------- */

/* Every attribute of the system is a text, numbers too. */
static void put_number(struct json_writer *writer, struct str name, uint64_t value)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    json_put_string(writer, name, (struct str){text, (size_t)size});
}

static void write_system(const struct queue_message *message, bool fifo, struct json_writer *writer)
{
    char sequence[24];
    json_add_name(writer, STR("attributes"));
    json_begin_object(writer);
    put_number(writer, STR("ApproximateReceiveCount"), message->receive_count);
    put_number(writer, STR("SentTimestamp"), message->sent_ms);
    json_put_string(writer, STR("SenderId"), STR("AIDAIENQZJOLO23YVJ4VO"));
    put_number(writer, STR("ApproximateFirstReceiveTimestamp"), message->first_received_ms);
    if (message->trace_header.size > 0)
        json_put_string(writer, STR("AWSTraceHeader"), message->trace_header);
    if (message->group.size > 0) json_put_string(writer, STR("MessageGroupId"), message->group);
    if (fifo) {
        (void)snprintf(sequence, sizeof sequence, "%020llu", (unsigned long long)message->sequence);
        json_put_string(writer, STR("SequenceNumber"), str_of(sequence));
        json_put_string(writer, STR("MessageDeduplicationId"), message->deduplication_id);
    }
    json_end_object(writer);
}

static void write_value(const struct queue_attribute *attribute, struct json_writer *writer)
{
    struct buffer encoded CLEANUP(buffer_clear);
    buffer_init(&encoded, base64_encoded_size(attribute->value.size));
    if (!str_starts_with(attribute->type, STR("Binary"))) {
        json_put_string(writer, STR("stringValue"), attribute->value);
        return;
    }
    base64_encode(&encoded, attribute->value);
    json_put_string(writer, STR("binaryValue"), buffer_view(&encoded));
    if (buffer_failed(&encoded)) writer->out->failed = true;
}

static void write_attributes(const struct queue_message *message, struct json_writer *writer)
{
    json_add_name(writer, STR("messageAttributes"));
    json_begin_object(writer);
    for (size_t i = 0; i < message->attribute_count; i++) {
        json_add_name(writer, message->attributes[i].name);
        json_begin_object(writer);
        write_value(&message->attributes[i], writer);
        json_add_name(writer, STR("stringListValues"));
        json_begin_array(writer);
        json_end_array(writer);
        json_add_name(writer, STR("binaryListValues"));
        json_begin_array(writer);
        json_end_array(writer);
        json_put_string(writer, STR("dataType"), message->attributes[i].type);
        json_end_object(writer);
    }
    json_end_object(writer);
}

static void write_arn(const struct lambda_source *source, struct json_writer *writer)
{
    char arn[512];
    (void)snprintf(arn, sizeof arn, "arn:aws:sqs:%.*s:%.*s:%.*s", STR_ARGS(source->region),
                   STR_ARGS(source->account), STR_ARGS(source->queue));
    json_put_string(writer, STR("eventSourceARN"), str_of(arn));
    json_put_string(writer, STR("awsRegion"), source->region);
}

static void write_message(const struct lambda_source *source, const struct queue_message *message,
                          struct json_writer *writer)
{
    char digest[MD5_HEX_SIZE];
    json_begin_object(writer);
    json_put_string(writer, STR("messageId"), message->id);
    json_put_string(writer, STR("receiptHandle"), message->receipt);
    json_put_string(writer, STR("body"), message->body);
    write_system(message, str_ends_with(source->queue, STR(".fifo")), writer);
    write_attributes(message, writer);
    if (md5_hex(message->body, digest)) json_put_string(writer, STR("md5OfBody"), str_of(digest));
    json_put_string(writer, STR("eventSource"), STR("aws:sqs"));
    write_arn(source, writer);
    json_end_object(writer);
}

void lambda_poller_write(const struct lambda_source *source, const struct queue_message *messages,
                         size_t count, struct buffer *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    json_add_name(&writer, STR("Records"));
    json_begin_array(&writer);
    for (size_t i = 0; i < count; i++) write_message(source, &messages[i], &writer);
    json_end_array(&writer);
    json_end_object(&writer);
}

/* --- answers ---------------------------------------------------------------------------------- */

struct answer {
    const struct queue_message *messages;
    size_t count;
    bool *failed;
};

static enum status mark(const struct answer *answer, struct str id, struct error *err)
{
    for (size_t i = 0; i < answer->count; i++)
        if (id.size > 0 && str_equal(answer->messages[i].id, id)) {
            answer->failed[i] = true;
            return STATUS_OK;
        }
    return fail(err, STATUS_INVALID_ARGUMENT, "'%.*s' is no message of the event", STR_ARGS(id));
}

static enum status read_item(const struct answer *answer, struct json_reader *reader,
                             struct error *err)
{
    struct str id = STR_EMPTY;
    TRY(json_open_object(reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) return mark(answer, id, err);
        if (str_equal(key, STR("itemIdentifier")))
            TRY(json_read_string(reader, &id, err));
        else
            TRY(json_skip(reader, err));
    }
}

static enum status read_items(const struct answer *answer, struct json_reader *reader,
                              struct error *err)
{
    if (json_peek(reader) == JSON_NULL) return json_read_null(reader, err);
    TRY(json_open_array(reader, err));
    for (;;) {
        bool more;
        TRY(json_next_element(reader, &more, err));
        if (!more) return STATUS_OK;
        TRY(read_item(answer, reader, err));
    }
}

static enum status read_answer(const struct answer *answer, struct json_reader *reader,
                               struct error *err)
{
    if (json_peek(reader) == JSON_END) return STATUS_OK;
    if (json_peek(reader) == JSON_NULL) {
        TRY(json_read_null(reader, err));
        return json_end(reader, err);
    }
    TRY(json_open_object(reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) return json_end(reader, err);
        if (str_equal(key, STR("batchItemFailures")))
            TRY(read_items(answer, reader, err));
        else
            TRY(json_skip(reader, err));
    }
}

bool lambda_poller_read(struct str answer, const struct queue_message *messages, size_t count,
                        bool *failed, struct arena *arena)
{
    const struct answer read = {messages, count, failed};
    struct json_reader reader;
    struct error err;
    json_reader_init(&reader, answer, arena);
    memset(failed, 0, count * sizeof *failed);
    if (read_answer(&read, &reader, &err) == STATUS_OK) return true;
    memset(failed, true, count * sizeof *failed);
    return false;
}
