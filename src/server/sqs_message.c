/* What AWS takes and refuses. */
#include "server/sqs_message.h"

#include "base/mem.h"
#include "queue/attributes.h"

enum { TRACE_HEADER_MAX = 1024 };

static const char invalid_characters[] =
    "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | "
    "#xE000 to #xFFFD | #x10000 to #x10FFFF";

/* --- characters ------------------------------------------------------------------------------- */

/* UTF-8 is checked first, so a noncharacter of the basic plane is EF BF BE or EF BF BF. */
static bool is_bad_character(struct str text, size_t at)
{
    unsigned char byte = (unsigned char)text.data[at];
    if (byte < 0x20) return byte != '\t' && byte != '\n' && byte != '\r';
    return byte == 0xEF && (unsigned char)text.data[at + 1] == 0xBF &&
           (unsigned char)text.data[at + 2] >= 0xBE;
}

/* Whether eight bytes are printable ASCII, or DEL: none below 0x20, none with the highest bit. */
static bool are_plain(const char *bytes)
{
    uint64_t eight;
    memcpy(&eight, bytes, sizeof eight);
    uint64_t borrowed = eight - UINT64_C(0x2020202020202020);
    return ((eight | borrowed) & UINT64_C(0x8080808080808080)) == 0;
}

static bool has_valid_characters(struct str text)
{
    if (!str_is_utf8(text)) return false;
    for (size_t i = 0; i < text.size;) {
        if (text.size - i >= 8 && are_plain(text.data + i)) {
            i += 8;
            continue;
        }
        if (is_bad_character(text, i)) return false;
        i++;
    }
    return true;
}

static bool is_word_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_' || byte == '-';
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* Bytes of digits from *at on. */
static size_t skip_digits(struct str text, size_t *at)
{
    size_t start = *at;
    while (*at < text.size && is_digit(text.data[*at])) ++*at;
    return *at - start;
}

static void skip_sign(struct str text, size_t *at)
{
    if (*at < text.size && (text.data[*at] == '-' || text.data[*at] == '+')) ++*at;
}

/* An integer or decimal number, with an exponent or without. */
static bool is_number(struct str text)
{
    size_t at = 0;
    skip_sign(text, &at);
    size_t digits = skip_digits(text, &at);
    if (at < text.size && text.data[at] == '.') {
        at++;
        digits += skip_digits(text, &at);
    }
    if (digits == 0) return false;
    if (at < text.size && (text.data[at] == 'e' || text.data[at] == 'E')) {
        at++;
        skip_sign(text, &at);
        if (skip_digits(text, &at) == 0) return false;
    }
    return at == text.size;
}

/* --- attributes ------------------------------------------------------------------------------- */

static bool is_type(struct str type, struct str base)
{
    return str_starts_with(type, base) && (type.size == base.size || type.data[base.size] == '.');
}

static bool starts_ignoring_case(struct str text, struct str prefix)
{
    return text.size >= prefix.size &&
           str_equal_ignoring_case((struct str){text.data, prefix.size}, prefix);
}

static bool has_double_dot(struct str name)
{
    for (size_t i = 1; i < name.size; i++)
        if (name.data[i] == '.' && name.data[i - 1] == '.') return true;
    return false;
}

static enum status check_name(struct str name, struct sqs_failure *failure)
{
    if (name.size == 0)
        return SQS_FAIL(failure, INVALID_PARAMETER,
                        "Message (user) attribute names must not be empty");
    if (name.size > QUEUE_ATTRIBUTE_NAME_MAX)
        return SQS_FAIL(failure, INVALID_PARAMETER,
                        "Message (user) attribute names must be shorter than %d Bytes",
                        QUEUE_ATTRIBUTE_NAME_MAX);
    for (size_t i = 0; i < name.size; i++)
        if (!is_word_byte(name.data[i]) && name.data[i] != '.')
            return SQS_FAIL(failure, INVALID_PARAMETER,
                            "Message (user) attributes name can only contain upper and lower score "
                            "characters, digits, periods, hyphens and underscores. ");
    if (starts_ignoring_case(name, STR("AWS.")) || starts_ignoring_case(name, STR("Amazon.")) ||
        name.data[0] == '.' || name.data[name.size - 1] == '.' || has_double_dot(name))
        return SQS_FAIL(failure, INVALID_PARAMETER,
                        "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. "
                        "These strings are reserved for internal use. Additionally, they cannot "
                        "start or end with '.'.");
    return STATUS_OK;
}

static enum status check_type(struct str type, struct sqs_failure *failure)
{
    if (type.size == 0)
        return SQS_FAIL(failure, INVALID_PARAMETER, "Missing required parameter DataType");
    if (type.size > QUEUE_ATTRIBUTE_NAME_MAX)
        return SQS_FAIL(failure, INVALID_PARAMETER,
                        "Message (user) attribute types must be shorter than %d Bytes",
                        QUEUE_ATTRIBUTE_NAME_MAX);
    if (!is_type(type, STR("String")) && !is_type(type, STR("Number")) &&
        !attribute_is_binary(type))
        return SQS_FAIL(failure, INVALID_PARAMETER,
                        "Type for parameter MessageAttributes.Attribute_name.DataType must be "
                        "prefixed with \"String\", \"Binary\", or \"Number\", but was: %.*s",
                        STR_ARGS(type));
    return STATUS_OK;
}

static enum status check_value(const struct queue_attribute *attribute, struct sqs_failure *failure)
{
    struct str name = attribute->name, type = attribute->type;
    if (attribute->value.size == 0) {
        struct str base = type;
        base.size = MIN(base.size, (size_t)6); /* "String", "Number", "Binary" */
        return SQS_FAIL(failure, INVALID_PARAMETER,
                        "Message (user) attribute '%.*s' must contain a non-empty value of type "
                        "'%.*s'.",
                        STR_ARGS(name), STR_ARGS(base));
    }
    if (attribute_is_binary(type)) return STATUS_OK;
    if (is_type(type, STR("Number")) && !is_number(attribute->value))
        return SQS_FAIL(failure, INVALID_PARAMETER,
                        "Can't cast the value of message (user) attribute '%.*s' to a number.",
                        STR_ARGS(name));
    if (!has_valid_characters(attribute->value))
        return SQS_FAIL(failure, INVALID_PARAMETER, "%s", invalid_characters);
    return STATUS_OK;
}

/* Insertion: there are ten at most. */
static void sort_attributes(struct queue_attribute *attributes, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct queue_attribute one = attributes[i];
        size_t at = i;
        for (; at > 0 && str_compare(attributes[at - 1].name, one.name) > 0; at--)
            attributes[at] = attributes[at - 1];
        attributes[at] = one;
    }
}

static enum status check_attributes(struct sqs_attributes *attributes, struct sqs_failure *failure)
{
    if (attributes->count > QUEUE_ATTRIBUTES_MAX)
        return SQS_FAIL(failure, INVALID_PARAMETER,
                        "Number of message attributes [%zu] exceeds the allowed maximum [%d].",
                        attributes->count, QUEUE_ATTRIBUTES_MAX);
    sort_attributes(attributes->items, attributes->count);
    for (size_t i = 0; i < attributes->count; i++) {
        const struct queue_attribute *attribute = &attributes->items[i];
        TRY(check_name(attribute->name, failure));
        TRY(check_type(attribute->type, failure));
        TRY(check_value(attribute, failure));
        if (i > 0 && str_equal(attribute->name, attributes->items[i - 1].name))
            return SQS_FAIL(failure, INVALID_PARAMETER,
                            "Message (user) attribute name '%.*s' already exists.",
                            STR_ARGS(attribute->name));
    }
    return STATUS_OK;
}

/* AWS knows one, and so do we. */
static enum status check_system_attributes(const struct sqs_attributes *attributes,
                                           struct str *ret_trace_header,
                                           struct sqs_failure *failure)
{
    *ret_trace_header = STR_EMPTY;
    for (size_t i = 0; i < MIN(attributes->count, (size_t)QUEUE_ATTRIBUTES_MAX); i++) {
        const struct queue_attribute *attribute = &attributes->items[i];
        if (attributes->count > 1 || !str_equal(attribute->name, STR("AWSTraceHeader")))
            return SQS_FAIL(failure, INVALID_PARAMETER,
                            "Message system attribute name '%.*s' is invalid: only "
                            "'AWSTraceHeader' is supported.",
                            (int)MIN(attribute->name.size, (size_t)QUEUE_ATTRIBUTE_NAME_MAX),
                            attribute->name.data);
        if (!str_equal(attribute->type, STR("String")) || attribute->value.size == 0 ||
            attribute->value.size > TRACE_HEADER_MAX || !has_valid_characters(attribute->value))
            return SQS_FAIL(failure, INVALID_PARAMETER,
                            "Message system attribute 'AWSTraceHeader' must be a non-empty value "
                            "of type 'String' of at most %d bytes.",
                            TRACE_HEADER_MAX);
        *ret_trace_header = attribute->value;
    }
    return STATUS_OK;
}

/* --- messages --------------------------------------------------------------------------------- */

size_t sqs_message_size(const struct sqs_entry *entry)
{
    size_t size = entry->body.size;
    for (size_t i = 0; i < MIN(entry->attributes.count, (size_t)QUEUE_ATTRIBUTES_MAX); i++) {
        const struct queue_attribute *attribute = &entry->attributes.items[i];
        size += attribute->name.size + attribute->type.size + attribute->value.size;
    }
    return size;
}

enum status sqs_id_check(struct str id, const char *parameter, struct sqs_failure *failure)
{
    bool valid = id.size >= 1 && id.size <= QUEUE_ID_MAX;
    for (size_t i = 0; valid && i < id.size; i++) valid = id.data[i] > 0x20 && id.data[i] < 0x7F;
    if (valid) return STATUS_OK;
    char reason[160];
    (void)snprintf(reason, sizeof reason,
                   "%s can only include alphanumeric and punctuation characters. 1 to %d in "
                   "length.",
                   parameter, QUEUE_ID_MAX);
    return sqs_fail_value(failure, id, parameter, reason);
}

static enum status check_ids(const struct sqs_entry *entry, bool fifo, struct sqs_failure *failure)
{
    if (fifo && !entry->group.data) return sqs_fail_missing(failure, "MessageGroupId");
    if (entry->group.data) TRY(sqs_id_check(entry->group, "MessageGroupId", failure));
    if (!entry->deduplication_id.data) return STATUS_OK;
    if (!fifo)
        return sqs_fail_value(failure, entry->deduplication_id, "MessageDeduplicationId",
                              "The request includes a parameter that is not valid for this queue "
                              "type.");
    return sqs_id_check(entry->deduplication_id, "MessageDeduplicationId", failure);
}

static enum status check_delay(int64_t delay_s, bool fifo, struct sqs_failure *failure)
{
    if (delay_s == SQS_UNSET) return STATUS_OK;
    if (fifo && delay_s != 0)
        return sqs_fail_number(failure, delay_s, "DelaySeconds",
                               "The request include parameter that is not valid for this queue "
                               "type.");
    if (delay_s < 0 || delay_s > QUEUE_DELAY_S_MAX)
        return sqs_fail_number(failure, delay_s, "DelaySeconds",
                               "DelaySeconds must be >= 0 and <= 900.");
    return STATUS_OK;
}

enum status sqs_message_check(struct sqs_entry *entry, bool fifo,
                              struct queue_new_message *ret_message, struct sqs_failure *failure)
{
    struct str trace_header;
    if (entry->body.size == 0) return sqs_fail_missing(failure, "MessageBody");
    TRY(check_attributes(&entry->attributes, failure));
    TRY(check_system_attributes(&entry->system_attributes, &trace_header, failure));
    if (sqs_message_size(entry) > QUEUE_MESSAGE_SIZE_MAX)
        return SQS_FAIL(failure, INVALID_PARAMETER,
                        "One or more parameters are invalid. Reason: Message must be shorter than "
                        "%d bytes.",
                        QUEUE_MESSAGE_SIZE_MAX);
    if (!has_valid_characters(entry->body))
        return SQS_FAIL(failure, INVALID_MESSAGE_CONTENTS, "%s", invalid_characters);
    TRY(check_ids(entry, fifo, failure));
    TRY(check_delay(entry->delay_s, fifo, failure));
    *ret_message = (struct queue_new_message){
        .body = entry->body,
        .attributes = entry->attributes.items,
        .attribute_count = entry->attributes.count,
        .trace_header = trace_header,
        .group = entry->group,
        .deduplication_id = entry->deduplication_id,
        .delay_ms = entry->delay_s == SQS_UNSET || fifo ? -1 : entry->delay_s * 1000,
    };
    return STATUS_OK;
}

/* --- receipts --------------------------------------------------------------------------------- */

enum status sqs_receipt_check(const struct sqs_entry *entry, bool extends,
                              struct queue_receipt *ret_receipt, struct sqs_failure *failure)
{
    if (entry->receipt.size == 0) return sqs_fail_missing(failure, "ReceiptHandle");
    if (extends && entry->visibility_s == SQS_UNSET)
        return sqs_fail_missing(failure, "VisibilityTimeout");
    if (extends && (entry->visibility_s < 0 || entry->visibility_s > QUEUE_VISIBILITY_S_MAX))
        return sqs_fail_number(failure, entry->visibility_s, "VisibilityTimeout",
                               "Must be between 0 and 43200, if provided.");
    *ret_receipt = (struct queue_receipt){
        .receipt = entry->receipt,
        .visibility_ms = extends ? entry->visibility_s * 1000 : 0,
    };
    return STATUS_OK;
}

/* --- batches ---------------------------------------------------------------------------------- */

static enum status check_batch_id(const struct sqs_request *request, size_t index,
                                  struct sqs_failure *failure)
{
    struct str id = request->entries[index].id;
    bool valid = id.size >= 1 && id.size <= SQS_BATCH_ID_MAX;
    for (size_t i = 0; valid && i < id.size; i++) valid = is_word_byte(id.data[i]);
    if (!valid)
        return SQS_FAIL(failure, INVALID_BATCH_ID,
                        "A batch entry id can only contain alphanumeric characters, hyphens and "
                        "underscores. It can be at most %d letters long.",
                        SQS_BATCH_ID_MAX);
    for (size_t i = 0; i < index; i++)
        if (str_equal(request->entries[i].id, id))
            return SQS_FAIL(failure, BATCH_IDS_NOT_DISTINCT, "Id %.*s repeated.", STR_ARGS(id));
    return STATUS_OK;
}

enum status sqs_batch_check(const struct sqs_request *request, struct str operation,
                            struct sqs_failure *failure)
{
    size_t size = 0;
    if (request->entry_count == 0)
        return SQS_FAIL(failure, EMPTY_BATCH,
                        "There should be at least one %.*sRequestEntry in the request.",
                        STR_ARGS(operation));
    if (request->entry_count > SQS_ENTRIES_MAX)
        return SQS_FAIL(failure, TOO_MANY_ENTRIES,
                        "Maximum number of entries per request are %d. You have sent %zu.",
                        SQS_ENTRIES_MAX, request->entry_count);
    for (size_t i = 0; i < request->entry_count; i++) {
        TRY(check_batch_id(request, i, failure));
        size += sqs_message_size(&request->entries[i]);
    }
    if (size > QUEUE_MESSAGE_SIZE_MAX)
        return SQS_FAIL(failure, BATCH_TOO_LONG,
                        "Batch requests cannot be longer than %d bytes. You have sent %zu bytes.",
                        QUEUE_MESSAGE_SIZE_MAX, size);
    return STATUS_OK;
}
