/* Operations on messages: send, receive, delete, change visibility; one at a time and in batches.
 */
#include "queue/attributes.h"
#include "server/sqs_job.h"
#include "server/sqs_message.h"

enum { RECEIVE_MAX = QUEUE_BATCH_MAX, RECEIVE_WAIT_S_MAX = 20 };

/* Sequence numbers are as long as AWS's, so that they sort as texts. */
enum { NUMBER_SIZE_MAX = 24, SEQUENCE_WIDTH = 20 };

static struct str print_number(uint64_t value, int width, char text[NUMBER_SIZE_MAX])
{
    int size = snprintf(text, NUMBER_SIZE_MAX, "%0*llu", width, (unsigned long long)value);
    return (struct str){text, (size_t)size};
}

/* --- results of entries ----------------------------------------------------------------------- */

static void fail_entry(struct sqs_job *job, size_t entry, const struct sqs_failure *failure)
{
    job->results[entry].failed = true;
    job->results[entry].failure = *failure;
}

/* The entries that went to the queue are those that did not fail before. */
static void submit_entry(struct sqs_job *job, size_t entry)
{
    job->results[entry].failed = false;
    job->results[entry].index = job->submitted++;
}

static void write_failed(const struct sqs_job *job, struct sqs_out *out)
{
    bool begun = false;
    for (size_t i = 0; i < job->request.entry_count; i++) {
        const struct sqs_result *result = &job->results[i];
        if (!result->failed) continue;
        if (!begun) sqs_out_list_begin(out, "Failed");
        begun = true;
        sqs_out_item_begin(out, "BatchResultErrorEntry");
        sqs_out_text(out, "Id", job->request.entries[i].id);
        sqs_out_bool(out, "SenderFault", sqs_fault_is_senders(result->failure.fault));
        sqs_out_text(out, "Code", str_of(sqs_fault_code(result->failure.fault)));
        sqs_out_text(out, "Message", str_of(result->failure.error.message));
        sqs_out_item_end(out, "BatchResultErrorEntry");
    }
    if (begun) sqs_out_list_end(out);
}

/* --- sending ---------------------------------------------------------------------------------- */

static enum status no_deduplication_id(struct sqs_failure *failure)
{
    return SQS_FAIL(failure, INVALID_PARAMETER,
                    "The queue should either have ContentBasedDeduplication enabled or "
                    "MessageDeduplicationId provided explicitly");
}

/* What the queue found wrong with one message. */
static enum status check_sent(const struct queue_sent *sent, struct sqs_failure *failure)
{
    if (sent->status == STATUS_OK) return STATUS_OK;
    fail(&failure->error, sent->status, "%s", sent->reason ? sent->reason : "not accepted");
    return sqs_fail_named(failure);
}

static void ask_send(struct sqs_job *job)
{
    sqs_ask(job, QUEUE_SEND, job->queue);
    job->call.send = (struct queue_send){job->messages, job->submitted, job->sent};
}

/* True if the messages can only be taken by a queue that deduplicates by their content. */
static bool needs_content_id(const struct sqs_job *job, size_t count)
{
    if (!sqs_name_is_fifo(job->queue)) return false;
    for (size_t i = 0; i < count; i++)
        if (!job->request.entries[i].deduplication_id.data) return true;
    return false;
}

/* After a look at the queue, which was taken for that: AWS refuses a whole batch for it. */
static enum status check_content_id(const struct sqs_job *job, struct sqs_failure *failure)
{
    TRY(sqs_check_outcome(job, failure));
    if (job->call.description.settings.content_based_deduplication) return STATUS_OK;
    return no_deduplication_id(failure);
}

enum send_step { SEND_BEGIN, SEND_LOOKED, SEND_DONE };

static enum status begin_send(struct sqs_job *job, struct sqs_failure *failure)
{
    TRY(sqs_take_queue(job, failure));
    TRY(sqs_message_check(&job->request.entries[0], sqs_name_is_fifo(job->queue), &job->messages[0],
                          failure));
    submit_entry(job, 0);
    return STATUS_OK;
}

static enum status next_send(struct sqs_job *job, size_t count, bool *ret_ask,
                             struct sqs_failure *failure)
{
    *ret_ask = true;
    if (job->step == SEND_BEGIN && needs_content_id(job, count)) {
        job->step = SEND_LOOKED;
        sqs_ask(job, QUEUE_DESCRIBE, job->queue);
        return STATUS_OK;
    }
    if (job->step == SEND_LOOKED) TRY(check_content_id(job, failure));
    if (job->submitted == 0) *ret_ask = false;
    job->step = SEND_DONE;
    ask_send(job);
    return STATUS_OK;
}

enum status sqs_send_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    if (job->step == SEND_BEGIN) TRY(begin_send(job, failure));
    if (job->step != SEND_DONE) return next_send(job, 1, ret_ask, failure);
    *ret_ask = false;
    TRY(sqs_check_outcome(job, failure));
    return check_sent(&job->sent[0], failure);
}

/* Digest, id and number of what was sent: the same members for one and for many. */
static void write_sent(const struct sqs_job *job, size_t entry, struct sqs_out *out)
{
    const struct sqs_entry *message = &job->request.entries[entry];
    const struct queue_sent *sent = &job->sent[job->results[entry].index];
    char digest[MD5_HEX_SIZE], sequence[NUMBER_SIZE_MAX];
    if (md5_hex(message->body, digest)) sqs_out_text(out, "MD5OfMessageBody", str_of(digest));
    if (message->attributes.count > 0 &&
        attributes_md5(message->attributes.items, message->attributes.count, digest))
        sqs_out_text(out, "MD5OfMessageAttributes", str_of(digest));
    if (message->system_attributes.count > 0 &&
        attributes_md5(message->system_attributes.items, message->system_attributes.count, digest))
        sqs_out_text(out, "MD5OfMessageSystemAttributes", str_of(digest));
    sqs_out_text(out, "MessageId", sent->id);
    if (!sqs_name_is_fifo(job->queue)) return;
    sqs_out_text(out, "SequenceNumber", print_number(sent->sequence, SEQUENCE_WIDTH, sequence));
}

void sqs_send_reply(const struct sqs_job *job, struct sqs_out *out)
{
    write_sent(job, 0, out);
}

static enum status check_groups(const struct sqs_job *job, struct sqs_failure *failure)
{
    if (!sqs_name_is_fifo(job->queue)) return STATUS_OK;
    for (size_t i = 0; i < job->request.entry_count; i++)
        if (!job->request.entries[i].group.data)
            return SQS_FAIL(failure, INVALID_PARAMETER,
                            "The request must contain the parameter MessageGroupId.");
    return STATUS_OK;
}

static enum status begin_send_batch(struct sqs_job *job, struct sqs_failure *failure)
{
    TRY(sqs_take_queue(job, failure));
    TRY(sqs_batch_check(&job->request, job->operation->name, failure));
    TRY(check_groups(job, failure));
    bool fifo = sqs_name_is_fifo(job->queue);
    for (size_t i = 0; i < job->request.entry_count; i++) {
        struct sqs_failure one = {0};
        struct queue_new_message *message = &job->messages[job->submitted];
        if (sqs_message_check(&job->request.entries[i], fifo, message, &one) == STATUS_OK)
            submit_entry(job, i);
        else
            fail_entry(job, i, &one);
    }
    return STATUS_OK;
}

enum status sqs_send_batch_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    if (job->step == SEND_BEGIN) TRY(begin_send_batch(job, failure));
    if (job->step != SEND_DONE) return next_send(job, job->request.entry_count, ret_ask, failure);
    *ret_ask = false;
    TRY(sqs_check_outcome(job, failure));
    for (size_t i = 0; i < job->request.entry_count; i++) {
        struct sqs_failure one = {0};
        if (!job->results[i].failed &&
            check_sent(&job->sent[job->results[i].index], &one) != STATUS_OK)
            fail_entry(job, i, &one);
    }
    return STATUS_OK;
}

void sqs_send_batch_reply(const struct sqs_job *job, struct sqs_out *out)
{
    bool begun = false;
    for (size_t i = 0; i < job->request.entry_count; i++) {
        if (job->results[i].failed) continue;
        if (!begun) sqs_out_list_begin(out, "Successful");
        begun = true;
        sqs_out_item_begin(out, "SendMessageBatchResultEntry");
        sqs_out_text(out, "Id", job->request.entries[i].id);
        write_sent(job, i, out);
        sqs_out_item_end(out, "SendMessageBatchResultEntry");
    }
    if (begun) sqs_out_list_end(out);
    write_failed(job, out);
}

/* --- receiving -------------------------------------------------------------------------------- */

/* An attribute of a message that the system made: its name, and how it is told. */
enum system_attribute {
    SYSTEM_SENDER_ID,
    SYSTEM_SENT,
    SYSTEM_RECEIVE_COUNT,
    SYSTEM_FIRST_RECEIVED,
    SYSTEM_SEQUENCE,
    SYSTEM_DEDUPLICATION,
    SYSTEM_GROUP,
    SYSTEM_TRACE,
    SYSTEM_DEAD_LETTER_SOURCE,
    SYSTEM_COUNT,
};

static const char *const system_names[SYSTEM_COUNT] = {
    "SenderId",
    "SentTimestamp",
    "ApproximateReceiveCount",
    "ApproximateFirstReceiveTimestamp",
    "SequenceNumber",
    "MessageDeduplicationId",
    "MessageGroupId",
    "AWSTraceHeader",
    "DeadLetterQueueSourceArn",
};

static bool is_listed(const struct sqs_names *names, struct str name)
{
    for (size_t i = 0; i < names->count; i++)
        if (str_equal(names->items[i], name)) return true;
    return false;
}

/* The newer parameter and the older one, together. */
static bool wants_system(const struct sqs_request *request, const char *name)
{
    const struct sqs_names *const lists[] = {&request->system_names, &request->attribute_names};
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        if (is_listed(lists[i], STR("All")) || is_listed(lists[i], str_of(name))) return true;
    return false;
}

static enum status check_receive(const struct sqs_job *job, struct sqs_failure *failure)
{
    const struct sqs_request *request = &job->request;
    int64_t visibility = request->entries[0].visibility_s;
    if (request->messages_max != SQS_UNSET &&
        (request->messages_max < 1 || request->messages_max > RECEIVE_MAX))
        return sqs_fail_number(failure, request->messages_max, "MaxNumberOfMessages",
                               "Must be between 1 and 10, if provided.");
    if (request->wait_s != SQS_UNSET &&
        (request->wait_s < 0 || request->wait_s > RECEIVE_WAIT_S_MAX))
        return sqs_fail_number(failure, request->wait_s, "WaitTimeSeconds",
                               "Must be >= 0 and <= 20, if provided.");
    if (visibility != SQS_UNSET && (visibility < 0 || visibility > QUEUE_VISIBILITY_S_MAX))
        return sqs_fail_number(failure, visibility, "VisibilityTimeout",
                               "Must be between 0 and 43200, if provided.");
    if (!request->attempt_id.data) return STATUS_OK;
    if (!sqs_name_is_fifo(job->queue))
        return sqs_fail_value(failure, request->attempt_id, "ReceiveRequestAttemptId",
                              "The request include parameter that is not valid for this queue "
                              "type.");
    return sqs_id_check(request->attempt_id, "ReceiveRequestAttemptId", failure);
}

static int64_t milliseconds(int64_t seconds)
{
    return seconds == SQS_UNSET ? -1 : seconds * 1000;
}

enum status sqs_receive_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    const struct sqs_request *request = &job->request;
    *ret_ask = job->step == 0;
    if (job->step++ > 0) {
        /* A long poll that ends early, because the server does, has found nothing. */
        if (job->outcome.status != STATUS_CANCELLED) return sqs_check_outcome(job, failure);
        job->call.lease.count = 0;
        return STATUS_OK;
    }
    TRY(sqs_take_queue(job, failure));
    TRY(check_receive(job, failure));
    sqs_ask(job, QUEUE_LEASE, job->queue);
    job->call.lease = (struct queue_lease){
        .count_max = request->messages_max == SQS_UNSET ? 1 : (uint32_t)request->messages_max,
        .visibility_ms = milliseconds(request->entries[0].visibility_s),
        .wait_ms = milliseconds(request->wait_s),
        .attempt_id = request->attempt_id.data ? request->attempt_id : STR_EMPTY,
    };
    return STATUS_OK;
}

/* Name, All, * or .*, or a prefix: "order.*". */
static bool is_wanted(const struct sqs_names *names, struct str name)
{
    for (size_t i = 0; i < names->count; i++) {
        struct str pattern = names->items[i];
        if (str_equal(pattern, STR("All")) || str_equal(pattern, STR("*")) ||
            str_equal(pattern, name))
            return true;
        if (!str_ends_with(pattern, STR(".*"))) continue;
        pattern.size -= 2;
        if (str_starts_with(name, pattern)) return true;
    }
    return false;
}

/* data NULL: this message has none. `text` is room for a number. */
static struct str system_value(const struct sqs_job *job, const struct queue_message *message,
                               enum system_attribute attribute, char text[NUMBER_SIZE_MAX])
{
    const struct str none = {NULL, 0};
    bool fifo = sqs_name_is_fifo(job->queue);
    switch (attribute) {
    case SYSTEM_SENDER_ID: return job->site.account;
    case SYSTEM_SENT: return print_number(message->sent_ms, 1, text);
    case SYSTEM_RECEIVE_COUNT: return print_number(message->receive_count, 1, text);
    case SYSTEM_FIRST_RECEIVED: return print_number(message->first_received_ms, 1, text);
    case SYSTEM_SEQUENCE:
        return fifo ? print_number(message->sequence, SEQUENCE_WIDTH, text) : none;
    case SYSTEM_DEDUPLICATION: return fifo ? message->deduplication_id : none;
    case SYSTEM_GROUP: return message->group.size > 0 ? message->group : none;
    case SYSTEM_TRACE: return message->trace_header.size > 0 ? message->trace_header : none;
    case SYSTEM_DEAD_LETTER_SOURCE:
        if (message->dead_letter_source.size == 0) return none;
        return sqs_arn_of(&job->site, message->dead_letter_source, job->arena);
    case SYSTEM_COUNT: break;
    }
    return none;
}

static void write_system(const struct sqs_job *job, const struct queue_message *message,
                         struct sqs_out *out)
{
    bool begun = false;
    for (size_t i = 0; i < SYSTEM_COUNT; i++) {
        char text[NUMBER_SIZE_MAX];
        if (!wants_system(&job->request, system_names[i])) continue;
        struct str value = system_value(job, message, (enum system_attribute)i, text);
        if (!value.data) continue;
        if (!begun) sqs_out_map_begin(out, "Attributes");
        begun = true;
        sqs_out_map_text(out, "Attribute", str_of(system_names[i]), value);
    }
    if (begun) sqs_out_map_end(out);
}

static void write_attribute(const struct queue_attribute *attribute, struct sqs_out *out)
{
    sqs_out_map_item_begin(out, "MessageAttribute", attribute->name);
    if (attribute_is_binary(attribute->type))
        sqs_out_binary(out, "BinaryValue", attribute->value);
    else
        sqs_out_text(out, "StringValue", attribute->value);
    sqs_out_text(out, "DataType", attribute->type);
    sqs_out_map_item_end(out, "MessageAttribute");
}

/* The attributes asked for, and the digest of just these. */
static void write_attributes(const struct sqs_job *job, const struct queue_message *message,
                             struct sqs_out *out)
{
    struct queue_attribute wanted[QUEUE_ATTRIBUTES_MAX];
    char digest[MD5_HEX_SIZE];
    size_t count = 0;
    for (size_t i = 0; i < message->attribute_count && count < COUNT_OF(wanted); i++)
        if (is_wanted(&job->request.message_names, message->attributes[i].name))
            wanted[count++] = message->attributes[i];
    if (count == 0) return;
    if (attributes_md5(wanted, count, digest))
        sqs_out_text(out, "MD5OfMessageAttributes", str_of(digest));
    sqs_out_map_begin(out, "MessageAttributes");
    for (size_t i = 0; i < count; i++) write_attribute(&wanted[i], out);
    sqs_out_map_end(out);
}

static void write_message(const struct sqs_job *job, const struct queue_message *message,
                          struct sqs_out *out)
{
    char digest[MD5_HEX_SIZE];
    sqs_out_item_begin(out, "Message");
    sqs_out_text(out, "MessageId", message->id);
    sqs_out_text(out, "ReceiptHandle", message->receipt);
    if (md5_hex(message->body, digest)) sqs_out_text(out, "MD5OfBody", str_of(digest));
    sqs_out_text(out, "Body", message->body);
    write_system(job, message, out);
    write_attributes(job, message, out);
    sqs_out_item_end(out, "Message");
}

/* No message, no list: as AWS answers. */
void sqs_receive_reply(const struct sqs_job *job, struct sqs_out *out)
{
    const struct queue_lease *lease = &job->call.lease;
    if (lease->count == 0) return;
    sqs_out_list_begin(out, "Messages");
    for (size_t i = 0; i < lease->count; i++) write_message(job, &lease->messages[i], out);
    sqs_out_list_end(out);
}

/* --- receipts --------------------------------------------------------------------------------- */

/* True if it is the time that is refused, not the handle: what the two have in common is a status.
 */
static bool is_time(const struct queue_receipt *receipt)
{
    return receipt->reason && strstr(receipt->reason, "VisibilityTimeout") != NULL;
}

static enum status check_receipt(const struct queue_receipt *receipt, bool extends,
                                 struct sqs_failure *failure)
{
    enum status status = receipt->status;
    struct str handle = receipt->receipt;
    handle.size = MIN(handle.size, (size_t)256);
    if (status == STATUS_OK) return STATUS_OK;
    if (status == STATUS_INVALID_ARGUMENT && !is_time(receipt))
        return SQS_FAIL(failure, INVALID_RECEIPT,
                        "The input receipt handle \"%.*s\" is not a valid receipt handle.",
                        STR_ARGS(handle));
    if (status == STATUS_FAILED_PRECONDITION)
        return sqs_fail_value(failure, handle, "ReceiptHandle", "The receipt handle has expired.");
    if (status == STATUS_NOT_FOUND)
        return sqs_fail_value(failure, handle, "ReceiptHandle",
                              "Message does not exist or is not available for visibility timeout "
                              "change.");
    if (extends && status == STATUS_INVALID_ARGUMENT)
        return sqs_fail_number(failure, receipt->visibility_ms / 1000, "VisibilityTimeout",
                               "Total VisibilityTimeout for the message is beyond the limit [43200 "
                               "seconds]");
    fail(&failure->error, status, "%s", receipt->reason ? receipt->reason : "refused");
    return sqs_fail_named(failure);
}

static void ask_receipts(struct sqs_job *job, bool extends)
{
    sqs_ask(job, extends ? QUEUE_EXTEND : QUEUE_ACK, job->queue);
    job->call.receipts = (struct queue_receipts){job->receipts, job->submitted};
}

static enum status next_receipt(struct sqs_job *job, bool extends, bool *ret_ask,
                                struct sqs_failure *failure)
{
    *ret_ask = job->step == 0;
    if (job->step++ > 0) {
        TRY(sqs_check_outcome(job, failure));
        return check_receipt(&job->receipts[0], extends, failure);
    }
    TRY(sqs_take_queue(job, failure));
    TRY(sqs_receipt_check(&job->request.entries[0], extends, &job->receipts[0], failure));
    submit_entry(job, 0);
    ask_receipts(job, extends);
    return STATUS_OK;
}

static enum status begin_receipts(struct sqs_job *job, bool extends, struct sqs_failure *failure)
{
    TRY(sqs_take_queue(job, failure));
    TRY(sqs_batch_check(&job->request, job->operation->name, failure));
    for (size_t i = 0; i < job->request.entry_count; i++) {
        struct sqs_failure one = {0};
        struct queue_receipt *receipt = &job->receipts[job->submitted];
        if (sqs_receipt_check(&job->request.entries[i], extends, receipt, &one) == STATUS_OK)
            submit_entry(job, i);
        else
            fail_entry(job, i, &one);
    }
    return STATUS_OK;
}

static enum status next_receipts(struct sqs_job *job, bool extends, bool *ret_ask,
                                 struct sqs_failure *failure)
{
    if (job->step++ == 0) {
        TRY(begin_receipts(job, extends, failure));
        *ret_ask = job->submitted > 0;
        ask_receipts(job, extends);
        return STATUS_OK;
    }
    *ret_ask = false;
    TRY(sqs_check_outcome(job, failure));
    for (size_t i = 0; i < job->request.entry_count; i++) {
        struct sqs_failure one = {0};
        if (!job->results[i].failed &&
            check_receipt(&job->receipts[job->results[i].index], extends, &one) != STATUS_OK)
            fail_entry(job, i, &one);
    }
    return STATUS_OK;
}

enum status sqs_delete_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    return next_receipt(job, false, ret_ask, failure);
}

enum status sqs_extend_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    return next_receipt(job, true, ret_ask, failure);
}

enum status sqs_delete_batch_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    return next_receipts(job, false, ret_ask, failure);
}

enum status sqs_extend_batch_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    return next_receipts(job, true, ret_ask, failure);
}

void sqs_receipts_reply(const struct sqs_job *job, struct sqs_out *out)
{
    char element[64];
    (void)snprintf(element, sizeof element, "%.*sResultEntry", STR_ARGS(job->operation->name));
    bool begun = false;
    for (size_t i = 0; i < job->request.entry_count; i++) {
        if (job->results[i].failed) continue;
        if (!begun) sqs_out_list_begin(out, "Successful");
        begun = true;
        sqs_out_item_begin(out, element);
        sqs_out_text(out, "Id", job->request.entries[i].id);
        sqs_out_item_end(out, element);
    }
    if (begun) sqs_out_list_end(out);
    write_failed(job, out);
}
