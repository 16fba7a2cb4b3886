/* What is asked of SQS. All of it blocks. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/rand.h"
#include "queue/queue_sqs_private.h"

#include <string.h>

enum {
    REQUEST_TIME_S = 10, /* of one request, besides what a receive waits */
    TIME_S = 20,         /* of one with all its tries: the end of a process waits for it */
    ENTRY_TRIES = 3,     /* of entries that failed while their batch did not */
    ATTEMPT_ID_SIZE = 32,
    ASK_WAIT = -1, /* a receive waits as long as the queue says */
};

/* --- one request ------------------------------------------------------------------------------ */

/* Which of SQS's names for it say more. */
static enum status rename_failure(const struct aws_reply *reply, enum status status,
                                  struct error *err)
{
    enum status named = sqs_status_of(reply->code, reply->message, status);
    if (named == status) named = sqs_status_of(reply->old_code, reply->message, status);
    err->status = named;
    return named;
}

/* The request is cleared. */
static enum status ask(struct queue_sqs *sqs, const char *target, struct buffer *request,
                       uint32_t wait_s, struct arena *arena, struct str *ret_body,
                       struct error *err)
{
    struct aws_reply reply = {0};
    const struct aws_json_request json = {
        .target = target,
        .body = buffer_view(request),
        .timeout_ns = (uint64_t)(TIME_S + wait_s) * NS_PER_S,
        .attempt_timeout_ns = (uint64_t)(REQUEST_TIME_S + wait_s) * NS_PER_S,
        .reply_size_max = SQS_REPLY_SIZE_MAX,
    };
    enum status status;
    if (buffer_failed(request))
        status = fail(err, STATUS_EXHAUSTED, "a request to SQS is larger than %d bytes",
                      SQS_REQUEST_SIZE_MAX);
    else if ((status = aws_json_call(sqs->client, &json, arena, &reply, err)) != STATUS_OK)
        status = rename_failure(&reply, status, err);
    else
        *ret_body = reply.body;
    buffer_clear(request);
    return status;
}

static void begin(struct buffer *request)
{
    buffer_init(request, SQS_REQUEST_SIZE_MAX);
}

enum status sqs_ask_url(struct queue_sqs *sqs, const struct sqs_queue_name *name,
                        struct arena *arena, struct str *ret_url, struct error *err)
{
    struct buffer request;
    struct str body;
    begin(&request);
    sqs_write_get_url(&request, name);
    TRY(ask(sqs, "AmazonSQS.GetQueueUrl", &request, 0, arena, &body, err));
    return sqs_read_text(body, "QueueUrl", arena, ret_url, err);
}

/* --- queues ----------------------------------------------------------------------------------- */

static enum status ask_state(struct queue_sqs *sqs, struct str name, struct arena *arena,
                             struct sqs_queue_state *ret_state, struct error *err)
{
    struct buffer request;
    struct str url, body;
    TRY(sqs_url(sqs, name, &url, err));
    begin(&request);
    sqs_write_get_attributes(&request, url);
    TRY(ask(sqs, "AmazonSQS.GetQueueAttributes", &request, 0, arena, &body, err));
    return sqs_read_attributes(body, arena, ret_state, err);
}

/* Of the dead-letter queue, which is named by its ARN; empty without one. */
static enum status ask_dead_arn(struct queue_sqs *sqs, const struct queue_settings *settings,
                                struct arena *arena, struct str *ret_arn, struct error *err)
{
    struct sqs_queue_state state;
    *ret_arn = STR_EMPTY;
    if (!*settings->dead_letter) return STATUS_OK;
    TRY(fail_while(err, ask_state(sqs, str_of(settings->dead_letter), arena, &state, err),
                   "dead-letter queue '%s'", settings->dead_letter));
    *ret_arn = state.arn;
    return STATUS_OK;
}

static enum status create(struct queue_sqs *sqs, struct queue_call *call, struct error *err)
{
    struct buffer request;
    struct str arn, body;
    TRY(ask_dead_arn(sqs, &call->description.settings, call->arena, &arn, err));
    begin(&request);
    sqs_write_create(&request, call->queue, &call->description, arn);
    return ask(sqs, "AmazonSQS.CreateQueue", &request, 0, call->arena, &body, err);
}

static enum status configure(struct queue_sqs *sqs, struct queue_call *call, struct error *err)
{
    struct sqs_queue_state now;
    struct buffer request;
    struct str arn, url, body;
    TRY(ask_state(sqs, call->queue, call->arena, &now, err));
    TRY(sqs_url(sqs, call->queue, &url, err));
    TRY(ask_dead_arn(sqs, &call->description.settings, call->arena, &arn, err));
    begin(&request);
    sqs_write_set_attributes(&request, url, &call->description.settings, arn,
                             *now.settings.dead_letter);
    return ask(sqs, "AmazonSQS.SetQueueAttributes", &request, 0, call->arena, &body, err);
}

static enum status describe(struct queue_sqs *sqs, struct queue_call *call, struct error *err)
{
    struct sqs_queue_state state;
    TRY(ask_state(sqs, call->queue, call->arena, &state, err));
    call->description = (struct queue_description){.name = call->queue,
                                                   .settings = state.settings,
                                                   .created_ms = state.created_ms,
                                                   .modified_ms = state.modified_ms};
    return STATUS_OK;
}

static enum status ask_depth(struct queue_sqs *sqs, struct queue_call *call, struct error *err)
{
    struct sqs_queue_state state;
    TRY(ask_state(sqs, call->queue, call->arena, &state, err));
    call->depth = state.depth;
    return STATUS_OK;
}

static enum status ask_by_url(struct queue_sqs *sqs, const char *target, struct queue_call *call,
                              struct error *err)
{
    struct buffer request;
    struct str url, body;
    TRY(sqs_url(sqs, call->queue, &url, err));
    begin(&request);
    sqs_write_url(&request, url);
    return ask(sqs, target, &request, 0, call->arena, &body, err);
}

/* --- sending ---------------------------------------------------------------------------------- */

static size_t size_of(const struct queue_new_message *message)
{
    size_t size = message->body.size;
    for (size_t i = 0; i < message->attribute_count; i++)
        size += message->attributes[i].name.size + message->attributes[i].type.size +
                message->attributes[i].value.size;
    return size;
}

/* How many from `at` on fit one request. */
static size_t batch_size(const struct queue_send *send, size_t at)
{
    size_t count = 1, size = size_of(&send->messages[at]);
    while (at + count < send->count && count < QUEUE_BATCH_MAX) {
        size += size_of(&send->messages[at + count]);
        if (size > QUEUE_MESSAGE_SIZE_MAX) break;
        count++;
    }
    return count;
}

static enum status send_some(struct queue_sqs *sqs, struct queue_call *call, struct str url,
                             size_t at, size_t count, struct error *err)
{
    const struct queue_new_message *messages = call->send.messages + at;
    const char *target = count == 1 ? "AmazonSQS.SendMessage" : "AmazonSQS.SendMessageBatch";
    struct buffer request;
    struct str body;
    begin(&request);
    sqs_write_send(&request, url, messages, count);
    TRY(ask(sqs, target, &request, 0, call->arena, &body, err));
    return sqs_read_sent(body, messages, count, call->arena, call->send.sent + at, err);
}

static void note_failure(struct queue_call *call, size_t at, size_t count, const struct error *err)
{
    struct str reason = arena_try_copy(call->arena, str_of(err->message));
    for (size_t i = at; i < at + count; i++)
        call->send.sent[i] = (struct queue_sent){
            .status = err->status, .reason = reason.data ? reason.data : "it was not sent"};
}

/* Those of a batch that SQS did not take by its own fault: each alone, which has tries of its own.
 */
static void send_again(struct queue_sqs *sqs, struct queue_call *call, struct str url, size_t at,
                       size_t count)
{
    struct error err;
    for (size_t i = at; i < at + count; i++)
        if (call->send.sent[i].status == STATUS_UNAVAILABLE ||
            call->send.sent[i].status == STATUS_EXHAUSTED)
            if (send_some(sqs, call, url, i, 1, &err) != STATUS_OK) note_failure(call, i, 1, &err);
}

static enum status check_possible(const struct queue_send *send, struct error *err)
{
    for (size_t i = 0; i < send->count; i++) {
        const struct queue_new_message *message = &send->messages[i];
        if (message->priority > 0 || message->id.size > 0)
            return fail(err, STATUS_UNIMPLEMENTED,
                        "SQS has neither priorities nor ids that the sender makes");
        if (message->delay_ms > QUEUE_DELAY_S_MAX * 1000)
            return fail(err, STATUS_INVALID_ARGUMENT, "SQS delays a message for %d s at most",
                        QUEUE_DELAY_S_MAX);
    }
    return STATUS_OK;
}

/* What fails as a whole before anything was taken fails the call; later it is those messages'. */
static enum status send_all(struct queue_sqs *sqs, struct queue_call *call, struct error *err)
{
    struct str url;
    TRY(check_possible(&call->send, err));
    TRY(sqs_url(sqs, call->queue, &url, err));
    for (size_t at = 0, count; at < call->send.count; at += count) {
        count = batch_size(&call->send, at);
        enum status status = send_some(sqs, call, url, at, count, err);
        if (status != STATUS_OK && at == 0) return status;
        if (status != STATUS_OK)
            note_failure(call, at, count, err);
        else if (count > 1)
            send_again(sqs, call, url, at, count);
    }
    return STATUS_OK;
}

enum status sqs_call(struct queue_sqs *sqs, struct queue_call *call, struct error *err)
{
    switch ((int)call->operation) {
    case QUEUE_CREATE: return create(sqs, call, err);
    case QUEUE_DELETE: return ask_by_url(sqs, "AmazonSQS.DeleteQueue", call, err);
    case QUEUE_DESCRIBE: return describe(sqs, call, err);
    case QUEUE_CONFIGURE: return configure(sqs, call, err);
    case QUEUE_DEPTH: return ask_depth(sqs, call, err);
    case QUEUE_PURGE: return ask_by_url(sqs, "AmazonSQS.PurgeQueue", call, err);
    case QUEUE_SEND: return send_all(sqs, call, err);
    default: return fail(err, STATUS_UNIMPLEMENTED, "SQS has no such operation");
    }
}

/* --- receipts --------------------------------------------------------------------------------- */

static enum status settle_some(struct queue_sqs *sqs, enum queue_operation operation,
                               struct str url, struct queue_receipt *const *receipts, size_t count,
                               struct arena *reasons, struct error *err)
{
    bool deletes = operation == QUEUE_ACK;
    const char *target =
        deletes ? "AmazonSQS.DeleteMessageBatch" : "AmazonSQS.ChangeMessageVisibilityBatch";
    struct buffer request;
    struct str body;
    begin(&request);
    sqs_write_receipts(&request, url, receipts, count, !deletes);
    TRY(ask(sqs, target, &request, 0, reasons, &body, err));
    return sqs_read_receipts(body, receipts, count, reasons, err);
}

static bool is_worth_more(enum status status)
{
    return status == STATUS_UNAVAILABLE || status == STATUS_EXHAUSTED;
}

/* One batch; those that failed by SQS's own fault once more, by themselves. */
static enum status settle_batch(struct queue_sqs *sqs, const struct queue_call *first,
                                struct str url, struct queue_receipt *const *receipts, size_t count,
                                struct arena *reasons, struct error *err)
{
    struct queue_receipt *left[QUEUE_BATCH_MAX];
    assert(count <= QUEUE_BATCH_MAX);
    memcpy(left, receipts, count * sizeof *left);
    for (int try = 0; try < ENTRY_TRIES && count > 0; try++) {
        size_t failed = 0;
        TRY(settle_some(sqs, first->operation, url, left, count, reasons, err));
        for (size_t i = 0; i < count; i++)
            if (is_worth_more(left[i]->status)) left[failed++] = left[i];
        count = failed;
    }
    return STATUS_OK;
}

enum status sqs_receipts(struct queue_sqs *sqs, const struct queue_call *first,
                         struct queue_receipt *const *receipts, size_t count, struct arena *reasons,
                         struct error *err)
{
    struct str url;
    for (size_t i = 0; i < count; i++) receipts[i]->reason = NULL;
    TRY(sqs_url(sqs, first->queue, &url, err));
    for (size_t at = 0; at < count; at += QUEUE_BATCH_MAX) {
        size_t some = MIN(count - at, (size_t)QUEUE_BATCH_MAX);
        TRY(settle_batch(sqs, first, url, receipts + at, some, reasons, err));
    }
    return STATUS_OK;
}

/* --- leases ----------------------------------------------------------------------------------- */

/* So that a receive that is asked again, since its answer was lost, brings the same messages. */
static enum status make_attempt_id(struct queue_call *call, struct error *err)
{
    struct queue_lease *lease = &call->lease;
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_HEX_SIZE];
    struct prng prng;
    prng_seed(&prng, prng_seed_from_system());
    const uint64_t chance[] = {prng_u64(&prng), prng_u64(&prng)};
    sha256_of((struct str){(const char *)chance, sizeof chance}, digest);
    sha256_hex(digest, text);
    lease->attempt_id = arena_try_copy(call->arena, (struct str){text, ATTEMPT_ID_SIZE});
    if (lease->attempt_id.data) return STATUS_OK;
    return fail(err, STATUS_EXHAUSTED, "no memory for a receive");
}

/* One ReceiveMessage, appended to the lease's messages. */
static enum status receive(struct queue_sqs *sqs, struct queue_call *call, struct str url,
                           int64_t wait_s, struct sqs_batch *ret_batch, struct error *err)
{
    struct queue_lease lease = call->lease;
    uint32_t room = lease.count_max - (uint32_t)lease.count;
    uint32_t longest_s = wait_s == ASK_WAIT ? SQS_WAIT_S_MAX : (uint32_t)wait_s;
    struct buffer request;
    struct str body;
    begin(&request);
    sqs_write_receive(&request, url, &lease, MIN(room, (uint32_t)QUEUE_BATCH_MAX), wait_s,
                      sqs_seconds(lease.visibility_ms));
    TRY(ask(sqs, "AmazonSQS.ReceiveMessage", &request, longest_s, call->arena, &body, err));
    TRY(sqs_read_messages(body, call->arena, ret_batch, err));
    if (ret_batch->count > room)
        return fail(err, STATUS_DATA_LOSS, "SQS sent more messages than were asked for");
    return STATUS_OK;
}

static void add_batch(struct queue_lease *lease, const struct sqs_batch *batch)
{
    uint64_t now_ms = clock_wall_ns() / NS_PER_MS;
    for (size_t i = 0; i < batch->count; i++) {
        struct queue_message *message = &lease->messages[lease->count++];
        *message = batch->messages[i];
        if (lease->visibility_ms >= 0)
            message->visible_ms = now_ms + (uint64_t)lease->visibility_ms;
    }
}

/* As many more as are there at once. What fails now is no failure of what came. */
static void fill_up(struct queue_sqs *sqs, struct queue_call *call, struct str url, size_t last)
{
    struct queue_lease *lease = &call->lease;
    struct sqs_batch batch;
    struct error err;
    bool own_id = lease->attempt_id.size > 0;
    while (last == QUEUE_BATCH_MAX && lease->count < lease->count_max) {
        if (own_id && make_attempt_id(call, &err) != STATUS_OK) return;
        if (receive(sqs, call, url, 0, &batch, &err) != STATUS_OK) return;
        add_batch(lease, &batch);
        last = batch.count;
    }
}

static int64_t next_wait_s(const struct queue_sqs *sqs, const struct queue_call *call)
{
    if (call->lease.wait_ms < 0) return ASK_WAIT;
    uint64_t now_ns = clock_monotonic_ns();
    if (call->deadline_ns <= now_ns) return 0;
    uint64_t left_s = (call->deadline_ns - now_ns - 1) / NS_PER_S + 1;
    return (int64_t)MIN(left_s, (uint64_t)sqs->poll_s);
}

static enum status check_damage(const struct sqs_batch *batch, struct error *err)
{
    if (batch->count > 0 || batch->damaged == 0) return STATUS_OK;
    return fail(err, STATUS_DATA_LOSS,
                "%zu messages came with other digests than SQS says they have; they come again",
                batch->damaged);
}

enum status sqs_lease(struct queue_sqs *sqs, struct queue_call *call, struct error *err)
{
    struct queue_lease *lease = &call->lease;
    struct sqs_batch batch = {0};
    struct str url;
    bool makes_ids = lease->attempt_id.size == 0 && str_ends_with(call->queue, STR(".fifo"));
    lease->count = 0;
    lease->messages = ARENA_TRY_ARRAY(call->arena, struct queue_message, lease->count_max);
    if (!lease->messages) return fail(err, STATUS_EXHAUSTED, "no memory for a receive");
    TRY(sqs_url(sqs, call->queue, &url, err));
    for (;;) {
        if (call->cancelled) return fail(err, STATUS_CANCELLED, "the wait was cancelled");
        int64_t wait_s = next_wait_s(sqs, call);
        if (makes_ids) TRY(make_attempt_id(call, err));
        TRY(receive(sqs, call, url, wait_s, &batch, err));
        TRY(check_damage(&batch, err));
        if (batch.count > 0 || wait_s <= 0) break;
    }
    add_batch(lease, &batch);
    fill_up(sqs, call, url, makes_ids || !lease->attempt_id.size ? batch.count : 0);
    return STATUS_OK;
}
