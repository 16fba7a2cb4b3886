/*
 * Jobs over HTTP: submission, a look at one, its result, the list, cancelling and running again.
 *
 * Everything here waits for the store, which answers on threads of its own. An errand is a request
 * on its way there and back; it lies in its exchange's arena, which is held until the errand is
 * over, also when the client is gone.
 */
#include "server/routes_jobs.h"

#include "base/json.h"
#include "base/num.h"
#include "jobs/change.h"
#include "jobs/json.h"
#include "jobs/keep.h"
#include "protocol/oip_binary.h"
#include "server/answer.h"
#include "server/errand.h"
#include "server/job_request.h"
#include "server/routes.h"

enum {
    LIST_LIMIT = 100, /* of who asks for none */
    LOCATION_SIZE = 64,
};

/* --- answers ---------------------------------------------------------------------------------- */

static void answer_conflict(struct server_thread *thread, struct http_exchange *exchange,
                            const struct error *err)
{
    struct failure failure = {409, STR_EMPTY, err};
    answer_failure_of(thread, exchange, &failure);
}

/* What the state of a job, or of its key, does not allow is a conflict. */
static void answer_job_failure(struct server_thread *thread, struct http_exchange *exchange,
                               const struct error *err)
{
    if (err->status == STATUS_FAILED_PRECONDITION || err->status == STATUS_ALREADY_EXISTS)
        answer_conflict(thread, exchange, err);
    else
        answer_failure(thread, exchange, err);
}

static void answer_job(struct server_thread *thread, struct http_exchange *exchange, int status,
                       const struct record *record, bool preferred)
{
    struct buffer *out = http_exchange_scratch(exchange);
    struct json_writer json;
    char location[LOCATION_SIZE];
    int length = snprintf(location, sizeof location, "/v2/jobs/%s", record->id);
    const struct http_field fields[] = {
        {STR("Location"), {location, (size_t)length}},
        {STR("Retry-After"), STR("1")},
        {STR("Preference-Applied"), STR("respond-async")},
    };
    json_writer_init(&json, out);
    job_json_write(record, true, &json);
    bool waits = !record_state_is_final(record->state);
    struct http_response response = {
        .status = status,
        .content_type = STR("application/json"),
        .fields = fields,
        .field_count = status == 202 ? (preferred ? 3 : 2)
                       : waits       ? 1
                                     : 0,
        .body = buffer_view(out),
    };
    answer_response(thread, exchange, &response);
}

/* --- submission ------------------------------------------------------------------------------- */

struct submit {
    struct errand errand;
    struct job_submission submission;
    struct record_payload kept;
    struct job_preference preference;
    char id[RECORD_ID_SIZE + 1]; /* of the job whose end is waited for */
    enum status status;
    struct error error;
};

/* True if the job's end is waited for, and answered then. */
static bool wait_for_end(struct submit *submit, const struct record *record)
{
    struct errand *errand = &submit->errand;
    struct server_thread *thread = errand->thread;
    struct http_exchange *exchange = errand->exchange;
    if (!submit->preference.async || !submit->preference.waits || errand->gone) return false;
    memcpy(submit->id, record->id, sizeof submit->id);
    return jobs_wait(thread, exchange, str_of(submit->id), &submit->preference);
}

static void submit_returned(struct errand *errand)
{
    struct submit *submit = CONTAINER_OF(errand, struct submit, errand);
    struct job_submission *submission = &submit->submission;
    const struct record *record = submission->existing ? &submission->found : &submission->record;
    struct exchange_user *user = NULL;
    if (submit->status != STATUS_OK)
        answer_job_failure(errand->thread, errand->exchange, &submit->error);
    else if (wait_for_end(submit, record))
        user = errand->exchange->user; /* the one who waits goes on with it */
    else
        answer_job(errand->thread, errand->exchange,
                   record_state_is_final(record->state) ? 200 : 202, record,
                   submit->preference.async);
    job_submission_clear(submission);
    struct http_exchange *exchange = errand->exchange;
    errand_end(errand);
    if (user) exchange->user = user; /* held by it as well */
}

static void submitted(struct job_submission *submission, enum status status,
                      const struct error *err)
{
    struct submit *submit = CONTAINER_OF(submission, struct submit, submission);
    submit->status = status;
    if (status != STATUS_OK) submit->error = *err;
    errand_return(&submit->errand);
}

/* What the synchronous call would have refused is refused now. */
static enum status validate(struct server_thread *thread, struct http_exchange *exchange,
                            struct submit *submit, struct payload *payload, struct error *err)
{
    const struct record *record = &submit->submission.record;
    const struct privacy_source source = keep_source(payload);
    struct serve_model *model;
    struct infer_request request;
    struct infer_bound bound;
    TRY(serve_find(thread->lane, record->model, record->version, &model, err));
    infer_request_init(&request, exchange->arena);
    request.model_name = record->model;
    TRY(payload_read(payload, serve_model_spec(model), &request, err));
    TRY(infer_request_bind(serve_model_spec(model), &request, &bound, err));
    keep_payload(&thread->options->jobs->options.input, model, PRIVACY_INPUT, &source,
                 exchange->arena, &submit->kept);
    submit->submission.kept = &submit->kept;
    return STATUS_OK;
}

static enum status read_payload(struct http_exchange *exchange, enum payload_face face,
                                struct payload *payload, struct error *err)
{
    struct str value = http_exchange_header(exchange, HTTP_HEADER_INFERENCE_HEADER_CONTENT_LENGTH);
    size_t header_size;
    payload->face = face;
    if (face != PAYLOAD_OIP || !value.data) return STATUS_OK;
    TRY(oip_binary_header_size(value, exchange->body.size, &header_size, err));
    payload->face = PAYLOAD_OIP_BINARY;
    payload->header_size = header_size;
    return STATUS_OK;
}

static enum status read_submission(struct server_thread *thread, struct http_exchange *exchange,
                                   const struct route_match *match, enum payload_face face,
                                   struct submit *submit, struct error *err)
{
    struct record *record = &submit->submission.record;
    struct payload payload = {0};
    bool private_is_allowed;
    bool may_be_wrapped = str_equal(str_of(match->route->name), STR("job submit"));
    record->model = match->captures[0];
    record->version = match->capture_count > 1 ? match->captures[1] : STR_EMPTY;
    TRY(read_payload(exchange, face, &payload, err));
    TRY(job_request_read(exchange, may_be_wrapped && payload.face == PAYLOAD_OIP,
                         jobs_now_ms(thread->options->jobs), record, &payload.body, err));
    if (record->callback.size)
        TRY(callback_rules_check(thread->options->jobs->options.callback_rules, record->callback,
                                 &private_is_allowed, err));
    TRY(validate(thread, exchange, submit, &payload, err));
    record->input = (struct record_payload){
        .bytes = payload.body,
        .type = payload_type(payload.face),
        .header_size = payload.header_size,
    };
    return STATUS_OK;
}

void jobs_submit(struct server_thread *thread, struct http_exchange *exchange,
                 const struct route_match *match, enum payload_face face)
{
    struct error err;
    struct submit *submit = errand_new_for_jobs(thread, exchange, sizeof *submit, &err);
    if (!submit) {
        answer_failure(thread, exchange, &err);
        return;
    }
    struct job_submission *submission = &submit->submission;
    if (read_submission(thread, exchange, match, face, submit, &err) != STATUS_OK) {
        answer_failure(thread, exchange, &err);
        return;
    }
    submit->preference = job_preference_read(http_exchange_header(exchange, HTTP_HEADER_PREFER));
    submission->jobs = thread->options->jobs;
    submission->done = submitted;
    errand_begin(&submit->errand, submit_returned);
    job_submit(submission);
}

void jobs_handle_submit(struct server_thread *thread, struct http_exchange *exchange,
                        const struct route_match *match)
{
    jobs_submit(thread, exchange, match, PAYLOAD_OIP);
}

/* --- the list --------------------------------------------------------------------------------- */

struct listing {
    struct errand errand;
    struct arena arena;
    struct store_call call;
    enum status status;
    struct error error;
};

static void listing_returned(struct errand *errand)
{
    struct listing *listing = CONTAINER_OF(errand, struct listing, errand);
    const struct store_list *list = &listing->call.list;
    if (listing->status != STATUS_OK) {
        answer_failure(errand->thread, errand->exchange, &listing->error);
    } else {
        struct buffer *out = http_exchange_scratch(errand->exchange);
        struct json_writer json;
        json_writer_init(&json, out);
        json_begin_object(&json);
        json_add_name(&json, STR("jobs"));
        json_begin_array(&json);
        for (size_t i = 0; i < list->count; i++) job_json_write(&list->records[i], false, &json);
        json_end_array(&json);
        if (list->next.size) json_put_string(&json, STR("next"), list->next);
        json_end_object(&json);
        answer_json(errand->thread, errand->exchange, buffer_view(out));
    }
    arena_clear(&listing->arena);
    errand_end(errand);
}

static void listed(struct store_call *call, enum status status, const struct error *err)
{
    struct listing *listing = call->context;
    listing->status = status;
    if (status != STATUS_OK) listing->error = *err;
    errand_return(&listing->errand);
}

static enum status read_states(struct str text, unsigned *ret_states, struct error *err)
{
    while (text.data) {
        struct str one = str_cut(&text, ',');
        enum record_state state;
        if (!record_state_of(one, &state))
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "state '%.*s' is unknown: pending, running, succeeded, failed, cancelled "
                        "and expired are known",
                        (int)MIN(one.size, (size_t)64), one.data);
        *ret_states |= 1u << state;
    }
    return STATUS_OK;
}

static enum status read_time_filter(const struct http_exchange *exchange, struct str name,
                                    uint64_t *us, struct error *err)
{
    uint64_t ms;
    struct str value = query_find(exchange->query, name, exchange->arena);
    if (!value.data) return STATUS_OK;
    if (!job_time_read(value, &ms))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%.*s' is '%.*s': expected a time like '2026-01-02T03:04:05Z' or seconds "
                    "since 1970",
                    STR_ARGS(name), (int)MIN(value.size, (size_t)64), value.data);
    *us = ms * 1000;
    return STATUS_OK;
}

static enum status read_list(const struct http_exchange *exchange, struct store_list *list,
                             struct error *err)
{
    struct arena *arena = exchange->arena;
    struct str query = exchange->query;
    struct str limit = query_find(query, STR("limit"), arena);
    uint64_t count = LIST_LIMIT;
    list->filter.model = query_find(query, STR("model"), arena);
    list->filter.version = query_find(query, STR("version"), arena);
    list->filter.group = query_find(query, STR("group"), arena);
    list->filter.key = query_find(query, STR("idempotency_key"), arena);
    list->filter.trace_id = query_find(query, STR("trace_id"), arena);
    list->filter.sources = 1u << RECORD_SOURCE_JOB;
    list->cursor = query_find(query, STR("cursor"), arena);
    list->ascending = str_equal(query_find(query, STR("order"), arena), STR("oldest"));
    list->without_payloads = true;
    TRY(read_states(query_find(query, STR("state"), arena), &list->filter.states, err));
    TRY(read_time_filter(exchange, STR("since"), &list->filter.since_us, err));
    TRY(read_time_filter(exchange, STR("until"), &list->filter.until_us, err));
    if (limit.data && (!num_read_u64(limit, &count) || count < 1 || count > STORE_LIST_MAX))
        return fail(err, STATUS_INVALID_ARGUMENT, "limit is '%.*s': expected 1 to %d",
                    (int)MIN(limit.size, (size_t)32), limit.data, STORE_LIST_MAX);
    list->count_max = (uint32_t)count;
    return STATUS_OK;
}

void jobs_handle_list(struct server_thread *thread, struct http_exchange *exchange,
                      const struct route_match *match UNUSED)
{
    struct error err;
    struct listing *listing = errand_new_for_jobs(thread, exchange, sizeof *listing, &err);
    if (!listing || read_list(exchange, &listing->call.list, &err) != STATUS_OK) {
        answer_failure(thread, exchange, &err);
        return;
    }
    arena_init(&listing->arena, JOB_ARENA_MAX + RECORD_PAYLOAD_MAX);
    listing->call.operation = STORE_LIST;
    listing->call.arena = &listing->arena;
    listing->call.done = listed;
    listing->call.context = listing;
    errand_begin(&listing->errand, listing_returned);
    struct error failure; /* once it is taken, the listing is `listed`'s */
    if (store_submit(thread->options->jobs->store, &listing->call, &failure) == STATUS_OK) return;
    listing->status = failure.status;
    listing->error = failure;
    errand_return(&listing->errand);
}

/* --- cancel and retry --------------------------------------------------------------------------
 */

struct changing {
    struct errand errand;
    struct job_change change;
    enum status status;
    struct error error;
};

static void change_returned(struct errand *errand)
{
    struct changing *changing = CONTAINER_OF(errand, struct changing, errand);
    if (changing->status != STATUS_OK) {
        answer_job_failure(errand->thread, errand->exchange, &changing->error);
    } else {
        /* The record as it was read, with what has become of it. */
        struct record record = changing->change.get.get.record;
        bool retried = changing->change.kind == JOB_RETRY;
        record.state = retried ? RECORD_PENDING : RECORD_CANCELLED;
        record.status = retried ? STATUS_OK : STATUS_CANCELLED;
        if (!retried) record.error = STR("cancelled by request");
        answer_job(errand->thread, errand->exchange, retried ? 202 : 200, &record, false);
    }
    job_change_clear(&changing->change);
    errand_end(errand);
}

static void changed(struct job_change *change, enum status status, const struct error *err)
{
    struct changing *changing = CONTAINER_OF(change, struct changing, change);
    changing->status = status;
    if (status != STATUS_OK) changing->error = *err;
    errand_return(&changing->errand);
}

static void handle_change(struct server_thread *thread, struct http_exchange *exchange,
                          const struct route_match *match, enum job_change_kind kind)
{
    struct error err;
    struct changing *changing = errand_new_for_jobs(thread, exchange, sizeof *changing, &err);
    if (!changing || errand_check_id(match->captures[0], &err) != STATUS_OK) {
        answer_failure(thread, exchange, &err);
        return;
    }
    changing->change.jobs = thread->options->jobs;
    changing->change.kind = kind;
    changing->change.id = match->captures[0];
    changing->change.done = changed;
    errand_begin(&changing->errand, change_returned);
    job_change(&changing->change);
}

void jobs_handle_cancel(struct server_thread *thread, struct http_exchange *exchange,
                        const struct route_match *match)
{
    handle_change(thread, exchange, match, JOB_CANCEL);
}

void jobs_handle_retry(struct server_thread *thread, struct http_exchange *exchange,
                       const struct route_match *match)
{
    handle_change(thread, exchange, match, JOB_RETRY);
}
