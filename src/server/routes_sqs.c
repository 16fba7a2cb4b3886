/*
 * SQS's protocol over HTTP. A request is a job whose steps ask a queue; between the steps the
 * loop's thread is free, and the exchange is held. Its memory is its own, since a database thread
 * writes into it.
 */
#include "server/routes_sqs.h"

#include "app/data.h"
#include "base/mem.h"
#include "server/answer.h"
#include "server/errand.h"
#include "server/sqs_auth.h"
#include "server/sqs_form.h"
#include "server/sqs_job.h"

enum {
    /* Ten messages of the largest size, twice, and what surrounds them. */
    JOB_MEMORY_MAX = 48 << 20,
    REQUEST_ID_SIZE = 37,
};

#define TARGET_PREFIX "AmazonSQS."
#define JSON_TYPE "application/x-amz-json-1.0"
#define FORM_TYPE "application/x-www-form-urlencoded"
#define XML_TYPE "text/xml"

/* One request on its way. */
struct handling {
    struct errand errand; /* first */
    struct arena arena;
    struct list link; /* in thread->waits while a queue may make it wait */
    bool xml;         /* the older protocol: a form came, XML goes */
    bool returns;     /* the client is gone: what was leased for it goes back */
    char request_id[REQUEST_ID_SIZE];
    struct sqs_failure failure;
    struct sqs_job job; /* last: its end is not zeroed */
};

static void advance(struct handling *handling);

/* --- answers ---------------------------------------------------------------------------------- */

static void print_hex(uint64_t value, size_t digits, char *text)
{
    for (size_t i = 0; i < digits; i++) text[i] = "0123456789abcdef"[value >> 4 * i & 15];
}

/* An identifier to quote in reports: the time, and a hash of it and of the thread. */
static void make_request_id(const struct server_thread *thread, char text[REQUEST_ID_SIZE])
{
    uint64_t now = clock_wall_ns();
    uint64_t mixed = (now ^ ((uint64_t)thread->index << 48)) * UINT64_C(0x9E3779B97F4A7C15);
    memcpy(text, "00000000-0000-0000-0000-000000000000", REQUEST_ID_SIZE);
    print_hex(now, 8, text);
    print_hex(now >> 32, 4, text + 9);
    print_hex(now >> 48, 4, text + 14);
    print_hex(mixed >> 48, 4, text + 19);
    print_hex(mixed, 12, text + 24);
}

static void finish(struct handling *handling)
{
    list_remove(&handling->link);
    errand_end(&handling->errand);
    arena_clear(&handling->arena);
    mem_free(handling);
}

static void answer_failed(struct handling *handling)
{
    struct sqs_failure *failure = &handling->failure;
    struct http_exchange *exchange = handling->errand.exchange;
    struct server_thread *thread = handling->errand.thread;
    (void)sqs_fail_named(failure);
    int status = sqs_fault_http(failure->fault);
    char code[128];
    (void)snprintf(code, sizeof code, "%s;%s", sqs_fault_code(failure->fault),
                   sqs_fault_is_senders(failure->fault) ? "Sender" : "Receiver");
    struct http_field fields[] = {{STR("x-amzn-query-error"), str_of(code)},
                                  {STR("x-amzn-RequestId"), str_of(handling->request_id)}};
    struct buffer *out = http_exchange_scratch(exchange);
    if (handling->xml)
        sqs_fault_write_xml(failure, str_of(handling->request_id), out);
    else
        sqs_fault_write(failure, out);
    struct http_response response = {
        .status = status,
        .content_type = handling->xml ? STR(XML_TYPE) : STR(JSON_TYPE),
        .fields = fields,
        .field_count = COUNT_OF(fields),
        .body = buffer_view(out),
    };
    struct failure logged = {status, str_of(handling->request_id), &failure->error};
    answer_log_failure(thread, exchange, &logged);
    answer_response(thread, exchange, &response);
    finish(handling);
}

static void answer_done(struct handling *handling)
{
    const struct sqs_job *job = &handling->job;
    struct http_exchange *exchange = handling->errand.exchange;
    struct buffer *buffer = http_exchange_scratch(exchange);
    struct sqs_out out;
    sqs_out_init(&out, buffer, handling->xml);
    sqs_out_begin(&out, job->operation->name);
    if (job->operation->reply) job->operation->reply(job, &out);
    sqs_out_end(&out, job->operation->name, str_of(handling->request_id));
    if (buffer_failed(buffer)) {
        fail(&handling->failure.error, STATUS_EXHAUSTED, "no memory for the answer");
        answer_failed(handling);
        return;
    }
    struct http_field fields[] = {{STR("x-amzn-RequestId"), str_of(handling->request_id)}};
    struct http_response response = {
        .status = 200,
        .content_type = handling->xml ? STR(XML_TYPE) : STR(JSON_TYPE),
        .fields = fields,
        .field_count = COUNT_OF(fields),
        .body = buffer_view(buffer),
    };
    answer_response(handling->errand.thread, exchange, &response);
    finish(handling);
}

/* --- asking queues ---------------------------------------------------------------------------- */

static void queue_done(struct queue_call *call, enum status status, const struct error *err)
{
    struct handling *handling = call->context;
    if (status == STATUS_OK)
        handling->job.outcome.status = STATUS_OK;
    else
        handling->job.outcome = *err;
    errand_return(&handling->errand);
}

static enum status submit(struct handling *handling, struct error *err)
{
    struct queue_call *call = &handling->job.call;
    struct server_thread *thread = handling->errand.thread;
    struct data_parts parts;
    TRY(data_get(thread->options->data, &parts, err));
    if (!parts.queues)
        return fail(err, STATUS_UNAVAILABLE,
                    "there are no queues here: data.url keeps results only");
    call->done = queue_done;
    call->context = handling;
    if (call->operation == QUEUE_LEASE) {
        if (thread->draining) call->lease.wait_ms = 0;
        list_add_last(&thread->waits, &handling->link);
    }
    return queue_submit(parts.queues, call, err);
}

/* Goes through the operation's steps as far as that goes without an answer of the queue. */
static void advance(struct handling *handling)
{
    struct sqs_job *job = &handling->job;
    for (;;) {
        bool ask = false;
        if (job->operation->next(job, &ask, &handling->failure) != STATUS_OK) {
            answer_failed(handling);
            return;
        }
        if (!ask) {
            answer_done(handling);
            return;
        }
        struct error err;
        if (submit(handling, &err) == STATUS_OK) return;
        list_remove(&handling->link);
        job->outcome = err;
    }
}

/*
 * Messages that were leased for a client that is gone: they go back, the receive not counted. If
 * that fails, they come back when their time is over.
 */
static bool give_back(struct handling *handling)
{
    struct sqs_job *job = &handling->job;
    struct error ignored;
    if (handling->returns || job->call.operation != QUEUE_LEASE ||
        job->outcome.status != STATUS_OK || job->call.lease.count == 0)
        return false;
    handling->returns = true;
    const struct queue_lease lease = job->call.lease;
    for (size_t i = 0; i < lease.count; i++)
        job->receipts[i] = (struct queue_receipt){.receipt = lease.messages[i].receipt};
    sqs_ask(job, QUEUE_NACK, job->queue);
    job->call.receipts = (struct queue_receipts){job->receipts, lease.count};
    return submit(handling, &ignored) == STATUS_OK;
}

static void returned(struct errand *errand)
{
    struct handling *handling = CONTAINER_OF(errand, struct handling, errand);
    list_remove(&handling->link);
    if (!errand->gone) {
        advance(handling);
        return;
    }
    if (!give_back(handling)) finish(handling);
}

static void end_wait(struct handling *handling)
{
    struct data_parts parts;
    struct error ignored;
    if (!list_is_linked(&handling->link)) return;
    if (data_get(handling->errand.thread->options->data, &parts, &ignored) == STATUS_OK)
        queue_cancel_wait(parts.queues, &handling->job.call);
}

static void on_abort(struct exchange_user *user)
{
    struct handling *handling = CONTAINER_OF(user, struct handling, errand.user);
    handling->errand.gone = true;
    end_wait(handling);
}

void sqs_end_waits(struct server_thread *thread)
{
    LIST_EACH(link, &thread->waits) end_wait(CONTAINER_OF(link, struct handling, link));
}

/* --- requests --------------------------------------------------------------------------------- */

static struct str target_of(const struct http_exchange *exchange)
{
    return http_exchange_header_find(exchange, STR("x-amz-target"));
}

static bool has_target(const struct http_exchange *exchange)
{
    struct str target = target_of(exchange);
    return target.data && str_starts_with(target, STR(TARGET_PREFIX));
}

static bool is_account(struct str text)
{
    bool digits = text.size > 0;
    for (size_t i = 0; i < text.size; i++)
        digits = digits && text.data[i] >= '0' && text.data[i] <= '9';
    return digits;
}

/* A form with an action to "/", or to a queue's own URL: an account's number and a name. A form is
 * also what curl says of JSON if nobody tells it better. */
static bool is_form(const struct http_exchange *exchange)
{
    struct str type = http_exchange_header(exchange, HTTP_HEADER_CONTENT_TYPE);
    struct str body = exchange->body, name;
    struct sqs_failure ignored;
    if (!type.data || !str_starts_with(type, STR(FORM_TYPE))) return false;
    if (body.size == 0 || !memmem(body.data, body.size, "Action=", strlen("Action="))) return false;
    if (str_equal(exchange->path, STR("/"))) return true;
    struct str rest = str_from(exchange->path, 1), account = str_cut(&rest, '/');
    return rest.data && is_account(account) && str_find(rest, '/') == SIZE_MAX &&
           sqs_queue_of_url(rest, &name, &ignored) == STATUS_OK;
}

void sqs_prepare(struct http_exchange *exchange)
{
    if (exchange->body_size_max > SQS_BODY_SIZE_MAX && has_target(exchange))
        exchange->body_size_max = SQS_BODY_SIZE_MAX;
}

bool sqs_is_request(const struct http_exchange *exchange)
{
    return exchange->method == HTTP_METHOD_POST && (has_target(exchange) || is_form(exchange));
}

static struct sqs_site site_of(const struct http_exchange *exchange,
                               const struct sqs_settings *settings, struct str region)
{
    struct str host = http_exchange_header(exchange, HTTP_HEADER_HOST);
    struct str scheme = http_exchange_header_find(exchange, STR("x-forwarded-proto"));
    bool https = scheme.data && str_equal_ignoring_case(scheme, STR("https"));
    return (struct sqs_site){
        .scheme = https ? STR("https") : STR("http"),
        .host = host.data ? host : STR("localhost"),
        .account = str_of(settings->account),
        .region = region,
    };
}

/* The body, and the operation's name from where this form has it. */
static enum status read_body(struct handling *handling, struct str *ret_name)
{
    const struct http_exchange *exchange = handling->errand.exchange;
    struct sqs_request *request = &handling->job.request;
    struct sqs_failure *failure = &handling->failure;
    if (!handling->xml) {
        *ret_name = str_from(target_of(exchange), sizeof TARGET_PREFIX - 1);
        return sqs_request_read_json(exchange->body, &handling->arena, request, failure);
    }
    TRY(sqs_request_read_form(exchange->body, &handling->arena, request, ret_name, failure));
    if (!request->queue_url.data && exchange->path.size > 1) request->queue_url = exchange->path;
    return STATUS_OK;
}

static enum status read_request(struct handling *handling)
{
    const struct http_exchange *exchange = handling->errand.exchange;
    const struct sqs_settings *settings = &handling->errand.thread->options->sqs;
    struct sqs_job *job = &handling->job;
    struct sqs_failure *failure = &handling->failure;
    struct str region, name;
    TRY(sqs_authenticate(settings, exchange, clock_wall_ns() / NS_PER_S, &region, failure));
    job->site = site_of(exchange, settings, region);
    TRY(read_body(handling, &name));
    job->operation = sqs_operation_find(name);
    if (job->operation) return STATUS_OK;
    return SQS_FAIL(failure, UNKNOWN_OPERATION, "The operation '%.*s' is not one of this server's",
                    (int)MIN(name.size, (size_t)80), name.data);
}

void sqs_handle(struct server_thread *thread, struct http_exchange *exchange)
{
    struct handling *handling = mem_try_new(sizeof *handling);
    if (!handling) {
        struct error err;
        fail(&err, STATUS_EXHAUSTED, "no memory for one more request");
        answer_failure(thread, exchange, &err);
        return;
    }
    memset(handling, 0, offsetof(struct handling, job) + offsetof(struct sqs_job, results));
    handling->errand.thread = thread;
    handling->errand.exchange = exchange;
    handling->xml = !has_target(exchange);
    handling->errand.user.on_abort = on_abort;
    handling->job.arena = &handling->arena;
    arena_init(&handling->arena, JOB_MEMORY_MAX);
    list_init(&handling->link);
    make_request_id(thread, handling->request_id);
    errand_begin(&handling->errand, returned);
    if (read_request(handling) == STATUS_OK)
        advance(handling);
    else
        answer_failed(handling);
}
