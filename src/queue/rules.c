/* Checks of calls. */
#include "queue/rules.h"

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

bool rules_is_fifo_name(struct str name)
{
    return str_ends_with(name, STR(".fifo"));
}

enum status rules_check_name(struct str name, struct error *err)
{
    struct str stem = name;
    if (rules_is_fifo_name(name)) stem.size -= strlen(".fifo");
    bool good = stem.size > 0 && name.size <= QUEUE_NAME_MAX;
    for (size_t i = 0; i < stem.size && good; i++) good = is_name_character(stem.data[i]);
    if (good) return STATUS_OK;
    return fail(err, STATUS_INVALID_ARGUMENT,
                "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in "
                "length");
}

/* --- settings --------------------------------------------------------------------------------- */

static enum status check_range(const char *name, uint64_t value, uint64_t low, uint64_t high,
                               struct error *err)
{
    if (value >= low && value <= high) return STATUS_OK;
    return fail(err, STATUS_INVALID_ARGUMENT,
                "Invalid value for the parameter %s: %llu is not between %llu and %llu", name,
                (unsigned long long)value, (unsigned long long)low, (unsigned long long)high);
}

enum status rules_check_settings(const struct queue_settings *settings, struct str name,
                                 struct error *err)
{
    struct str dead = str_of(settings->dead_letter);
    TRY(check_range("VisibilityTimeout", settings->visibility_s, 0, QUEUE_VISIBILITY_S_MAX, err));
    TRY(check_range("DelaySeconds", settings->delay_s, 0, QUEUE_DELAY_S_MAX, err));
    TRY(check_range("MessageRetentionPeriod", settings->retention_s, QUEUE_RETENTION_S_MIN,
                    QUEUE_RETENTION_S_MAX, err));
    TRY(check_range("ReceiveMessageWaitTimeSeconds", settings->wait_s, 0, 20, err));
    TRY(check_range("MaximumMessageSize", settings->message_size_max, 1024, QUEUE_MESSAGE_SIZE_MAX,
                    err));
    if (rules_is_fifo_name(name) != settings->fifo)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    settings->fifo ? "The name of a FIFO queue can only include alphanumeric "
                                     "characters, hyphens, or underscores, must end with .fifo "
                                     "suffix and be 1 to 80 in length"
                                   : "Can only include alphanumeric characters, hyphens, or "
                                     "underscores. 1 to 80 in length");
    if (dead.size == 0) return STATUS_OK;
    TRY(check_range("maxReceiveCount", settings->max_receive_count, 1, 1000, err));
    if (rules_is_fifo_name(dead) != settings->fifo)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "Value for parameter RedrivePolicy is invalid. Reason: Dead-letter queue must "
                    "be same type of queue as the source.");
    return STATUS_OK;
}

static enum status differs(const char *attribute, struct error *err)
{
    return fail(err, STATUS_ALREADY_EXISTS,
                "A queue already exists with the same name and a different value for attribute %s",
                attribute);
}

enum status rules_check_same(const struct queue_settings *existing,
                             const struct queue_settings *wanted, struct error *err)
{
    const struct {
        const char *name;
        uint32_t existing, wanted;
    } rows[] = {
        {"FifoQueue", existing->fifo, wanted->fifo},
        {"ContentBasedDeduplication", existing->content_based_deduplication,
         wanted->content_based_deduplication},
        {"DeduplicationScope", existing->deduplicate_by_group, wanted->deduplicate_by_group},
        {"FifoThroughputLimit", existing->throughput_per_group, wanted->throughput_per_group},
        {"VisibilityTimeout", existing->visibility_s, wanted->visibility_s},
        {"DelaySeconds", existing->delay_s, wanted->delay_s},
        {"MessageRetentionPeriod", existing->retention_s, wanted->retention_s},
        {"ReceiveMessageWaitTimeSeconds", existing->wait_s, wanted->wait_s},
        {"MaximumMessageSize", existing->message_size_max, wanted->message_size_max},
        {"RedrivePolicy", existing->max_receive_count, wanted->max_receive_count},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].existing != rows[i].wanted) return differs(rows[i].name, err);
    if (strcmp(existing->dead_letter, wanted->dead_letter) != 0)
        return differs("RedrivePolicy", err);
    if (!str_equal(existing->redrive_allow, wanted->redrive_allow))
        return differs("RedriveAllowPolicy", err);
    return STATUS_OK;
}

void queue_settings_init(struct queue_settings *settings, bool fifo)
{
    *settings = (struct queue_settings){.fifo = fifo,
                                        .visibility_s = 30,
                                        .retention_s = 345600,
                                        .message_size_max = QUEUE_MESSAGE_SIZE_MAX};
}

/* --- messages --------------------------------------------------------------------------------- */

bool rules_text_is_allowed(struct str text)
{
    if (!str_is_utf8(text)) return false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = (uint8_t)text.data[i];
        if (c < 0x20 && c != '\t' && c != '\n' && c != '\r') return false;
        /* U+FFFE and U+FFFF: EF BF BE, EF BF BF */
        if (c == 0xef && (uint8_t)text.data[i + 1] == 0xbf && (uint8_t)text.data[i + 2] >= 0xbe)
            return false;
    }
    return true;
}

static enum status check_id(struct str id, const char *name, struct error *err)
{
    bool good = id.size <= QUEUE_ID_MAX;
    for (size_t i = 0; i < id.size && good; i++) good = id.data[i] > ' ' && id.data[i] < 0x7f;
    if (good) return STATUS_OK;
    return fail(err, STATUS_INVALID_ARGUMENT,
                "Value for parameter %s is invalid. Reason: %s can only include alphanumeric and "
                "punctuation characters. 1 to 128 in length.",
                name, name);
}

static enum status check_message(const struct queue_new_message *message, struct error *err)
{
    size_t size = message->body.size;
    TRY(check_id(message->group, "MessageGroupId", err));
    TRY(check_id(message->deduplication_id, "MessageDeduplicationId", err));
    TRY(check_range("priority", message->priority, 0, QUEUE_PRIORITY_MAX, err));
    if (message->attribute_count > QUEUE_ATTRIBUTES_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "Number of message attributes [%zu] exceeds the allowed maximum [%d].",
                    message->attribute_count, QUEUE_ATTRIBUTES_MAX);
    for (size_t i = 0; i < message->attribute_count; i++)
        size += message->attributes[i].name.size + message->attributes[i].type.size +
                message->attributes[i].value.size;
    if (size > QUEUE_MESSAGE_SIZE_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "One or more parameters are invalid. Reason: Message must be shorter than %d "
                    "bytes.",
                    QUEUE_MESSAGE_SIZE_MAX);
    if (message->trace_header.size > UINT16_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "AWSTraceHeader is longer than 65535 bytes");
    return STATUS_OK;
}

static enum status check_send(const struct queue_call *call, struct error *err)
{
    TRY(check_range("count of messages", call->send.count, 1, QUEUE_SEND_MAX, err));
    for (size_t i = 0; i < call->send.count; i++) TRY(check_message(&call->send.messages[i], err));
    return STATUS_OK;
}

static enum status check_lease(const struct queue_lease *lease, struct error *err)
{
    TRY(check_range("MaxNumberOfMessages", lease->count_max, 1, QUEUE_LEASE_MAX, err));
    if (lease->visibility_ms > 0)
        TRY(check_range("VisibilityTimeout", (uint64_t)lease->visibility_ms, 0,
                        (uint64_t)QUEUE_VISIBILITY_S_MAX * 1000, err));
    if (lease->wait_ms > 0)
        TRY(check_range("WaitTimeSeconds", (uint64_t)lease->wait_ms, 0, QUEUE_WAIT_MS_MAX, err));
    return check_id(lease->attempt_id, "ReceiveRequestAttemptId", err);
}

static enum status check_receipts(const struct queue_receipts *receipts, struct error *err)
{
    TRY(check_range("count of receipt handles", receipts->count, 1, QUEUE_SEND_MAX, err));
    for (size_t i = 0; i < receipts->count; i++)
        TRY(check_range("VisibilityTimeout", (uint64_t)receipts->receipts[i].visibility_ms, 0,
                        (uint64_t)QUEUE_VISIBILITY_S_MAX * 1000, err));
    return STATUS_OK;
}

enum status rules_check(const struct queue_call *call, struct error *err)
{
    switch (call->operation) {
    case QUEUE_CREATE:
    case QUEUE_CONFIGURE:
        TRY(rules_check_name(call->queue, err));
        return rules_check_settings(&call->description.settings, call->queue, err);
    case QUEUE_TAG:
        return check_range("count of tags", call->description.tag_count, 0, QUEUE_TAGS_MAX, err);
    case QUEUE_SEND: return check_send(call, err);
    case QUEUE_LEASE: return check_lease(&call->lease, err);
    case QUEUE_EXTEND:
    case QUEUE_NACK:
    case QUEUE_ACK:
    case QUEUE_BURY:
    case QUEUE_CANCEL: return check_receipts(&call->receipts, err);
    case QUEUE_LIST: return check_range("MaxResults", call->page.count_max, 1, 1000, err);
    case QUEUE_MOVE_LIST: return check_range("MaxResults", call->moves.count_max, 1, 10, err);
    case QUEUE_DELETE:
    case QUEUE_DESCRIBE:
    case QUEUE_DEPTH:
    case QUEUE_PURGE:
    case QUEUE_MOVE_START:
    case QUEUE_MOVE_CANCEL: return STATUS_OK;
    }
    return fail(err, STATUS_INTERNAL, "no such queue operation");
}

const char *rules_too_large(uint32_t size_max, struct arena *arena)
{
    char text[128];
    int size = snprintf(text, sizeof text,
                        "One or more parameters are invalid. Reason: Message must be shorter than "
                        "%u bytes.",
                        size_max);
    struct str kept = arena_try_copy(arena, (struct str){text, (size_t)size});
    return kept.data ? kept.data : "Message must be shorter.";
}
