/* Attributes of queues, by a table. */
#include "server/sqs_settings.h"

#include "base/num.h"

enum {
    OTHER_SIZE_MAX =
        256 * 1024,      /* of all that is kept without effect; a policy has 64 KiB at AWS */
    RECEIVES_MAX = 1000, /* maxReceiveCount */
    NUMBER_SIZE_MAX = 21,
    WAIT_S_MAX = 20,
    KEY_REUSE_S_MIN = 60,
    KEY_REUSE_S_MAX = 86400,
};

/* How an attribute is set and printed. */
enum kind {
    KIND_NUMBER,        /* uint32_t between limits */
    KIND_FIFO,          /* the type: only said, and only when a queue is made */
    KIND_FLAG,          /* bool of a FIFO queue */
    KIND_CHOICE,        /* one of two texts, as a bool, of a FIFO queue */
    KIND_REDRIVE,       /* RedrivePolicy */
    KIND_REDRIVE_ALLOW, /* RedriveAllowPolicy */
    KIND_OTHER,         /* kept and told back */
    KIND_OTHER_NUMBER,  /* the same, between limits */
    KIND_READ,          /* told, never set */
    KIND_COUNT,         /* the same: a number of messages */
};

struct row {
    const char *name;
    enum kind kind;
    size_t offset; /* in struct queue_settings; KIND_COUNT: in struct queue_depth */
    uint32_t minimum, maximum;
    const char *choices[2]; /* for false, for true */
};

#define SETTING(field) offsetof(struct queue_settings, field)
#define DEPTH(field) offsetof(struct queue_depth, field)

static const struct row rows[] = {
    {"QueueArn", KIND_READ, 0, 0, 0, {0}},
    {"ApproximateNumberOfMessages", KIND_COUNT, DEPTH(visible), 0, 0, {0}},
    {"ApproximateNumberOfMessagesNotVisible", KIND_COUNT, DEPTH(in_flight), 0, 0, {0}},
    {"ApproximateNumberOfMessagesDelayed", KIND_COUNT, DEPTH(delayed), 0, 0, {0}},
    {"CreatedTimestamp", KIND_READ, 0, 0, 0, {0}},
    {"LastModifiedTimestamp", KIND_READ, 0, 0, 0, {0}},
    {"VisibilityTimeout", KIND_NUMBER, SETTING(visibility_s), 0, QUEUE_VISIBILITY_S_MAX, {0}},
    {"MaximumMessageSize",
     KIND_NUMBER,
     SETTING(message_size_max),
     1024,
     QUEUE_MESSAGE_SIZE_MAX,
     {0}},
    {"MessageRetentionPeriod",
     KIND_NUMBER,
     SETTING(retention_s),
     QUEUE_RETENTION_S_MIN,
     QUEUE_RETENTION_S_MAX,
     {0}},
    {"DelaySeconds", KIND_NUMBER, SETTING(delay_s), 0, QUEUE_DELAY_S_MAX, {0}},
    {"ReceiveMessageWaitTimeSeconds", KIND_NUMBER, SETTING(wait_s), 0, WAIT_S_MAX, {0}},
    {"FifoQueue", KIND_FIFO, SETTING(fifo), 0, 0, {0}},
    {"ContentBasedDeduplication",
     KIND_FLAG,
     SETTING(content_based_deduplication),
     0,
     0,
     {"false", "true"}},
    {"DeduplicationScope",
     KIND_CHOICE,
     SETTING(deduplicate_by_group),
     0,
     0,
     {"queue", "messageGroup"}},
    {"FifoThroughputLimit",
     KIND_CHOICE,
     SETTING(throughput_per_group),
     0,
     0,
     {"perQueue", "perMessageGroupId"}},
    {"RedrivePolicy", KIND_REDRIVE, 0, 0, 0, {0}},
    {"RedriveAllowPolicy", KIND_REDRIVE_ALLOW, 0, 0, 0, {0}},
    {"Policy", KIND_OTHER, 0, 0, 0, {0}},
    {"KmsMasterKeyId", KIND_OTHER, 0, 0, 0, {0}},
    {"KmsDataKeyReusePeriodSeconds", KIND_OTHER_NUMBER, 0, KEY_REUSE_S_MIN, KEY_REUSE_S_MAX, {0}},
    {"SqsManagedSseEnabled", KIND_OTHER, 0, 0, 0, {0}},
};

static const struct row *find_row(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (str_equal(name, str_of(rows[i].name))) return &rows[i];
    return NULL;
}

size_t sqs_attribute_count(void)
{
    return COUNT_OF(rows);
}

struct str sqs_attribute_name(size_t index)
{
    return str_of(rows[index].name);
}

bool sqs_attribute_find(struct str name, bool *ret_counts)
{
    const struct row *row = find_row(name);
    if (!row) return false;
    *ret_counts = row->kind == KIND_COUNT;
    return true;
}

static enum status no_memory(struct sqs_failure *failure)
{
    return fail(&failure->error, STATUS_EXHAUSTED, "no memory for the settings of a queue");
}

static enum status unknown(struct sqs_failure *failure, struct str name)
{
    name.size = MIN(name.size, (size_t)QUEUE_ATTRIBUTE_NAME_MAX);
    return SQS_FAIL(failure, INVALID_ATTRIBUTE_NAME, "Unknown Attribute %.*s.", STR_ARGS(name));
}

static enum status wrong_value(struct sqs_failure *failure, const struct row *row)
{
    return SQS_FAIL(failure, INVALID_ATTRIBUTE_VALUE, "Invalid value for the parameter %s.",
                    row->name);
}

/* --- kept without effect ---------------------------------------------------------------------- */

/* The members of settings->other; it is ours, so it reads. */
static size_t read_other(const struct queue_settings *settings, struct arena *arena,
                         struct sqs_pair pairs[COUNT_OF(rows)])
{
    struct json_reader reader;
    struct error ignored;
    size_t count = 0;
    bool more;
    json_reader_init(&reader, settings->other, arena);
    if (settings->other.size == 0 || json_open_object(&reader, &ignored) != STATUS_OK) return 0;
    while (count < COUNT_OF(rows) &&
           json_next_member(&reader, &pairs[count].name, &more, &ignored) == STATUS_OK && more &&
           json_read_string(&reader, &pairs[count].value, &ignored) == STATUS_OK)
        count++;
    return count;
}

struct str sqs_other_find(const struct queue_settings *settings, struct str name,
                          struct arena *arena)
{
    struct sqs_pair pairs[COUNT_OF(rows)];
    size_t count = read_other(settings, arena, pairs);
    for (size_t i = 0; i < count; i++)
        if (str_equal(pairs[i].name, name)) return pairs[i].value;
    return (struct str){NULL, 0};
}

enum status sqs_other_put(struct queue_settings *settings, const struct sqs_pair *pair,
                          struct arena *arena, struct sqs_failure *failure)
{
    struct sqs_pair pairs[COUNT_OF(rows)];
    size_t count = read_other(settings, arena, pairs), size;
    struct buffer text CLEANUP(buffer_clear);
    struct json_writer writer;
    buffer_init(&text, OTHER_SIZE_MAX);
    json_writer_init(&writer, &text);
    json_begin_object(&writer);
    size = text.size;
    for (size_t i = 0; i < count; i++)
        if (!str_equal(pairs[i].name, pair->name))
            json_put_string(&writer, pairs[i].name, pairs[i].value);
    if (pair->value.size > 0) json_put_string(&writer, pair->name, pair->value);
    bool empty = text.size == size;
    json_end_object(&writer);
    if (buffer_failed(&text))
        return SQS_FAIL(failure, INVALID_ATTRIBUTE_VALUE,
                        "Invalid value for the parameter %.*s. Reason: longer than %d bytes.",
                        STR_ARGS(pair->name), OTHER_SIZE_MAX);
    settings->other = empty ? STR_EMPTY : arena_try_copy(arena, buffer_view(&text));
    return settings->other.data ? STATUS_OK : no_memory(failure);
}

/* --- redrive ---------------------------------------------------------------------------------- */

static enum status wrong_policy(struct sqs_failure *failure, const struct sqs_pair *pair,
                                const char *reason)
{
    return sqs_fail_value(failure, pair->value, pair->name.data, reason);
}

/* A number, or a text of one. */
static bool read_count(struct json_reader *reader, struct str *ret_text)
{
    struct error ignored;
    enum json_kind kind = json_peek(reader);
    if (kind == JSON_STRING) return json_read_string(reader, ret_text, &ignored) == STATUS_OK;
    return kind == JSON_NUMBER && json_read_number(reader, ret_text, &ignored) == STATUS_OK;
}

struct redrive {
    struct str arn;
    struct str count;
};

static bool read_redrive(struct str text, struct arena *arena, struct redrive *redrive)
{
    struct json_reader reader;
    struct error ignored;
    json_reader_init(&reader, text, arena);
    if (json_open_object(&reader, &ignored) != STATUS_OK) return false;
    for (;;) {
        struct str key;
        bool more, read;
        if (json_next_member(&reader, &key, &more, &ignored) != STATUS_OK) return false;
        if (!more) return json_end(&reader, &ignored) == STATUS_OK;
        if (str_equal(key, STR("deadLetterTargetArn")))
            read = json_peek(&reader) == JSON_STRING &&
                   json_read_string(&reader, &redrive->arn, &ignored) == STATUS_OK;
        else if (str_equal(key, STR("maxReceiveCount")))
            read = read_count(&reader, &redrive->count);
        else
            read = json_skip(&reader, &ignored) == STATUS_OK;
        if (!read) return false;
    }
}

static enum status set_redrive(const struct sqs_pair *pair, const struct sqs_change *change,
                               struct queue_settings *settings, struct sqs_failure *failure)
{
    struct redrive redrive = {{0}, {0}};
    struct str name;
    uint64_t count;
    if (pair->value.size == 0) {
        settings->max_receive_count = 0;
        settings->dead_letter[0] = '\0';
        return STATUS_OK;
    }
    if (!read_redrive(pair->value, change->arena, &redrive))
        return wrong_policy(failure, pair, "Redrive policy is not a valid JSON map.");
    if (!redrive.arn.data)
        return wrong_policy(
            failure, pair,
            "Redrive policy does not contain mandatory attribute: deadLetterTargetArn.");
    if (!redrive.count.data)
        return wrong_policy(failure, pair,
                            "Redrive policy does not contain mandatory attribute: "
                            "maxReceiveCount.");
    if (!num_read_u64(redrive.count, &count) || count < 1 || count > RECEIVES_MAX)
        return wrong_policy(failure, pair,
                            "Invalid value for maxReceiveCount, valid values are from 1 to 1000 "
                            "both inclusive.");
    if (!sqs_queue_of_arn(redrive.arn, &name))
        return wrong_policy(failure, pair, "Invalid value for deadLetterTargetArn.");
    if (sqs_name_is_fifo(name) != sqs_name_is_fifo(change->queue))
        return wrong_policy(failure, pair,
                            "Dead-letter queue must be same type of queue as the source.");
    settings->max_receive_count = (uint32_t)count;
    memcpy(settings->dead_letter, name.data, name.size);
    settings->dead_letter[name.size] = '\0';
    return STATUS_OK;
}

/* What a RedriveAllowPolicy says. */
struct redrive_allow {
    struct str permission;
    bool lists; /* the queue that was looked for is among sourceQueueArns */
};

static bool read_sources(struct json_reader *reader, struct str queue, bool *ret_lists)
{
    struct error ignored;
    bool more;
    if (json_peek(reader) != JSON_ARRAY || json_open_array(reader, &ignored) != STATUS_OK)
        return false;
    while (json_next_element(reader, &more, &ignored) == STATUS_OK) {
        struct str arn, name;
        if (!more) return true;
        if (json_peek(reader) != JSON_STRING ||
            json_read_string(reader, &arn, &ignored) != STATUS_OK || !sqs_queue_of_arn(arn, &name))
            return false;
        *ret_lists |= str_equal(name, queue);
    }
    return false;
}

static bool read_redrive_allow(struct str text, struct str queue, struct arena *arena,
                               struct redrive_allow *allow)
{
    struct json_reader reader;
    struct error ignored;
    json_reader_init(&reader, text, arena);
    if (json_open_object(&reader, &ignored) != STATUS_OK) return false;
    for (;;) {
        struct str key;
        bool more, read;
        if (json_next_member(&reader, &key, &more, &ignored) != STATUS_OK) return false;
        if (!more) return json_end(&reader, &ignored) == STATUS_OK;
        if (str_equal(key, STR("redrivePermission")))
            read = json_peek(&reader) == JSON_STRING &&
                   json_read_string(&reader, &allow->permission, &ignored) == STATUS_OK;
        else if (str_equal(key, STR("sourceQueueArns")))
            read = read_sources(&reader, queue, &allow->lists);
        else
            read = json_skip(&reader, &ignored) == STATUS_OK;
        if (!read) return false;
    }
}

static bool is_redrive_allow(struct str text, struct arena *arena)
{
    struct redrive_allow allow = {STR_EMPTY, false};
    return read_redrive_allow(text, STR_EMPTY, arena, &allow) &&
           (str_equal(allow.permission, STR("allowAll")) ||
            str_equal(allow.permission, STR("denyAll")) ||
            str_equal(allow.permission, STR("byQueue")));
}

bool sqs_redrive_is_allowed(const struct queue_settings *settings, struct str source,
                            struct arena *arena)
{
    struct redrive_allow allow = {STR_EMPTY, false};
    if (settings->redrive_allow.size == 0) return true;
    if (!read_redrive_allow(settings->redrive_allow, source, arena, &allow)) return false;
    return str_equal(allow.permission, STR("allowAll")) ||
           (str_equal(allow.permission, STR("byQueue")) && allow.lists);
}

static enum status set_redrive_allow(const struct sqs_pair *pair, const struct sqs_change *change,
                                     struct queue_settings *settings, struct sqs_failure *failure)
{
    if (pair->value.size > 0 && !is_redrive_allow(pair->value, change->arena))
        return wrong_policy(failure, pair,
                            "redrivePermission must be allowAll, denyAll or byQueue.");
    settings->redrive_allow = pair->value;
    return STATUS_OK;
}

/* --- setting ---------------------------------------------------------------------------------- */

static enum status set_number(const struct row *row, struct str text, uint32_t *field,
                              struct sqs_failure *failure)
{
    uint64_t value;
    if (!num_read_u64(text, &value) || value < row->minimum || value > row->maximum)
        return wrong_value(failure, row);
    *field = (uint32_t)value;
    return STATUS_OK;
}

static enum status set_choice(const struct row *row, struct str text, bool *field,
                              struct sqs_failure *failure)
{
    for (size_t i = 0; i < COUNT_OF(row->choices); i++) {
        if (!str_equal_ignoring_case(text, str_of(row->choices[i]))) continue;
        *field = i == 1;
        return STATUS_OK;
    }
    return wrong_value(failure, row);
}

/* The type follows from the name; what is said of it must agree. */
static enum status set_fifo(struct str text, bool fifo, struct sqs_failure *failure)
{
    if (!fifo) return unknown(failure, STR("FifoQueue"));
    if (!str_equal_ignoring_case(text, STR("true")))
        return SQS_FAIL(failure, INVALID_ATTRIBUTE_VALUE,
                        "Invalid value for the parameter FifoQueue. Reason: Modifying queue type "
                        "is not supported.");
    return STATUS_OK;
}

static enum status set_other(const struct row *row, const struct sqs_pair *pair,
                             const struct sqs_change *change, struct queue_settings *settings,
                             struct sqs_failure *failure)
{
    uint32_t ignored;
    if (row->kind == KIND_OTHER_NUMBER && pair->value.size > 0)
        TRY(set_number(row, pair->value, &ignored, failure));
    return sqs_other_put(settings, pair, change->arena, failure);
}

static enum status set_one(const struct sqs_pair *pair, const struct sqs_change *change,
                           struct queue_settings *settings, struct sqs_failure *failure)
{
    const struct row *row = find_row(pair->name);
    bool fifo = sqs_name_is_fifo(change->queue);
    if (!row || row->kind == KIND_READ || row->kind == KIND_COUNT)
        return unknown(failure, pair->name);
    void *field = (char *)settings + row->offset;
    struct sqs_pair named = {str_of(row->name), pair->value};
    switch (row->kind) {
    case KIND_NUMBER: return set_number(row, pair->value, field, failure);
    case KIND_FIFO: return set_fifo(pair->value, fifo, failure);
    case KIND_FLAG:
        if (!fifo) return unknown(failure, pair->name);
        return set_choice(row, pair->value, field, failure);
    case KIND_CHOICE:
        if (!fifo)
            return SQS_FAIL(failure, INVALID_ATTRIBUTE_NAME,
                            "You can specify the %s only when FifoQueue is set to true.",
                            row->name);
        return set_choice(row, pair->value, field, failure);
    case KIND_REDRIVE: return set_redrive(&named, change, settings, failure);
    case KIND_REDRIVE_ALLOW: return set_redrive_allow(&named, change, settings, failure);
    case KIND_OTHER:
    case KIND_OTHER_NUMBER: return set_other(row, &named, change, settings, failure);
    case KIND_READ:
    case KIND_COUNT: break;
    }
    return unknown(failure, pair->name);
}

/* With FifoQueue comes the suffix, and the other way round. */
static enum status check_new_name(const struct sqs_pairs *attributes, struct str name,
                                  struct sqs_failure *failure)
{
    bool wanted = false, fifo = sqs_name_is_fifo(name);
    for (size_t i = 0; i < attributes->count; i++)
        if (str_equal(attributes->items[i].name, STR("FifoQueue")))
            wanted = str_equal_ignoring_case(attributes->items[i].value, STR("true"));
    if (wanted && (!fifo || !sqs_name_is_valid(name)))
        return SQS_FAIL(failure, INVALID_PARAMETER,
                        "The name of a FIFO queue can only include alphanumeric characters, "
                        "hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in "
                        "length");
    if (fifo != wanted || !sqs_name_is_valid(name))
        return SQS_FAIL(failure, INVALID_PARAMETER,
                        "Can only include alphanumeric characters, hyphens, or underscores. 1 to "
                        "80 in length");
    return STATUS_OK;
}

enum status sqs_settings_apply(const struct sqs_pairs *attributes, const struct sqs_change *change,
                               struct queue_settings *settings, struct sqs_failure *failure)
{
    if (change->creates) TRY(check_new_name(attributes, change->queue, failure));
    for (size_t i = 0; i < attributes->count; i++)
        TRY(set_one(&attributes->items[i], change, settings, failure));
    if (settings->throughput_per_group && !settings->deduplicate_by_group)
        return SQS_FAIL(failure, INVALID_ATTRIBUTE_VALUE,
                        "Invalid value for the parameter FifoThroughputLimit. Reason: "
                        "perMessageGroupId is allowed only when DeduplicationScope is set to "
                        "messageGroup.");
    return STATUS_OK;
}

/* --- printing --------------------------------------------------------------------------------- */

static struct str print_u64(uint64_t value, struct arena *arena)
{
    char *text = arena_try_aligned(arena, NUMBER_SIZE_MAX, 1);
    if (!text) return (struct str){NULL, 0};
    int size = snprintf(text, NUMBER_SIZE_MAX, "%llu", (unsigned long long)value);
    return (struct str){text, (size_t)size};
}

static struct str print_redrive(const struct sqs_view *view)
{
    const struct queue_settings *settings = &view->description->settings;
    if (!*settings->dead_letter) return (struct str){NULL, 0};
    struct str arn = sqs_arn_of(view->site, str_of(settings->dead_letter), view->arena);
    if (!arn.data) return arn;
    struct buffer text CLEANUP(buffer_clear);
    buffer_init(&text, 4096);
    struct json_writer writer;
    json_writer_init(&writer, &text);
    json_begin_object(&writer);
    json_put_string(&writer, STR("deadLetterTargetArn"), arn);
    json_put_u64(&writer, STR("maxReceiveCount"), settings->max_receive_count);
    json_end_object(&writer);
    if (buffer_failed(&text)) return (struct str){NULL, 0};
    return arena_try_copy(view->arena, buffer_view(&text));
}

static struct str print_read(const struct row *row, const struct sqs_view *view)
{
    const struct queue_description *description = view->description;
    struct str name = str_of(row->name);
    if (str_equal(name, STR("QueueArn")))
        return sqs_arn_of(view->site, description->name, view->arena);
    bool created = str_equal(name, STR("CreatedTimestamp"));
    return print_u64((created ? description->created_ms : description->modified_ms) / 1000,
                     view->arena);
}

static struct str print_row(const struct row *row, const struct sqs_view *view)
{
    const struct queue_settings *settings = &view->description->settings;
    const void *field = (const char *)settings + row->offset;
    const struct str none = {NULL, 0};
    switch (row->kind) {
    case KIND_NUMBER: return print_u64(*(const uint32_t *)field, view->arena);
    case KIND_FIFO: return settings->fifo ? STR("true") : none;
    case KIND_FLAG:
    case KIND_CHOICE: return settings->fifo ? str_of(row->choices[*(const bool *)field]) : none;
    case KIND_REDRIVE: return print_redrive(view);
    case KIND_REDRIVE_ALLOW: return settings->redrive_allow.size ? settings->redrive_allow : none;
    case KIND_OTHER:
    case KIND_OTHER_NUMBER: return sqs_other_find(settings, str_of(row->name), view->arena);
    case KIND_READ: return print_read(row, view);
    case KIND_COUNT:
        if (!view->depth) return none;
        return print_u64(*(const uint64_t *)(const void *)((const char *)view->depth + row->offset),
                         view->arena);
    }
    return none;
}

struct str sqs_settings_print(const struct sqs_view *view, struct str name)
{
    const struct row *row = find_row(name);
    return row ? print_row(row, view) : (struct str){NULL, 0};
}

const struct sqs_pair *sqs_settings_difference(const struct sqs_pairs *attributes,
                                               const struct sqs_view *ours,
                                               const struct sqs_view *theirs)
{
    for (size_t i = 0; i < attributes->count; i++) {
        struct str name = attributes->items[i].name;
        struct str wanted = sqs_settings_print(ours, name);
        struct str there = sqs_settings_print(theirs, name);
        if (wanted.size != there.size || !str_equal(wanted, there)) return &attributes->items[i];
    }
    return NULL;
}
