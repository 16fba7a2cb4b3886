/* Answers. */
#include "base/base64.h"
#include "base/json.h"
#include "base/num.h"
#include "queue/attributes.h"
#include "queue/queue_sqs_wire.h"

enum { SEQUENCE_DIGITS = 19 /* of AWS's 20: what a uint64_t holds */ };

/* --- errors ----------------------------------------------------------------------------------- */

static const struct {
    struct str code; /* the end of it: both forms of a name end alike, or are two rows */
    enum status status;
} codes[] = {
    {{"QueueDoesNotExist", 17}, STATUS_NOT_FOUND},
    {{"NonExistentQueue", 16}, STATUS_NOT_FOUND},
    {{"QueueNameExists", 15}, STATUS_ALREADY_EXISTS},
    {{"QueueAlreadyExists", 18}, STATUS_ALREADY_EXISTS},
    {{"QueueDeletedRecently", 20}, STATUS_ABORTED},
    {{"PurgeQueueInProgress", 20}, STATUS_ABORTED},
    {{"MessageNotInflight", 18}, STATUS_FAILED_PRECONDITION},
    {{"OverLimit", 9}, STATUS_EXHAUSTED},
    {{"RequestThrottled", 16}, STATUS_EXHAUSTED},
    {{"KmsThrottled", 12}, STATUS_EXHAUSTED},
    {{"ThrottlingException", 19}, STATUS_EXHAUSTED},
    {{"UnsupportedOperation", 20}, STATUS_UNIMPLEMENTED},
    {{"ResourceNotFoundException", 25}, STATUS_NOT_FOUND},
    {{"AccessDenied", 12}, STATUS_PERMISSION_DENIED},
    {{"AccessDeniedException", 21}, STATUS_PERMISSION_DENIED},
    {{"KmsAccessDenied", 15}, STATUS_PERMISSION_DENIED},
    {{"ReceiptHandleIsInvalid", 22}, STATUS_INVALID_ARGUMENT},
    {{"InvalidMessageContents", 22}, STATUS_INVALID_ARGUMENT},
    {{"InternalError", 13}, STATUS_UNAVAILABLE},
    {{"InternalFailure", 15}, STATUS_UNAVAILABLE},
    {{"ServiceUnavailable", 18}, STATUS_UNAVAILABLE},
};

static bool contains(struct str text, struct str part)
{
    for (size_t i = 0; i + part.size <= text.size; i++)
        if (memcmp(text.data + i, part.data, part.size) == 0) return true;
    return false;
}

enum status sqs_status_of(struct str code, struct str message, enum status otherwise)
{
    struct str own = STR("AWS.SimpleQueueService.");
    struct str name = str_starts_with(code, own) ? str_from(code, own.size) : code;
    /* One code for all that may be wrong with a parameter. */
    if (contains(message, STR("handle has expired"))) return STATUS_FAILED_PRECONDITION;
    if (contains(message, STR("does not exist or is not available"))) return STATUS_NOT_FOUND;
    for (size_t i = 0; i < COUNT_OF(codes); i++)
        if (str_equal(name, codes[i].code)) return codes[i].status;
    return otherwise;
}

/* --- reading ---------------------------------------------------------------------------------- */

static enum status not_sqs(enum status status, struct error *err)
{
    if (status == STATUS_OK || status == STATUS_EXHAUSTED) return status;
    struct error cause = *err;
    return fail(err, STATUS_DATA_LOSS, "the answer is none of SQS's: %s", cause.message);
}

/* Reads one member, or skips it. */
typedef enum status member_function(void *context, struct json_reader *reader, struct str key,
                                    struct error *err);

static enum status read_object(struct json_reader *reader, member_function *member, void *context,
                               struct error *err)
{
    struct str key;
    bool more;
    TRY(json_open_object(reader, err));
    for (;;) {
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) return STATUS_OK;
        TRY(member(context, reader, key, err));
    }
}

static enum status read_body(struct str body, struct arena *arena, member_function *member,
                             void *context, struct error *err)
{
    struct json_reader reader;
    json_reader_init(&reader, body, arena);
    enum status status = read_object(&reader, member, context, err);
    if (status == STATUS_OK) status = json_end(&reader, err);
    return not_sqs(status, err);
}

/* Numbers of SQS are texts, and of some of its imitators numbers. */
static enum status read_number(struct json_reader *reader, uint64_t *ret_value, struct error *err)
{
    struct str text;
    if (json_peek(reader) == JSON_NUMBER) return json_read_u64(reader, ret_value, err);
    TRY(json_read_string(reader, &text, err));
    if (num_read_u64(text, ret_value)) return STATUS_OK;
    return json_fail(reader, "not a whole number", err);
}

static enum status read_u32(struct json_reader *reader, uint32_t *ret_value, struct error *err)
{
    uint64_t value;
    TRY(read_number(reader, &value, err));
    if (value > UINT32_MAX) return json_fail(reader, "a number that is too large", err);
    *ret_value = (uint32_t)value;
    return STATUS_OK;
}

/* Rises, and that is all that it is for: AWS's are larger than 64 bits hold. */
static uint64_t sequence_of(struct str text)
{
    uint64_t value = 0;
    if (text.size > SEQUENCE_DIGITS) text = str_from(text, text.size - SEQUENCE_DIGITS);
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return 0;
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    return value;
}

/* --- one text --------------------------------------------------------------------------------- */

struct wanted_text {
    struct str name;
    struct str value;
};

static enum status read_wanted(void *context, struct json_reader *reader, struct str key,
                               struct error *err)
{
    struct wanted_text *wanted = context;
    if (!str_equal(key, wanted->name)) return json_skip(reader, err);
    return json_read_string(reader, &wanted->value, err);
}

enum status sqs_read_text(struct str body, const char *name, struct arena *arena,
                          struct str *ret_text, struct error *err)
{
    struct wanted_text wanted = {str_of(name), {NULL, 0}};
    TRY(read_body(body, arena, read_wanted, &wanted, err));
    if (!wanted.value.data)
        return fail(err, STATUS_DATA_LOSS, "the answer is none of SQS's: it has no %s", name);
    *ret_text = wanted.value;
    return STATUS_OK;
}

/* --- attributes of a queue -------------------------------------------------------------------- */

static enum status read_policy_member(void *context, struct json_reader *reader, struct str key,
                                      struct error *err)
{
    struct queue_settings *settings = context;
    struct str arn, name;
    if (str_equal(key, STR("maxReceiveCount")))
        return read_u32(reader, &settings->max_receive_count, err);
    if (!str_equal(key, STR("deadLetterTargetArn"))) return json_skip(reader, err);
    TRY(json_read_string(reader, &arn, err));
    for (name = arn; arn.data; name = str_cut(&arn, ':')) continue;
    if (name.size > QUEUE_NAME_MAX) return json_fail(reader, "a name that is too long", err);
    memcpy(settings->dead_letter, name.data, name.size);
    settings->dead_letter[name.size] = '\0';
    return STATUS_OK;
}

static enum status read_redrive(struct json_reader *reader, struct queue_settings *settings,
                                struct error *err)
{
    struct json_reader inner;
    struct str text;
    TRY(json_read_string(reader, &text, err));
    if (text.size == 0) return STATUS_OK;
    json_reader_init(&inner, text, reader->arena);
    TRY(read_object(&inner, read_policy_member, settings, err));
    return json_end(&inner, err);
}

static enum status read_is(struct json_reader *reader, const char *yes, bool *ret_value,
                           struct error *err)
{
    struct str text;
    TRY(json_read_string(reader, &text, err));
    *ret_value = str_equal(text, str_of(yes));
    return STATUS_OK;
}

static uint32_t *setting_of(struct queue_settings *settings, struct str key)
{
    if (str_equal(key, STR("VisibilityTimeout"))) return &settings->visibility_s;
    if (str_equal(key, STR("DelaySeconds"))) return &settings->delay_s;
    if (str_equal(key, STR("MessageRetentionPeriod"))) return &settings->retention_s;
    if (str_equal(key, STR("ReceiveMessageWaitTimeSeconds"))) return &settings->wait_s;
    if (str_equal(key, STR("MaximumMessageSize"))) return &settings->message_size_max;
    return NULL;
}

static uint64_t *number_of(struct sqs_queue_state *state, struct str key)
{
    if (str_equal(key, STR("ApproximateNumberOfMessages"))) return &state->depth.visible;
    if (str_equal(key, STR("ApproximateNumberOfMessagesNotVisible")))
        return &state->depth.in_flight;
    if (str_equal(key, STR("ApproximateNumberOfMessagesDelayed"))) return &state->depth.delayed;
    return NULL;
}

/* Seconds; emulators have them with a fraction. */
static enum status read_time(struct json_reader *reader, uint64_t *ret_ms, struct error *err)
{
    const double seconds_max = 1e12;
    struct str text;
    double seconds;
    bool plain = json_peek(reader) == JSON_NUMBER;
    TRY(plain ? json_read_number(reader, &text, err) : json_read_string(reader, &text, err));
    if (!num_read_double(text, &seconds) || !(seconds >= 0 && seconds <= seconds_max))
        return json_fail(reader, "not a time in seconds", err);
    *ret_ms = (uint64_t)(seconds * 1000);
    return STATUS_OK;
}

static enum status read_attribute(void *context, struct json_reader *reader, struct str key,
                                  struct error *err)
{
    struct sqs_queue_state *state = context;
    struct queue_settings *settings = &state->settings;
    uint32_t *setting = setting_of(settings, key);
    uint64_t *number = number_of(state, key);
    if (setting) return read_u32(reader, setting, err);
    if (number) return read_number(reader, number, err);
    if (str_equal(key, STR("CreatedTimestamp"))) return read_time(reader, &state->created_ms, err);
    if (str_equal(key, STR("LastModifiedTimestamp")))
        return read_time(reader, &state->modified_ms, err);
    if (str_equal(key, STR("QueueArn"))) return json_read_string(reader, &state->arn, err);
    if (str_equal(key, STR("RedrivePolicy"))) return read_redrive(reader, settings, err);
    if (str_equal(key, STR("RedriveAllowPolicy")))
        return json_read_string(reader, &settings->redrive_allow, err);
    if (str_equal(key, STR("FifoQueue"))) return read_is(reader, "true", &settings->fifo, err);
    if (str_equal(key, STR("ContentBasedDeduplication")))
        return read_is(reader, "true", &settings->content_based_deduplication, err);
    if (str_equal(key, STR("DeduplicationScope")))
        return read_is(reader, "messageGroup", &settings->deduplicate_by_group, err);
    if (str_equal(key, STR("FifoThroughputLimit")))
        return read_is(reader, "perMessageGroupId", &settings->throughput_per_group, err);
    return json_skip(reader, err);
}

static enum status read_attributes_member(void *context, struct json_reader *reader, struct str key,
                                          struct error *err)
{
    if (!str_equal(key, STR("Attributes"))) return json_skip(reader, err);
    return read_object(reader, read_attribute, context, err);
}

enum status sqs_read_attributes(struct str body, struct arena *arena,
                                struct sqs_queue_state *ret_state, struct error *err)
{
    struct sqs_queue_state state = {.arn = STR_EMPTY};
    queue_settings_init(&state.settings, false);
    state.settings.redrive_allow = state.settings.other = STR_EMPTY;
    TRY(read_body(body, arena, read_attributes_member, &state, err));
    *ret_state = state;
    return STATUS_OK;
}

/* --- messages --------------------------------------------------------------------------------- */

struct message_reading {
    struct queue_message *message;
    struct queue_attribute *attribute; /* the one that is read */
    struct str body_md5;
    struct str attributes_md5; /* data NULL: none came */
    bool has_value;
};

static enum status read_value(void *context, struct json_reader *reader, struct str key,
                              struct error *err)
{
    struct message_reading *reading = context;
    struct str text;
    if (str_equal(key, STR("DataType")))
        return json_read_string(reader, &reading->attribute->type, err);
    bool is_text = str_equal(key, STR("StringValue")),
         is_binary = !is_text && str_equal(key, STR("BinaryValue"));
    if ((!is_text && !is_binary) || json_peek(reader) != JSON_STRING) return json_skip(reader, err);
    reading->has_value = true;
    TRY(json_read_string(reader, &text, err));
    if (is_binary) return base64_decode(text, reader->arena, &reading->attribute->value, err);
    reading->attribute->value = text;
    return STATUS_OK;
}

static enum status read_message_attribute(void *context, struct json_reader *reader,
                                          struct str name, struct error *err)
{
    struct message_reading *reading = context;
    struct queue_message *message = reading->message;
    struct queue_attribute attribute = {name, STR_EMPTY, STR_EMPTY};
    if (message->attribute_count == QUEUE_ATTRIBUTES_MAX)
        return json_fail(reader, "more attributes than a message has", err);
    reading->attribute = &attribute;
    reading->has_value = false;
    TRY(read_object(reader, read_value, reading, err));
    if (!reading->has_value || attribute.type.size == 0)
        return json_fail(reader, "an attribute without type or value", err);
    size_t at = message->attribute_count++;
    for (; at > 0 && str_compare(message->attributes[at - 1].name, name) > 0; at--)
        message->attributes[at] = message->attributes[at - 1];
    message->attributes[at] = attribute;
    return STATUS_OK;
}

static enum status read_source(struct json_reader *reader, struct queue_message *message,
                               struct error *err)
{
    struct str arn;
    TRY(json_read_string(reader, &arn, err));
    while (arn.data) message->dead_letter_source = str_cut(&arn, ':');
    return STATUS_OK;
}

static enum status read_system_attribute(void *context, struct json_reader *reader, struct str key,
                                         struct error *err)
{
    struct queue_message *message = ((struct message_reading *)context)->message;
    struct str text;
    if (str_equal(key, STR("SentTimestamp"))) return read_number(reader, &message->sent_ms, err);
    if (str_equal(key, STR("ApproximateFirstReceiveTimestamp")))
        return read_number(reader, &message->first_received_ms, err);
    if (str_equal(key, STR("ApproximateReceiveCount")))
        return read_u32(reader, &message->receive_count, err);
    if (str_equal(key, STR("AWSTraceHeader")))
        return json_read_string(reader, &message->trace_header, err);
    if (str_equal(key, STR("MessageGroupId")))
        return json_read_string(reader, &message->group, err);
    if (str_equal(key, STR("MessageDeduplicationId")))
        return json_read_string(reader, &message->deduplication_id, err);
    if (str_equal(key, STR("DeadLetterQueueSourceArn"))) return read_source(reader, message, err);
    if (!str_equal(key, STR("SequenceNumber"))) return json_skip(reader, err);
    TRY(json_read_string(reader, &text, err));
    message->sequence = sequence_of(text);
    return STATUS_OK;
}

static enum status read_message_member(void *context, struct json_reader *reader, struct str key,
                                       struct error *err)
{
    struct message_reading *reading = context;
    struct queue_message *message = reading->message;
    if (str_equal(key, STR("MessageId"))) return json_read_string(reader, &message->id, err);
    if (str_equal(key, STR("ReceiptHandle")))
        return json_read_string(reader, &message->receipt, err);
    if (str_equal(key, STR("Body"))) return json_read_string(reader, &message->body, err);
    if (str_equal(key, STR("MD5OfBody"))) return json_read_string(reader, &reading->body_md5, err);
    if (str_equal(key, STR("MD5OfMessageAttributes")) && json_peek(reader) == JSON_STRING)
        return json_read_string(reader, &reading->attributes_md5, err);
    if (str_equal(key, STR("Attributes")) && json_peek(reader) == JSON_OBJECT)
        return read_object(reader, read_system_attribute, reading, err);
    if (str_equal(key, STR("MessageAttributes")) && json_peek(reader) == JSON_OBJECT)
        return read_object(reader, read_message_attribute, reading, err);
    return json_skip(reader, err);
}

/* True as well if this system makes no MD5. */
static bool is_digest_of(struct str bytes, struct str md5)
{
    char text[MD5_HEX_SIZE];
    return !md5_hex(bytes, text) || str_equal(md5, str_of(text));
}

static bool is_intact(const struct message_reading *reading)
{
    const struct queue_message *message = reading->message;
    char text[MD5_HEX_SIZE];
    if (!is_digest_of(message->body, reading->body_md5)) return false;
    if (!reading->attributes_md5.data) return message->attribute_count == 0;
    return !attributes_md5(message->attributes, message->attribute_count, text) ||
           str_equal(reading->attributes_md5, str_of(text));
}

static enum status read_message(struct sqs_batch *batch, struct json_reader *reader,
                                struct error *err)
{
    struct queue_message *message = &batch->messages[batch->count];
    struct message_reading reading = {.message = message, .body_md5 = STR_EMPTY};
    struct str none = STR_EMPTY;
    *message = (struct queue_message){.id = none,
                                      .trace_header = none,
                                      .group = none,
                                      .deduplication_id = none,
                                      .receipt = none,
                                      .dead_letter_source = none};
    message->attributes =
        ARENA_TRY_ARRAY(reader->arena, struct queue_attribute, QUEUE_ATTRIBUTES_MAX);
    if (!message->attributes) return fail(err, STATUS_EXHAUSTED, "no memory for a message");
    TRY(read_object(reader, read_message_member, &reading, err));
    if (!message->body.data || message->id.size == 0 || message->receipt.size == 0)
        return json_fail(reader, "a message without id, receipt or body", err);
    if (message->receive_count == 0) message->receive_count = 1;
    if (is_intact(&reading))
        batch->count++;
    else
        batch->damaged++;
    return STATUS_OK;
}

static enum status read_messages_member(void *context, struct json_reader *reader, struct str key,
                                        struct error *err)
{
    struct sqs_batch *batch = context;
    bool more;
    if (!str_equal(key, STR("Messages")) || json_peek(reader) == JSON_NULL)
        return json_skip(reader, err);
    TRY(json_open_array(reader, err));
    for (;;) {
        TRY(json_next_element(reader, &more, err));
        if (!more) return STATUS_OK;
        if (batch->count + batch->damaged == QUEUE_BATCH_MAX)
            return json_fail(reader, "more messages than were asked for", err);
        TRY(read_message(batch, reader, err));
    }
}

enum status sqs_read_messages(struct str body, struct arena *arena, struct sqs_batch *ret_batch,
                              struct error *err)
{
    struct sqs_batch batch = {0};
    batch.messages = ARENA_TRY_ARRAY(arena, struct queue_message, QUEUE_BATCH_MAX);
    if (!batch.messages) return fail(err, STATUS_EXHAUSTED, "no memory for messages");
    TRY(read_body(body, arena, read_messages_member, &batch, err));
    *ret_batch = batch;
    return STATUS_OK;
}

/* --- results of batches ----------------------------------------------------------------------- */

/* One entry of Successful or Failed. */
struct entry {
    size_t index; /* QUEUE_BATCH_MAX: none of ours */
    struct str message_id;
    struct str sequence;
    struct str body_md5;
    struct str attributes_md5;
    struct str code;
    struct str message;
    bool is_senders;
};

static enum status read_entry_member(void *context, struct json_reader *reader, struct str key,
                                     struct error *err)
{
    struct entry *entry = context;
    struct str text;
    const struct {
        struct str key;
        struct str *value;
    } texts[] = {{STR("MessageId"), &entry->message_id},
                 {STR("SequenceNumber"), &entry->sequence},
                 {STR("MD5OfMessageBody"), &entry->body_md5},
                 {STR("MD5OfMessageAttributes"), &entry->attributes_md5},
                 {STR("Code"), &entry->code},
                 {STR("Message"), &entry->message}};
    if (json_peek(reader) == JSON_NULL) return json_skip(reader, err);
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (str_equal(key, texts[i].key)) return json_read_string(reader, texts[i].value, err);
    if (str_equal(key, STR("SenderFault"))) return json_read_bool(reader, &entry->is_senders, err);
    if (!str_equal(key, STR("Id"))) return json_skip(reader, err);
    TRY(json_read_string(reader, &text, err));
    if (text.size == 1 && *text.data >= '0' && *text.data <= '9')
        entry->index = (size_t)(*text.data - '0');
    return STATUS_OK;
}

struct result_reading {
    size_t count;
    bool seen[QUEUE_BATCH_MAX];
    struct arena *arena;
    void (*take)(struct result_reading *results, const struct entry *entry, bool failed);
    const struct queue_new_message *messages;
    struct queue_sent *sent;
    struct queue_receipt *const *receipts;
};

static const char *copy_reason(struct arena *arena, struct str text)
{
    struct str copy = arena_try_copy(arena, text);
    return copy.data ? copy.data : "it was refused";
}

static enum status status_of_entry(const struct entry *entry)
{
    enum status otherwise = entry->is_senders ? STATUS_INVALID_ARGUMENT : STATUS_UNAVAILABLE;
    return sqs_status_of(entry->code, entry->message, otherwise);
}

static enum status read_entry(struct result_reading *results, struct json_reader *reader,
                              bool failed, struct error *err)
{
    struct str none = STR_EMPTY;
    struct entry entry = {.index = QUEUE_BATCH_MAX,
                          .message_id = none,
                          .sequence = none,
                          .body_md5 = none,
                          .code = none,
                          .message = none};
    TRY(read_object(reader, read_entry_member, &entry, err));
    if (entry.index >= results->count || results->seen[entry.index])
        return json_fail(reader, "an entry that was not asked about", err);
    results->seen[entry.index] = true;
    results->take(results, &entry, failed);
    return STATUS_OK;
}

static enum status read_results_member(void *context, struct json_reader *reader, struct str key,
                                       struct error *err)
{
    bool failed = str_equal(key, STR("Failed")), more;
    if ((!failed && !str_equal(key, STR("Successful"))) || json_peek(reader) == JSON_NULL)
        return json_skip(reader, err);
    TRY(json_open_array(reader, err));
    for (;;) {
        TRY(json_next_element(reader, &more, err));
        if (!more) return STATUS_OK;
        TRY(read_entry(context, reader, failed, err));
    }
}

static enum status read_results(struct str body, struct result_reading *results, struct error *err)
{
    assert(results->count <= QUEUE_BATCH_MAX);
    TRY(read_body(body, results->arena, read_results_member, results, err));
    for (size_t i = 0; i < results->count; i++)
        if (!results->seen[i])
            return fail(err, STATUS_DATA_LOSS,
                        "the answer is none of SQS's: an entry of the batch is missing");
    return STATUS_OK;
}

static void take_receipt(struct result_reading *results, const struct entry *entry, bool failed)
{
    struct queue_receipt *receipt = results->receipts[entry->index];
    receipt->status = failed ? status_of_entry(entry) : STATUS_OK;
    receipt->reason = failed ? copy_reason(results->arena, entry->message) : NULL;
}

enum status sqs_read_receipts(struct str body, struct queue_receipt *const *receipts, size_t count,
                              struct arena *arena, struct error *err)
{
    struct result_reading results = {
        .count = count, .arena = arena, .take = take_receipt, .receipts = receipts};
    return read_results(body, &results, err);
}

static bool arrived_as_sent(const struct queue_new_message *message, const struct entry *entry)
{
    char text[MD5_HEX_SIZE];
    if (!is_digest_of(message->body, entry->body_md5)) return false;
    if (message->attribute_count == 0) return true;
    return !attributes_md5(message->attributes, message->attribute_count, text) ||
           str_equal(entry->attributes_md5.data ? entry->attributes_md5 : STR_EMPTY, str_of(text));
}

static void take_sent(struct result_reading *results, const struct entry *entry, bool failed)
{
    struct queue_sent *sent = &results->sent[entry->index];
    *sent = (struct queue_sent){.status = STATUS_OK, .id = entry->message_id};
    sent->sequence = sequence_of(entry->sequence);
    if (failed) {
        sent->status = status_of_entry(entry);
        sent->reason = copy_reason(results->arena, entry->message);
    } else if (!arrived_as_sent(&results->messages[entry->index], entry)) {
        sent->status = STATUS_DATA_LOSS;
        sent->reason = "what arrived has another digest than what was sent";
    }
}

/* The answer to a single message is an entry without a number. */
static enum status read_single(struct str body, struct result_reading *results, struct error *err)
{
    struct str none = STR_EMPTY;
    struct entry entry = {
        .index = 0, .message_id = none, .sequence = none, .body_md5 = none, .message = none};
    TRY(read_body(body, results->arena, read_entry_member, &entry, err));
    if (entry.message_id.size == 0)
        return fail(err, STATUS_DATA_LOSS, "the answer is none of SQS's: it has no MessageId");
    entry.index = 0;
    take_sent(results, &entry, false);
    return STATUS_OK;
}

enum status sqs_read_sent(struct str body, const struct queue_new_message *messages, size_t count,
                          struct arena *arena, struct queue_sent *sent, struct error *err)
{
    struct result_reading results = {
        .count = count, .arena = arena, .take = take_sent, .messages = messages, .sent = sent};
    return count == 1 ? read_single(body, &results, err) : read_results(body, &results, err);
}
