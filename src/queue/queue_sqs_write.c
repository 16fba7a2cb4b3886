/* Names of queues, and requests. */
#include "base/base64.h"
#include "base/json.h"
#include "queue/attributes.h"
#include "queue/queue_sqs_wire.h"
#include "queue/rules.h"

/* --- names ------------------------------------------------------------------------------------ */

static bool is_account(struct str text)
{
    bool digits = text.size == SQS_ACCOUNT_SIZE;
    for (size_t i = 0; digits && i < text.size; i++)
        digits = text.data[i] >= '0' && text.data[i] <= '9';
    return digits;
}

static enum status read_arn(struct str text, struct sqs_queue_name *name, struct error *err)
{
    struct str rest = text;
    (void)str_cut(&rest, ':'); /* "arn" */
    struct str partition = str_cut(&rest, ':');
    struct str service = rest.data ? str_cut(&rest, ':') : STR_EMPTY;
    name->region = rest.data ? str_cut(&rest, ':') : STR_EMPTY;
    name->account = rest.data ? str_cut(&rest, ':') : STR_EMPTY;
    name->name = rest.data ? rest : STR_EMPTY;
    if (partition.size > 0 && str_equal(service, STR("sqs")) && name->region.size > 0 &&
        name->region.size <= SQS_REGION_SIZE_MAX && is_account(name->account))
        return STATUS_OK;
    return fail(err, STATUS_INVALID_ARGUMENT,
                "'%.*s' is no ARN of a queue: it is arn:aws:sqs:REGION:ACCOUNT:NAME",
                STR_ARGS(text));
}

/* "sqs.eu-west-3.amazonaws.com", as AWS's own URLs have it; else empty. */
static struct str region_of_host(struct str host)
{
    struct str rest = host;
    if (!str_equal(str_cut(&rest, '.'), STR("sqs")) || !rest.data) return STR_EMPTY;
    struct str region = str_cut(&rest, '.');
    bool is_aws = rest.data && str_starts_with(rest, STR("amazonaws.com"));
    return is_aws ? region : STR_EMPTY;
}

static enum status read_url(struct str text, struct sqs_queue_name *name, struct error *err)
{
    struct str rest = str_from(text, str_starts_with(text, STR("https://")) ? 8 : 7);
    name->region = region_of_host(str_cut(&rest, '/'));
    name->url = text;
    while (rest.data) {
        name->account = name->name.data ? name->name : STR_EMPTY;
        name->name = str_cut(&rest, '/');
    }
    if (name->name.data && name->name.size > 0 && text.size <= SQS_URL_SIZE_MAX) {
        if (!is_account(name->account)) name->account = STR_EMPTY;
        return STATUS_OK;
    }
    return fail(err, STATUS_INVALID_ARGUMENT,
                "'%.*s' is no URL of a queue: it ends in /ACCOUNT/NAME", STR_ARGS(text));
}

enum status sqs_read_name(struct str text, struct sqs_queue_name *ret_name, struct error *err)
{
    struct sqs_queue_name name = {STR_EMPTY, STR_EMPTY, STR_EMPTY, STR_EMPTY};
    if (str_starts_with(text, STR("arn:")))
        TRY(read_arn(text, &name, err));
    else if (str_starts_with(text, STR("https://")) || str_starts_with(text, STR("http://")))
        TRY(read_url(text, &name, err));
    else
        name.name = text;
    TRY(fail_while(err, rules_check_name(name.name, err), "queue '%.*s'", STR_ARGS(text)));
    *ret_name = name;
    return STATUS_OK;
}

/* --- requests about queues -------------------------------------------------------------------- */

static void begin(struct json_writer *json, struct buffer *out, struct str url)
{
    json_writer_init(json, out);
    json_begin_object(json);
    if (url.size > 0) json_put_string(json, STR("QueueUrl"), url);
}

void sqs_write_url(struct buffer *out, struct str url)
{
    struct json_writer json;
    begin(&json, out, url);
    json_end_object(&json);
}

void sqs_write_get_url(struct buffer *out, const struct sqs_queue_name *name)
{
    struct json_writer json;
    begin(&json, out, STR_EMPTY);
    json_put_string(&json, STR("QueueName"), name->name);
    if (name->account.size > 0)
        json_put_string(&json, STR("QueueOwnerAWSAccountId"), name->account);
    json_end_object(&json);
}

static void add_all(struct json_writer *json, struct str name)
{
    json_add_name(json, name);
    json_begin_array(json);
    json_add_string(json, STR("All"));
    json_end_array(json);
}

void sqs_write_get_attributes(struct buffer *out, struct str url)
{
    struct json_writer json;
    begin(&json, out, url);
    add_all(&json, STR("AttributeNames"));
    json_end_object(&json);
}

/* All attributes of a queue are texts. */
static void put_number(struct json_writer *json, struct str name, uint64_t value)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    json_put_string(json, name, (struct str){text, (size_t)size});
}

static void put_redrive(struct json_writer *json, const struct queue_settings *settings,
                        struct str arn)
{
    struct buffer policy CLEANUP(buffer_clear);
    struct json_writer inner;
    buffer_init(&policy, 4096);
    json_writer_init(&inner, &policy);
    json_begin_object(&inner);
    json_put_string(&inner, STR("deadLetterTargetArn"), arn);
    json_put_u64(&inner, STR("maxReceiveCount"), settings->max_receive_count);
    json_end_object(&inner);
    json_put_string(json, STR("RedrivePolicy"), arn.size > 0 ? buffer_view(&policy) : STR_EMPTY);
}

static void put_fifo(struct json_writer *json, const struct queue_settings *settings)
{
    struct str yes = STR("true"), no = STR("false");
    json_put_string(json, STR("ContentBasedDeduplication"),
                    settings->content_based_deduplication ? yes : no);
    json_put_string(json, STR("DeduplicationScope"),
                    settings->deduplicate_by_group ? STR("messageGroup") : STR("queue"));
    json_put_string(json, STR("FifoThroughputLimit"),
                    settings->throughput_per_group ? STR("perMessageGroupId") : STR("perQueue"));
}

static void add_settings(struct json_writer *json, const struct queue_settings *settings,
                         struct str arn, bool creates, bool redrive)
{
    json_add_name(json, STR("Attributes"));
    json_begin_object(json);
    put_number(json, STR("VisibilityTimeout"), settings->visibility_s);
    put_number(json, STR("DelaySeconds"), settings->delay_s);
    put_number(json, STR("MessageRetentionPeriod"), settings->retention_s);
    put_number(json, STR("ReceiveMessageWaitTimeSeconds"), settings->wait_s);
    put_number(json, STR("MaximumMessageSize"), settings->message_size_max);
    if (settings->fifo && creates) json_put_string(json, STR("FifoQueue"), STR("true"));
    if (settings->fifo) put_fifo(json, settings);
    if (redrive) put_redrive(json, settings, arn);
    if (settings->redrive_allow.size > 0)
        json_put_string(json, STR("RedriveAllowPolicy"), settings->redrive_allow);
    json_end_object(json);
}

void sqs_write_create(struct buffer *out, struct str name,
                      const struct queue_description *description, struct str dead_letter_arn)
{
    struct json_writer json;
    begin(&json, out, STR_EMPTY);
    json_put_string(&json, STR("QueueName"), name);
    add_settings(&json, &description->settings, dead_letter_arn, true, dead_letter_arn.size > 0);
    if (description->tag_count > 0) {
        json_add_name(&json, STR("tags"));
        json_begin_object(&json);
        for (size_t i = 0; i < description->tag_count; i++)
            json_put_string(&json, description->tags[i].name, description->tags[i].value);
        json_end_object(&json);
    }
    json_end_object(&json);
}

void sqs_write_set_attributes(struct buffer *out, struct str url,
                              const struct queue_settings *settings, struct str dead_letter_arn,
                              bool ends_redrive)
{
    struct json_writer json;
    begin(&json, out, url);
    add_settings(&json, settings, dead_letter_arn, false, dead_letter_arn.size > 0 || ends_redrive);
    json_end_object(&json);
}

/* --- requests about messages ------------------------------------------------------------------ */

int64_t sqs_seconds(int64_t ms)
{
    return ms <= 0 ? ms : (ms - 1) / 1000 + 1;
}

static void put_base64(struct json_writer *json, struct str name, struct str bytes)
{
    struct buffer text CLEANUP(buffer_clear);
    buffer_init(&text, base64_encoded_size(SQS_ATTRIBUTE_VALUE_MAX));
    base64_encode(&text, bytes);
    if (buffer_failed(&text)) json->out->failed = true;
    json_put_string(json, name, buffer_view(&text));
}

static void add_attribute(struct json_writer *json, const struct queue_attribute *attribute)
{
    json_add_name(json, attribute->name);
    json_begin_object(json);
    json_put_string(json, STR("DataType"), attribute->type);
    if (attribute_is_binary(attribute->type))
        put_base64(json, STR("BinaryValue"), attribute->value);
    else
        json_put_string(json, STR("StringValue"), attribute->value);
    json_end_object(json);
}

static void add_trace_header(struct json_writer *json, struct str trace_header)
{
    const struct queue_attribute attribute = {STR("AWSTraceHeader"), STR("String"), trace_header};
    json_add_name(json, STR("MessageSystemAttributes"));
    json_begin_object(json);
    add_attribute(json, &attribute);
    json_end_object(json);
}

/* The members of a message, alone or of a batch. */
static void add_message(struct json_writer *json, const struct queue_new_message *message)
{
    json_put_string(json, STR("MessageBody"), message->body);
    if (message->delay_ms >= 0 && message->group.size == 0)
        json_put_i64(json, STR("DelaySeconds"), sqs_seconds(message->delay_ms));
    if (message->group.size > 0) json_put_string(json, STR("MessageGroupId"), message->group);
    if (message->deduplication_id.size > 0)
        json_put_string(json, STR("MessageDeduplicationId"), message->deduplication_id);
    if (message->attribute_count > 0) {
        json_add_name(json, STR("MessageAttributes"));
        json_begin_object(json);
        for (size_t i = 0; i < message->attribute_count; i++)
            add_attribute(json, &message->attributes[i]);
        json_end_object(json);
    }
    if (message->trace_header.size > 0) add_trace_header(json, message->trace_header);
}

static void begin_entry(struct json_writer *json, size_t index)
{
    const char id = (char)('0' + index);
    assert(index < QUEUE_BATCH_MAX);
    json_begin_object(json);
    json_put_string(json, STR("Id"), (struct str){&id, 1});
}

void sqs_write_send(struct buffer *out, struct str url, const struct queue_new_message *messages,
                    size_t count)
{
    struct json_writer json;
    begin(&json, out, url);
    if (count == 1) {
        add_message(&json, messages);
        json_end_object(&json);
        return;
    }
    json_add_name(&json, STR("Entries"));
    json_begin_array(&json);
    for (size_t i = 0; i < count; i++) {
        begin_entry(&json, i);
        add_message(&json, &messages[i]);
        json_end_object(&json);
    }
    json_end_array(&json);
    json_end_object(&json);
}

void sqs_write_receive(struct buffer *out, struct str url, const struct queue_lease *lease,
                       uint32_t count, int64_t wait_s, int64_t visibility_s)
{
    struct json_writer json;
    begin(&json, out, url);
    json_put_u64(&json, STR("MaxNumberOfMessages"), count);
    if (wait_s >= 0) json_put_i64(&json, STR("WaitTimeSeconds"), wait_s);
    if (visibility_s >= 0) json_put_i64(&json, STR("VisibilityTimeout"), visibility_s);
    /* The name before 2024 too: services that imitate AWS's may know no other. */
    add_all(&json, STR("AttributeNames"));
    add_all(&json, STR("MessageSystemAttributeNames"));
    add_all(&json, STR("MessageAttributeNames"));
    if (lease->attempt_id.size > 0)
        json_put_string(&json, STR("ReceiveRequestAttemptId"), lease->attempt_id);
    json_end_object(&json);
}

void sqs_write_receipts(struct buffer *out, struct str url, struct queue_receipt *const *receipts,
                        size_t count, bool visibility)
{
    struct json_writer json;
    begin(&json, out, url);
    json_add_name(&json, STR("Entries"));
    json_begin_array(&json);
    for (size_t i = 0; i < count; i++) {
        begin_entry(&json, i);
        json_put_string(&json, STR("ReceiptHandle"), receipts[i]->receipt);
        if (visibility)
            json_put_i64(&json, STR("VisibilityTimeout"), sqs_seconds(receipts[i]->visibility_ms));
        json_end_object(&json);
    }
    json_end_array(&json);
    json_end_object(&json);
}
