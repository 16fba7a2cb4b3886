/* AwsJson1.0: members by a table. */
#include "server/sqs_request.h"

#include "base/base64.h"
#include "base/num.h"

enum kind {
    KIND_TEXT,
    KIND_INTEGER,
    KIND_NAMES,
    KIND_PAIRS,
    KIND_ATTRIBUTES,
    KIND_ENTRIES,
};

struct member {
    struct str name;
    enum kind kind;
    size_t offset;
};

#define MEMBER(text, kind, field)                                                                  \
    {                                                                                              \
        {"" text, sizeof(text) - 1}, KIND_##kind, offsetof(struct sqs_request, field)              \
    }
#define ENTRY_MEMBER(text, kind, field)                                                            \
    {                                                                                              \
        {"" text, sizeof(text) - 1}, KIND_##kind, offsetof(struct sqs_entry, field)                \
    }

static const struct member members[] = {
    MEMBER("QueueUrl", TEXT, queue_url),
    MEMBER("Entries", ENTRIES, entries),
    MEMBER("QueueName", TEXT, queue_name),
    MEMBER("MaxNumberOfMessages", INTEGER, messages_max),
    MEMBER("WaitTimeSeconds", INTEGER, wait_s),
    MEMBER("AttributeNames", NAMES, attribute_names),
    MEMBER("MessageSystemAttributeNames", NAMES, system_names),
    MEMBER("MessageAttributeNames", NAMES, message_names),
    MEMBER("ReceiveRequestAttemptId", TEXT, attempt_id),
    MEMBER("Attributes", PAIRS, attributes),
    MEMBER("tags", PAIRS, tags), /* of CreateQueue */
    MEMBER("Tags", PAIRS, tags), /* of TagQueue */
    MEMBER("TagKeys", NAMES, tag_keys),
    MEMBER("QueueNamePrefix", TEXT, prefix),
    MEMBER("NextToken", TEXT, token),
    MEMBER("MaxResults", INTEGER, results_max),
    MEMBER("SourceArn", TEXT, source_arn),
    MEMBER("DestinationArn", TEXT, destination_arn),
    MEMBER("MaxNumberOfMessagesPerSecond", INTEGER, rate_max),
    MEMBER("TaskHandle", TEXT, task_handle),
    MEMBER("Label", TEXT, label),
    MEMBER("AWSAccountIds", NAMES, accounts),
    MEMBER("Actions", NAMES, actions),
};

static const struct member entry_members[] = {
    ENTRY_MEMBER("Id", TEXT, id),
    ENTRY_MEMBER("MessageBody", TEXT, body),
    ENTRY_MEMBER("ReceiptHandle", TEXT, receipt),
    ENTRY_MEMBER("MessageAttributes", ATTRIBUTES, attributes),
    ENTRY_MEMBER("DelaySeconds", INTEGER, delay_s),
    ENTRY_MEMBER("VisibilityTimeout", INTEGER, visibility_s),
    ENTRY_MEMBER("MessageGroupId", TEXT, group),
    ENTRY_MEMBER("MessageDeduplicationId", TEXT, deduplication_id),
    ENTRY_MEMBER("MessageSystemAttributes", ATTRIBUTES, system_attributes),
};

/* What is being read: where the values go, and what to blame. */
struct reading {
    struct json_reader json;
    struct sqs_request *request;
    struct sqs_failure *failure;
};

static enum status read_member(struct reading *reading, const struct member *member, char *base);

static enum status no_memory(struct sqs_failure *failure)
{
    return fail(&failure->error, STATUS_EXHAUSTED, "no memory to read the request");
}

/* The same names for JSON's mistakes as AWS has; not for want of memory. */
static enum status check(struct reading *reading, enum status status)
{
    if (status == STATUS_INVALID_ARGUMENT && reading->failure->fault == SQS_FAULT_BY_STATUS)
        reading->failure->fault = SQS_FAULT_SERIALIZATION;
    return status;
}

#define JSON_TRY(reading, expression) TRY(check((reading), (expression)))

static const struct member *find_member(const struct member *table, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(table[i].name, name)) return &table[i];
    return NULL;
}

static enum status wrong_kind(struct reading *reading, struct str name, const char *expected)
{
    name.size = MIN(name.size, (size_t)QUEUE_ATTRIBUTE_NAME_MAX);
    return SQS_FAIL(reading->failure, SERIALIZATION, "%.*s is not %s", STR_ARGS(name), expected);
}

static enum status read_text(struct reading *reading, struct str name, struct str *ret_text)
{
    if (json_peek(&reading->json) != JSON_STRING) return wrong_kind(reading, name, "a string");
    JSON_TRY(reading, json_read_string(&reading->json, ret_text, &reading->failure->error));
    return STATUS_OK;
}

static enum status read_integer(struct reading *reading, struct str name, int64_t *ret_value)
{
    struct error ignored;
    if (json_peek(&reading->json) != JSON_NUMBER ||
        json_read_i64(&reading->json, ret_value, &ignored) != STATUS_OK)
        return wrong_kind(reading, name, "an integer");
    return STATUS_OK;
}

static enum status read_names(struct reading *reading, struct str name, struct sqs_names *names)
{
    struct error *err = &reading->failure->error;
    if (json_peek(&reading->json) != JSON_ARRAY) return wrong_kind(reading, name, "a list");
    names->items = ARENA_TRY_ARRAY(reading->request->arena, struct str, SQS_NAMES_MAX);
    if (!names->items) return no_memory(reading->failure);
    names->count = 0;
    JSON_TRY(reading, json_open_array(&reading->json, err));
    for (;;) {
        bool more;
        JSON_TRY(reading, json_next_element(&reading->json, &more, err));
        if (!more) return STATUS_OK;
        if (names->count == SQS_NAMES_MAX)
            return SQS_FAIL(reading->failure, INVALID_PARAMETER, "%.*s has more than %d elements",
                            STR_ARGS(name), SQS_NAMES_MAX);
        TRY(read_text(reading, name, &names->items[names->count]));
        names->count++;
    }
}

/* {"name": "value", ...}; of a repeated name the last counts. */
static enum status add_pair(struct reading *reading, struct str map, struct sqs_pairs *pairs,
                            const struct sqs_pair *pair)
{
    for (size_t i = 0; i < pairs->count; i++) {
        if (!str_equal(pairs->items[i].name, pair->name)) continue;
        pairs->items[i].value = pair->value;
        return STATUS_OK;
    }
    if (pairs->count == SQS_PAIRS_MAX)
        return SQS_FAIL(reading->failure, INVALID_PARAMETER, "%.*s has more than %d members",
                        STR_ARGS(map), SQS_PAIRS_MAX);
    pairs->items[pairs->count++] = *pair;
    return STATUS_OK;
}

static enum status read_pairs(struct reading *reading, struct str name, struct sqs_pairs *pairs)
{
    struct error *err = &reading->failure->error;
    if (json_peek(&reading->json) != JSON_OBJECT) return wrong_kind(reading, name, "a map");
    pairs->items = ARENA_TRY_ARRAY(reading->request->arena, struct sqs_pair, SQS_PAIRS_MAX);
    if (!pairs->items) return no_memory(reading->failure);
    pairs->count = 0;
    JSON_TRY(reading, json_open_object(&reading->json, err));
    for (;;) {
        struct sqs_pair pair;
        bool more;
        JSON_TRY(reading, json_next_member(&reading->json, &pair.name, &more, err));
        if (!more) return STATUS_OK;
        TRY(read_text(reading, pair.name, &pair.value));
        TRY(add_pair(reading, name, pairs, &pair));
    }
}

/* --- attributes of messages ------------------------------------------------------------------- */

static enum status read_binary(struct reading *reading, struct queue_attribute *attribute)
{
    struct str text;
    TRY(read_text(reading, attribute->name, &text));
    enum status status =
        base64_decode(text, reading->request->arena, &attribute->value, &reading->failure->error);
    if (status == STATUS_INVALID_ARGUMENT)
        return SQS_FAIL(reading->failure, SERIALIZATION, "BinaryValue of '%.*s' is not base64",
                        STR_ARGS(attribute->name));
    return status;
}

/* {"DataType": "...", "StringValue": "..." or "BinaryValue": base64}. Lists are kept for the future
 * by AWS, and empty. */
static enum status read_attribute(struct reading *reading, struct queue_attribute *attribute)
{
    struct error *err = &reading->failure->error;
    if (json_peek(&reading->json) != JSON_OBJECT)
        return wrong_kind(reading, attribute->name, "a map");
    JSON_TRY(reading, json_open_object(&reading->json, err));
    for (;;) {
        struct str key;
        bool more;
        JSON_TRY(reading, json_next_member(&reading->json, &key, &more, err));
        if (!more) return STATUS_OK;
        if (json_peek(&reading->json) == JSON_NULL)
            JSON_TRY(reading, json_read_null(&reading->json, err));
        else if (str_equal(key, STR("DataType")))
            TRY(read_text(reading, key, &attribute->type));
        else if (str_equal(key, STR("StringValue")))
            TRY(read_text(reading, key, &attribute->value));
        else if (str_equal(key, STR("BinaryValue")))
            TRY(read_binary(reading, attribute));
        else
            JSON_TRY(reading, json_skip(&reading->json, err));
    }
}

static enum status read_attributes(struct reading *reading, struct str name,
                                   struct sqs_attributes *attributes)
{
    struct error *err = &reading->failure->error;
    if (json_peek(&reading->json) != JSON_OBJECT) return wrong_kind(reading, name, "a map");
    attributes->items =
        ARENA_TRY_ARRAY(reading->request->arena, struct queue_attribute, QUEUE_ATTRIBUTES_MAX);
    if (!attributes->items) return no_memory(reading->failure);
    attributes->count = 0;
    JSON_TRY(reading, json_open_object(&reading->json, err));
    for (;;) {
        struct queue_attribute attribute = {{0}, {0}, {0}};
        bool more;
        JSON_TRY(reading, json_next_member(&reading->json, &attribute.name, &more, err));
        if (!more) return STATUS_OK;
        TRY(read_attribute(reading, &attribute));
        if (attributes->count < QUEUE_ATTRIBUTES_MAX)
            attributes->items[attributes->count] = attribute;
        attributes->count++;
    }
}

/* --- entries ---------------------------------------------------------------------------------- */

static void entry_init(struct sqs_entry *entry)
{
    *entry = (struct sqs_entry){.delay_s = SQS_UNSET, .visibility_s = SQS_UNSET};
}

static enum status read_entry(struct reading *reading, struct sqs_entry *entry)
{
    struct error *err = &reading->failure->error;
    if (json_peek(&reading->json) != JSON_OBJECT)
        return wrong_kind(reading, STR("An element of Entries"), "a map");
    entry_init(entry);
    JSON_TRY(reading, json_open_object(&reading->json, err));
    for (;;) {
        struct str key;
        bool more;
        JSON_TRY(reading, json_next_member(&reading->json, &key, &more, err));
        if (!more) return STATUS_OK;
        const struct member *member = find_member(entry_members, COUNT_OF(entry_members), key);
        TRY(read_member(reading, member, (char *)entry));
    }
}

static enum status read_entries(struct reading *reading)
{
    struct sqs_request *request = reading->request;
    struct error *err = &reading->failure->error;
    if (json_peek(&reading->json) != JSON_ARRAY)
        return wrong_kind(reading, STR("Entries"), "a list");
    request->entry_count = 0;
    JSON_TRY(reading, json_open_array(&reading->json, err));
    for (;;) {
        bool more;
        JSON_TRY(reading, json_next_element(&reading->json, &more, err));
        if (!more) return STATUS_OK;
        if (request->entry_count < SQS_ENTRIES_MAX)
            TRY(read_entry(reading, &request->entries[request->entry_count]));
        else
            JSON_TRY(reading, json_skip(&reading->json, err));
        request->entry_count++;
    }
}

/* --- all -------------------------------------------------------------------------------------- */

/* `member` NULL: unknown. `base` is the struct that the member's offset counts from. */
static enum status read_member(struct reading *reading, const struct member *member, char *base)
{
    struct error *err = &reading->failure->error;
    if (!member || json_peek(&reading->json) == JSON_NULL) {
        JSON_TRY(reading, json_skip(&reading->json, err));
        return STATUS_OK;
    }
    void *field = base + member->offset;
    switch (member->kind) {
    case KIND_TEXT: return read_text(reading, member->name, field);
    case KIND_INTEGER: return read_integer(reading, member->name, field);
    case KIND_NAMES: return read_names(reading, member->name, field);
    case KIND_PAIRS: return read_pairs(reading, member->name, field);
    case KIND_ATTRIBUTES: return read_attributes(reading, member->name, field);
    case KIND_ENTRIES: return read_entries(reading);
    }
    return STATUS_OK;
}

static enum status read_object(struct reading *reading)
{
    struct error *err = &reading->failure->error;
    struct sqs_request *request = reading->request;
    JSON_TRY(reading, json_open_object(&reading->json, err));
    for (;;) {
        struct str key;
        bool more;
        JSON_TRY(reading, json_next_member(&reading->json, &key, &more, err));
        if (!more) break;
        char *base = (char *)request;
        const struct member *member = find_member(members, COUNT_OF(members), key);
        if (!member) {
            member = find_member(entry_members, COUNT_OF(entry_members), key);
            base = (char *)request->entries;
        }
        TRY(read_member(reading, member, base));
    }
    JSON_TRY(reading, json_end(&reading->json, err));
    return STATUS_OK;
}

enum status sqs_request_init(struct sqs_request *request, struct arena *arena,
                             struct sqs_failure *failure)
{
    *request = (struct sqs_request){
        .results_max = SQS_UNSET,
        .messages_max = SQS_UNSET,
        .rate_max = SQS_UNSET,
        .wait_s = SQS_UNSET,
        .entries = ARENA_TRY_ARRAY(arena, struct sqs_entry, SQS_ENTRIES_MAX),
        .arena = arena,
    };
    if (!request->entries) return no_memory(failure);
    for (size_t i = 0; i < SQS_ENTRIES_MAX; i++) entry_init(&request->entries[i]);
    return STATUS_OK;
}

enum status sqs_request_read_json(struct str body, struct arena *arena,
                                  struct sqs_request *ret_request, struct sqs_failure *failure)
{
    TRY(sqs_request_init(ret_request, arena, failure));
    if (body.size == 0) return STATUS_OK;
    struct reading reading = {.request = ret_request, .failure = failure};
    json_reader_init(&reading.json, body, arena);
    return read_object(&reading);
}

enum status sqs_request_put(struct sqs_request *request, struct sqs_entry *entry, struct str name,
                            struct str value, struct sqs_failure *failure)
{
    char *base = (char *)entry;
    const struct member *member = find_member(entry_members, COUNT_OF(entry_members), name);
    if (!member) {
        member = find_member(members, COUNT_OF(members), name);
        base = (char *)request;
    }
    if (!member || (member->kind != KIND_TEXT && member->kind != KIND_INTEGER)) return STATUS_OK;
    void *field = base + member->offset;
    if (member->kind == KIND_TEXT)
        *(struct str *)field = value;
    else if (!num_read_i64(value, field))
        return SQS_FAIL(failure, SERIALIZATION, "%.*s is not an integer", STR_ARGS(name));
    return STATUS_OK;
}
