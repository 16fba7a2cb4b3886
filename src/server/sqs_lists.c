/* Lists of queues, and redrives. */
#include "base/json.h"
#include "server/sqs_job.h"

enum {
    RESULTS_MAX = 1000, /* queues of one page */
    MOVES_MAX = 10,     /* redrives of one list */
    MOVE_RATE_MAX = 500,
};

/* --- queues ----------------------------------------------------------------------------------- */

static enum status prepare_page(struct sqs_job *job, struct sqs_failure *failure)
{
    const struct sqs_request *request = &job->request;
    struct queue_page *page = &job->call.page;
    int64_t wanted = request->results_max;
    if (wanted != SQS_UNSET && (wanted < 1 || wanted > RESULTS_MAX))
        return sqs_fail_number(failure, wanted, "MaxResults",
                               "MaxResults must be an integer between 1 and 1000.");
    page->count_max = wanted == SQS_UNSET ? RESULTS_MAX : (uint32_t)wanted;
    page->prefix = request->prefix.data ? request->prefix : STR_EMPTY;
    page->after = STR_EMPTY;
    if (request->token.size > 0 && (!sqs_token_read(request->token, job->arena, &page->after) ||
                                    !sqs_name_is_valid(page->after)))
        return SQS_FAIL(failure, INVALID_PARAMETER, "Invalid or expired next token.");
    return STATUS_OK;
}

/* AWS gives a token only to those who asked for pages. */
static enum status take_page(struct sqs_job *job, struct sqs_failure *failure)
{
    const struct queue_page *page = &job->call.page;
    TRY(sqs_check_outcome(job, failure));
    if (page->more && page->count > 0 && job->request.results_max != SQS_UNSET)
        job->token = sqs_token_write(page->queues[page->count - 1].name, job->arena);
    return STATUS_OK;
}

enum status sqs_list_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    *ret_ask = job->step == 0;
    if (job->step++ > 0) return take_page(job, failure);
    sqs_ask(job, QUEUE_LIST, STR_EMPTY);
    return prepare_page(job, failure);
}

enum status sqs_sources_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    *ret_ask = job->step < 2;
    switch (job->step++) {
    case 0:
        TRY(sqs_take_queue(job, failure));
        sqs_ask(job, QUEUE_DESCRIBE, job->queue);
        return STATUS_OK;
    case 1:
        TRY(sqs_check_outcome(job, failure));
        sqs_ask(job, QUEUE_LIST, STR_EMPTY);
        TRY(prepare_page(job, failure));
        job->call.page.dead_letter = job->queue;
        return STATUS_OK;
    default: return take_page(job, failure);
    }
}

static void write_urls(const struct sqs_job *job, struct sqs_out *out, const char *name)
{
    const struct queue_page *page = &job->call.page;
    sqs_out_list_begin(out, name);
    for (size_t i = 0; i < page->count; i++)
        sqs_out_text_item(out, "QueueUrl",
                          sqs_url_of(&job->site, page->queues[i].name, job->arena));
    sqs_out_list_end(out);
    sqs_out_text(out, "NextToken", job->token);
}

/* No queue, no list: as AWS answers. */
void sqs_list_reply(const struct sqs_job *job, struct sqs_out *out)
{
    if (job->call.page.count > 0) write_urls(job, out, "QueueUrls");
}

void sqs_sources_reply(const struct sqs_job *job, struct sqs_out *out)
{
    write_urls(job, out, "queueUrls");
}

/* --- redrives --------------------------------------------------------------------------------- */

static enum status take_arn(struct str arn, const char *parameter, struct str *ret_queue,
                            struct sqs_failure *failure)
{
    if (arn.size == 0) return sqs_fail_missing(failure, parameter);
    if (!sqs_queue_of_arn(arn, ret_queue))
        return SQS_FAIL(failure, INVALID_PARAMETER,
                        "You must use this format to specify the %s: "
                        "arn:<partition>:<service>:<region>:<account-id>:<resource-id>",
                        parameter);
    return STATUS_OK;
}

static enum status no_such_queue(const char *parameter, struct sqs_failure *failure)
{
    return SQS_FAIL(failure, RESOURCE_NOT_FOUND,
                    "The resource that you specified for the %s parameter doesn't exist.",
                    parameter);
}

/* NOT_FOUND names the parameter that named the queue. */
static enum status check_named(const struct sqs_job *job, const char *parameter,
                               struct sqs_failure *failure)
{
    if (job->outcome.status == STATUS_NOT_FOUND) return no_such_queue(parameter, failure);
    return sqs_check_outcome(job, failure);
}

static enum status check_move(struct sqs_job *job, struct sqs_failure *failure)
{
    const struct sqs_request *request = &job->request;
    int64_t rate = request->rate_max;
    TRY(take_arn(request->source_arn, "SourceArn", &job->queue, failure));
    job->move = (struct queue_move){.source = job->queue, .destination = STR_EMPTY};
    if (request->destination_arn.size > 0)
        TRY(take_arn(request->destination_arn, "DestinationArn", &job->move.destination, failure));
    if (rate != SQS_UNSET && (rate < 1 || rate > MOVE_RATE_MAX))
        return sqs_fail_number(failure, rate, "MaxNumberOfMessagesPerSecond",
                               "Must be between 1 and 500, if provided.");
    job->move.rate_max = rate == SQS_UNSET ? 0 : (uint32_t)rate;
    return STATUS_OK;
}

static void ask_start(struct sqs_job *job)
{
    sqs_ask(job, QUEUE_MOVE_START, job->move.source);
    job->call.move = job->move;
}

/* The handle that AWS's clients get tells of the queue as well: a cancel names nothing else. */
static enum status take_started(struct sqs_job *job, struct sqs_failure *failure)
{
    enum status status = job->outcome.status;
    if (status == STATUS_ABORTED || status == STATUS_ALREADY_EXISTS ||
        status == STATUS_FAILED_PRECONDITION)
        return SQS_FAIL(failure, INVALID_PARAMETER,
                        "There is already a task running. Only one active task is allowed for a "
                        "source queue arn at a given time.");
    TRY(check_named(job, "SourceArn", failure));
    job->move = job->call.move;
    return STATUS_OK;
}

enum status sqs_move_start_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    *ret_ask = true;
    switch (job->step++) {
    case 0:
        TRY(check_move(job, failure));
        sqs_ask(job, QUEUE_DESCRIBE, job->queue);
        return STATUS_OK;
    case 1:
        TRY(check_named(job, "SourceArn", failure));
        sqs_ask(job, QUEUE_LIST, STR_EMPTY);
        job->call.page = (struct queue_page){
            .prefix = STR_EMPTY, .after = STR_EMPTY, .count_max = 1, .dead_letter = job->queue};
        return STATUS_OK;
    case 2:
        TRY(sqs_check_outcome(job, failure));
        if (job->call.page.count == 0)
            return SQS_FAIL(failure, INVALID_PARAMETER,
                            "Source queue must be configured as a Dead Letter Queue.");
        if (job->move.destination.size == 0) {
            job->step = 4;
            ask_start(job);
        } else {
            sqs_ask(job, QUEUE_DESCRIBE, job->move.destination);
        }
        return STATUS_OK;
    case 3:
        TRY(check_named(job, "DestinationArn", failure));
        ask_start(job);
        return STATUS_OK;
    default: *ret_ask = false; return take_started(job, failure);
    }
}

static struct str write_handle(const struct sqs_job *job, const struct queue_move *move)
{
    struct buffer text CLEANUP(buffer_clear);
    struct json_writer writer;
    buffer_init(&text, 2048);
    json_writer_init(&writer, &text);
    json_begin_object(&writer);
    json_put_string(&writer, STR("taskId"), move->handle);
    json_put_string(&writer, STR("sourceArn"), sqs_arn_of(&job->site, move->source, job->arena));
    json_end_object(&writer);
    return sqs_token_write(buffer_view(&text), job->arena);
}

static bool read_handle(struct str handle, struct arena *arena, struct queue_move *move)
{
    struct str text, key, arn = STR_EMPTY;
    struct json_reader reader;
    struct error ignored;
    bool more;
    if (!sqs_token_read(handle, arena, &text)) return false;
    json_reader_init(&reader, text, arena);
    if (json_open_object(&reader, &ignored) != STATUS_OK) return false;
    while (json_next_member(&reader, &key, &more, &ignored) == STATUS_OK && more) {
        struct str *field = str_equal(key, STR("taskId")) ? &move->handle : &arn;
        if (json_peek(&reader) != JSON_STRING ||
            json_read_string(&reader, field, &ignored) != STATUS_OK)
            return false;
    }
    return move->handle.size > 0 && sqs_queue_of_arn(arn, &move->source);
}

void sqs_move_start_reply(const struct sqs_job *job, struct sqs_out *out)
{
    sqs_out_text(out, "TaskHandle", write_handle(job, &job->move));
}

enum status sqs_move_cancel_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    *ret_ask = job->step == 0;
    if (job->step++ == 0) {
        struct queue_move move = {.handle = STR_EMPTY};
        if (job->request.task_handle.size == 0) return sqs_fail_missing(failure, "TaskHandle");
        if (!read_handle(job->request.task_handle, job->arena, &move))
            return SQS_FAIL(failure, INVALID_PARAMETER,
                            "Value for parameter TaskHandle is invalid.");
        sqs_ask(job, QUEUE_MOVE_CANCEL, move.source);
        job->call.move = move;
        return STATUS_OK;
    }
    enum status status = job->outcome.status;
    if (status == STATUS_NOT_FOUND)
        return SQS_FAIL(failure, RESOURCE_NOT_FOUND, "Task does not exist.");
    if (status == STATUS_FAILED_PRECONDITION)
        return SQS_FAIL(failure, UNSUPPORTED, "Only active tasks can be cancelled.");
    return sqs_check_outcome(job, failure);
}

void sqs_move_cancel_reply(const struct sqs_job *job, struct sqs_out *out)
{
    sqs_out_u64(out, "ApproximateNumberOfMessagesMoved", job->call.move.moved);
}

enum status sqs_move_list_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    int64_t wanted = job->request.results_max;
    *ret_ask = job->step == 0;
    if (job->step++ > 0) return check_named(job, "SourceArn", failure);
    TRY(take_arn(job->request.source_arn, "SourceArn", &job->queue, failure));
    if (wanted != SQS_UNSET && (wanted < 1 || wanted > MOVES_MAX))
        return sqs_fail_number(failure, wanted, "MaxResults",
                               "MaxResults must be an integer between 1 and 10.");
    sqs_ask(job, QUEUE_MOVE_LIST, job->queue);
    job->call.moves = (struct queue_moves){.source = job->queue,
                                           .count_max = wanted == SQS_UNSET ? 1 : (uint32_t)wanted};
    return STATUS_OK;
}

static void write_move(const struct sqs_job *job, const struct queue_move *move,
                       struct sqs_out *out)
{
    if (strcmp(move->state, "RUNNING") == 0)
        sqs_out_text(out, "TaskHandle", write_handle(job, move));
    sqs_out_text(out, "Status", str_of(move->state));
    sqs_out_text(out, "SourceArn", sqs_arn_of(&job->site, move->source, job->arena));
    if (move->destination.size > 0)
        sqs_out_text(out, "DestinationArn", sqs_arn_of(&job->site, move->destination, job->arena));
    if (move->rate_max > 0) sqs_out_u64(out, "MaxNumberOfMessagesPerSecond", move->rate_max);
    sqs_out_u64(out, "ApproximateNumberOfMessagesMoved", move->moved);
    sqs_out_u64(out, "ApproximateNumberOfMessagesToMove", move->to_move);
    if (move->failure) sqs_out_text(out, "FailureReason", str_of(move->failure));
    sqs_out_u64(out, "StartedTimestamp", move->started_ms);
}

void sqs_move_list_reply(const struct sqs_job *job, struct sqs_out *out)
{
    const struct queue_moves *moves = &job->call.moves;
    sqs_out_list_begin(out, "Results");
    for (size_t i = 0; i < moves->count; i++) {
        sqs_out_item_begin(out, "ListMessageMoveTasksResult");
        write_move(job, &moves->moves[i], out);
        sqs_out_item_end(out, "ListMessageMoveTasksResult");
    }
    sqs_out_list_end(out);
}
