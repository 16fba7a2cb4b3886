/* One message: what it asks for, whether that is to be run, and how it went. */
#include "base/mem.h"
#include "jobs/keep.h"
#include "loop/loop.h"
#include "worker/parts.h"

static struct worker *worker_of(const struct work *work)
{
    return work->lease->consumer->worker;
}

/* --- what the message says -------------------------------------------------------------------- */

void work_open(struct work *work)
{
    work->kept_input.keep = work->kept_output.keep = RECORD_KEEP_OMITTED;
    work->is_job = work->lease->consumer->is_jobs && job_ticket_read(work->message, &work->ticket);
    if (work->is_job)
        (void)snprintf(work->id, sizeof work->id, "%.*s", STR_ARGS(work->ticket.job));
    else
        work_identify(work);
}

/* --- outcomes --------------------------------------------------------------------------------- */

void work_decide(struct work *work, enum work_outcome outcome)
{
    work->outcome = outcome;
    work->decided = true;
    if (work->state == WORK_WAITING) work->state = WORK_DECIDED;
}

/* Doubles with each receive; jittered, so that what failed together does not come back together. */
static uint64_t retry_pause_ms(struct work *work)
{
    uint32_t doublings = MIN(MAX(work->message->receive_count, 1u) - 1, 16u);
    uint64_t pause_ms = MIN((uint64_t)RETRY_MS_MIN << doublings, (uint64_t)RETRY_MS_MAX);
    return pause_ms / 2 + prng_below(&worker_of(work)->prng, pause_ms / 2 + 1);
}

static uint32_t receives_max(const struct work *work)
{
    const struct consumer *consumer = work->lease->consumer;
    uint32_t attempts = worker_of(work)->jobs->options.attempts_max;
    return work->is_job || !consumer->has_dead_letter ? attempts : consumer->max_receive_count;
}

/* What the same message may survive another time: an engine's failure, not that of its reading,
 * which is as it is. */
static bool is_transient(const struct work *work, enum status status)
{
    bool engine = work->state == WORK_RUNNING;
    return status_retryable(status) ||
           (engine &&
            (status == STATUS_INTERNAL || status == STATUS_UNKNOWN || status == STATUS_CANCELLED));
}

static void work_fail(struct work *work, const struct error *err)
{
    work->error = *err;
    work->error_status = err->status;
    bool again =
        is_transient(work, err->status) && work->message->receive_count < receives_max(work);
    work->retry_ms = retry_pause_ms(work);
    work_decide(work, again ? OUTCOME_RETRY : OUTCOME_FAILED);
}

static void work_return(struct work *work, uint64_t pause_ms)
{
    work->retry_ms = pause_ms;
    work_decide(work, OUTCOME_RETURN);
}

/* --- the run ---------------------------------------------------------------------------------- */

static struct work *work_of(struct serve_call *call)
{
    return CONTAINER_OF(call, struct work, call);
}

static enum status encode(struct work *work, struct error *err)
{
    struct infer_reply reply;
    TRY(serve_reply_make(&work->call, &work->request, &reply, err));
    return payload_write(&work->payload, &reply, &work->arena, &work->output, &work->output_type,
                         &work->output_header_size, err);
}

/* A message of others is acknowledged with its record: only a job has somebody who comes back. */
static void keep_output(struct work *work)
{
    const struct jobs_options *options = &worker_of(work)->jobs->options;
    const struct privacy_source source = {
        .body = buffer_view(&work->output),
        .type = work->output_type,
        .header_size = work->output_header_size,
        .is_json = true,
    };
    keep_payload(&options->output, work->call.model, PRIVACY_OUTPUT, &source, &work->arena,
                 &work->kept_output);
    if (!work->is_job || !options->result_ttl_ns || record_payload_is_whole(&work->kept_output))
        return;
    work->loan = (struct record_payload){
        .bytes = source.body, .type = source.type, .header_size = source.header_size};
}

static void keep_input(struct work *work)
{
    const struct privacy_source source = keep_source(&work->payload);
    if (work->is_job) return; /* was seen to when it was accepted */
    keep_payload(&worker_of(work)->jobs->options.input, work->call.model, PRIVACY_INPUT, &source,
                 &work->arena, &work->kept_input);
}

static void note_version(struct work *work)
{
    struct str version = serve_model_version(work->call.model);
    (void)snprintf(work->version, sizeof work->version, "%.*s", STR_ARGS(version));
}

static void on_done(struct serve_call *call, enum status status, const struct error *call_error)
{
    struct work *work = work_of(call);
    struct error err;
    if (status == STATUS_OK) {
        status = encode(work, &err);
        call_error = &err;
    }
    if (status == STATUS_OK) {
        keep_output(work);
        work_decide(work, OUTCOME_SUCCEEDED);
    } else if (status == STATUS_DEADLINE_EXCEEDED && call->deadline_ns) {
        work->error = *call_error;
        work->error_status = status;
        work_decide(work, OUTCOME_EXPIRED);
    } else {
        work_fail(work, call_error);
    }
}

static void on_release(struct serve_call *call)
{
    struct work *work = work_of(call);
    assert(work->state == WORK_RUNNING);
    work->state = WORK_DECIDED;
    if (!work->decided) work_return(work, 0); /* it was taken back */
    group_advance(work->group);
}

struct only_model {
    struct str name;
    size_t count; /* of names */
};

static void count_model(void *context, struct serve_model *model)
{
    struct only_model *only = context;
    struct str name = serve_model_name(model);
    if (only->count == 0 || !str_equal(only->name, name)) only->count++;
    only->name = name;
}

/* Of a message that others sent: what it says, what was set for its queue, or the only one. */
static enum status choose_model(struct work *work, struct str *ret_name, struct error *err)
{
    const struct consumer *consumer = work->lease->consumer;
    struct str named = job_attribute(work->message, STR("model"));
    struct only_model only = {STR_EMPTY, 0};
    serve_models_each(worker_of(work)->lane, count_model, &only);
    if (named.data)
        *ret_name = named;
    else if (consumer->model)
        *ret_name = str_of(consumer->model);
    else if (only.count == 1)
        *ret_name = only.name;
    else
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "the message names no model, and %zu are loaded: send the message attribute "
                    "'model', or set queue.models to '%s=MODEL'",
                    only.count, consumer->name);
    return STATUS_OK;
}

static void open_message(struct work *work)
{
    struct str type = job_attribute(work->message, STR("type"));
    work->payload.face = type.data ? payload_face_of(type) : payload_guess(work->message->body);
}

static enum status open_job(struct work *work, struct error *err)
{
    work->payload.face = payload_face_of(work->ticket.type);
    work->payload.header_size = work->ticket.header_size;
    if (!work->ticket.input_in_record) return STATUS_OK;
    const struct record_payload *input = record_whole_input(&work->record);
    if (!input)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "its input was not kept after it had failed (record.input, record.redact, or "
                    "the model's own rules): submit it as a new one");
    work->payload.body = input->bytes;
    return STATUS_OK;
}

/* What a record needs to name the model, also if the run fails. */
enum status work_name_model(struct work *work, struct error *err)
{
    if (!work->is_job) {
        TRY(choose_model(work, &work->ticket.model, err));
        work->ticket.version = job_attribute(work->message, STR("version"));
    }
    if (!work->ticket.version.data) work->ticket.version = STR_EMPTY;
    return STATUS_OK;
}

/* The rules of what is kept are the model's: it is looked for before anything may fail. */
static enum status find_model(struct work *work, struct error *err)
{
    enum status status = work_name_model(work, err);
    work->request.model_name = work->ticket.model;
    if (status == STATUS_OK)
        status = serve_find(worker_of(work)->lane, work->ticket.model, work->ticket.version,
                            &work->call.model, err);
    keep_input(work);
    return status;
}

static uint64_t deadline_ns(const struct work *work)
{
    const struct worker *worker = worker_of(work);
    uint64_t expires_ms = work->found ? work->record.expires_us / 1000 : 0;
    uint64_t now_ms = jobs_now_ms(worker->jobs);
    if (expires_ms == 0) return 0;
    return loop_now_ns(worker->loop) +
           MAX(expires_ms - MIN(now_ms, expires_ms), UINT64_C(1)) * NS_PER_MS;
}

static enum status submit(struct work *work, bool *ret_full, struct error *err)
{
    struct worker *worker = worker_of(work);
    struct serve_call *call = &work->call;
    *ret_full = false;
    infer_request_init(&work->request, &work->arena);
    serve_call_init(call);
    work->payload = (struct payload){.body = work->message->body};
    if (work->is_job)
        TRY(open_job(work, err));
    else
        open_message(work);
    TRY(find_model(work, err));
    TRY(payload_read(&work->payload, serve_model_spec(call->model), &work->request, err));
    TRY(infer_request_bind(serve_model_spec(call->model), &work->request, &call->bound, err));
    call->priority = work->request.priority;
    call->timeout_us = work->request.timeout_us;
    call->deadline_ns = deadline_ns(work);
    call->on_done = on_done;
    call->on_release = on_release;
    call->times.received_ns = loop_now_ns(worker->loop);
    *ret_full = true;
    note_version(work);
    return serve_submit(worker->lane, call, err);
}

static void run(struct work *work)
{
    struct worker *worker = worker_of(work);
    struct error err;
    bool full;
    work->started_us = jobs_now_ms(worker->jobs) * 1000;
    work->started_ns = loop_now_ns(worker->loop);
    if (submit(work, &full, &err) == STATUS_OK)
        work->state = WORK_RUNNING;
    else if (full)
        work_return(work, AGAIN_MS);
    else
        work_fail(work, &err);
}

/* --- whether to run --------------------------------------------------------------------------- */

static bool is_answered(const struct work *work)
{
    if (!work->found || !record_state_is_final(work->record.state)) return false;
    /* A failed job whose message is there has come back from the dead-letter queue: again. */
    return !(work->is_job && work->record.state == RECORD_FAILED);
}

static void fail_for_good(struct work *work, enum status status, const char *text)
{
    fail(&work->error, status, "%s", text);
    work->error_status = status;
    work_decide(work, OUTCOME_FAILED);
}

/* With the key of one that failed, but another message: sent again, or moved back from the
 * dead-letter queue, to be run again. */
static bool has_come_back(const struct work *work)
{
    const struct record *record = &work->record;
    return !work->is_job && work->key.size > 0 && record->state == RECORD_FAILED &&
           !(record->message_id.data && str_equal(record->message_id, work->message->id));
}

static void decide_answered(struct work *work)
{
    const struct consumer *consumer = work->lease->consumer;
    bool buries = queue_store_can(consumer->queues, QUEUE_BURY);
    if (work->is_job || work->record.state != RECORD_FAILED)
        work_decide(work, OUTCOME_SKIP);
    else if (consumer->has_dead_letter && !buries)
        work_decide(work, OUTCOME_LEAVE);
    else
        fail_for_good(work, work->record.status, "it had failed before");
}

static bool decide_by_record(struct work *work, uint64_t now_ms)
{
    const struct record *record = &work->record;
    uint64_t start_ms = record->start_us / 1000;
    if (work_conflicts(work)) {
        work->key = STR_EMPTY; /* which is the other one's */
        fail_for_good(work, STATUS_ALREADY_EXISTS,
                      "its idempotency key was used with another input");
    } else if (has_come_back(work)) {
        work->reruns = true;
        memcpy(work->id, record->id, sizeof work->id);
    } else if (is_answered(work)) {
        decide_answered(work);
    } else if (record->expires_us && record->expires_us / 1000 <= now_ms) {
        fail(&work->error, STATUS_DEADLINE_EXCEEDED, "the job's time was over before it was run");
        work->error_status = STATUS_DEADLINE_EXCEEDED;
        work_decide(work, OUTCOME_EXPIRED);
    } else if (start_ms > now_ms) {
        work_return(work, MIN(start_ms - now_ms, QUEUE_VISIBILITY_S_MAX * UINT64_C(1000)));
    }
    return work->decided;
}

static bool decide_by_message(struct work *work)
{
    if (worker_of(work)->draining || work->lookup_failed) {
        work_return(work, work->lookup_failed ? AGAIN_MS : 0);
    } else if (work->message->dead_letter_source.size && !work->is_job &&
               !work->lease->consumer->is_foreign) {
        work->lease->consumer->gone = true; /* a dead-letter queue since a moment ago */
        work_return(work, 0);
    } else if (work->lease->consumer->is_jobs && (!work->is_job || !work->found)) {
        work_decide(work, OUTCOME_SKIP); /* nobody's: its record was deleted */
    } else if (work->is_job && work->message->receive_count > receives_max(work)) {
        fail_for_good(work, STATUS_ABORTED,
                      "given up: each worker that began it ended before it was through");
    }
    return work->decided;
}

void work_start(struct work *work)
{
    uint64_t now_ms = jobs_now_ms(worker_of(work)->jobs);
    struct error err;
    if (decide_by_message(work)) return;
    if (!work->is_job && work_check(work, &err) != STATUS_OK) {
        work_fail(work, &err);
        return;
    }
    if (work->found && decide_by_record(work, now_ms)) return;
    run(work);
}

void work_abandon(struct work *work)
{
    if (work->state == WORK_RUNNING && !work->decided)
        serve_cancel(worker_of(work)->lane, &work->call);
}

/* --- "running" -------------------------------------------------------------------------------- */

struct mark {
    struct worker *worker;
    struct store_call call;
    struct mail mail;
    char id[RECORD_ID_SIZE + 1];
    char version[24];
    enum status status;
};

static void receive_mark(struct mail *mail)
{
    struct mark *mark = CONTAINER_OF(mail, struct mark, mail);
    struct worker *worker = mark->worker;
    if (mark->status == STATUS_OK) bell_ring(worker->jobs->bell, str_of(mark->id));
    mem_free(mark);
    worker_end_call(worker);
}

static void marked(struct store_call *call, enum status status, const struct error *err UNUSED)
{
    struct mark *mark = call->context;
    mark->status = status;
    loop_post(mark->worker->loop, &mark->mail);
}

/* Only what takes a while is written down as running: for the rest that would be one commit more
 * for nobody to see. */
void work_mark_running(struct work *work)
{
    struct mark *mark = MEM_NEW(struct mark);
    struct error err;
    work->marked = true;
    mark->worker = worker_of(work);
    mark->mail.receive = receive_mark;
    memcpy(mark->id, work->id, sizeof mark->id);
    memcpy(mark->version, work->version, sizeof mark->version);
    mark->call = (struct store_call){
        .operation = STORE_CHANGE,
        .done = marked,
        .context = mark,
        .change = {.id = str_of(mark->id),
                   .from = 1u << RECORD_PENDING,
                   .to = RECORD_RUNNING,
                   .started_us = work->started_us,
                   .version = str_of(mark->version),
                   .progress = -1},
    };
    worker_begin_call(mark->worker);
    mark->status = STATUS_UNAVAILABLE;
    if (store_submit(mark->worker->jobs->store, &mark->call, &err) != STATUS_OK)
        loop_post(mark->worker->loop, &mark->mail);
}
