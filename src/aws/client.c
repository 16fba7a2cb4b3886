/* Signing, sending, and asking again. */
#include "aws/client.h"

#include "aws/endpoint.h"
#include "aws/retry.h"
#include "aws/signer.h"
#include "base/mem.h"

#include <pthread.h>
#include <time.h>

#define TIMEOUT_NS (60 * NS_PER_S)
#define ATTEMPT_TIMEOUT_NS (10 * NS_PER_S)
#define CONNECT_TIMEOUT_NS (3 * NS_PER_S)
#define PAUSE_SLICE_NS (100 * NS_PER_MS)

enum {
    REPLY_SIZE_MAX = 16 * 1024 * 1024,
    SCRATCH_SIZE_MAX = 1024 * 1024, /* headers and address of a request */
    SKEW_S_MIN = 240,               /* less is not why a signature was refused */
};

struct aws_client {
    char *service;
    char *region;
    char *endpoint;
    struct aws_credentials *credentials;
    struct clock *clock;
    unsigned attempts_max;
    void (*pause)(void *context, uint64_t ns);
    void *pause_context;

    pthread_mutex_t mutex; /* of all below */
    struct client_web *idle[AWS_CLIENT_IDLE_MAX];
    size_t idle_count;
    struct retry_budget budget;
    struct prng prng;
    int64_t skew_s; /* the service's clock less ours */
};

/* One call of aws_client_call. */
struct aws_call {
    struct aws_client *client;
    const struct aws_request *request;
    struct arena *arena;
    struct aws_reply *reply;
    struct error *err;
    uint64_t end_ns;      /* monotonic */
    struct aws_keys keys; /* of the last attempt */
    uint64_t now_s;       /* as it was signed */
    enum status status;   /* of the last attempt */
    bool renewed;         /* keys were, once */
    bool clock_set;       /* so was the clock */
};

/* --- life --------------------------------------------------------------------------------------
 */

enum status aws_client_new(const struct aws_client_options *options, struct aws_client **ret_client,
                           struct error *err)
{
    char *region CLEANUP(mem_freep) = NULL, *endpoint CLEANUP(mem_freep) = NULL;
    assert(options->service);
    TRY(client_web_start(err));
    TRY(aws_region_find(options->region, &region, err));
    TRY(aws_endpoint_find(options->service, region, options->endpoint, &endpoint, err));
    struct aws_client *client = MEM_NEW(struct aws_client);
    client->service = mem_copy_text(options->service);
    client->region = TAKE(region);
    client->endpoint = TAKE(endpoint);
    client->credentials = options->credentials;
    client->clock = options->clock ? options->clock : &clock_system;
    client->attempts_max = options->attempts_max ? options->attempts_max : AWS_CLIENT_ATTEMPTS;
    client->pause = options->pause;
    client->pause_context = options->pause_context;
    (void)pthread_mutex_init(&client->mutex, NULL);
    retry_budget_init(&client->budget);
    prng_seed(&client->prng, prng_seed_from_system());
    *ret_client = client;
    return STATUS_OK;
}

void aws_client_free(struct aws_client *client)
{
    if (!client) return;
    for (size_t i = 0; i < client->idle_count; i++) client_web_free(client->idle[i]);
    (void)pthread_mutex_destroy(&client->mutex);
    mem_free(client->service);
    mem_free(client->region);
    mem_free(client->endpoint);
    mem_free(client);
}

const char *aws_client_region(const struct aws_client *client)
{
    return client->region;
}

/* --- connections -------------------------------------------------------------------------------
 */

static enum status web_take(struct aws_client *client, struct client_web **ret_web,
                            struct error *err)
{
    struct client_web *web = NULL;
    (void)pthread_mutex_lock(&client->mutex);
    if (client->idle_count > 0) web = client->idle[--client->idle_count];
    (void)pthread_mutex_unlock(&client->mutex);
    if (!web) return client_web_new(ret_web, err);
    *ret_web = web;
    return STATUS_OK;
}

static void web_give(struct aws_client *client, struct client_web *web)
{
    (void)pthread_mutex_lock(&client->mutex);
    bool fits = client->idle_count < AWS_CLIENT_IDLE_MAX;
    if (fits) client->idle[client->idle_count++] = web;
    (void)pthread_mutex_unlock(&client->mutex);
    if (!fits) client_web_free(web);
}

/* --- the request -------------------------------------------------------------------------------
 */

/* What is sent of headers, as libcurl takes them. */
struct head {
    const char *lines[CLIENT_WEB_FIELDS_MAX];
    size_t count;
};

_Static_assert((int)AWS_CLIENT_FIELDS_MAX + 3 + (int)SIGNER_FIELDS_MAX <=
                   (int)CLIENT_WEB_FIELDS_MAX,
               "a request's headers, Host, an empty Content-Type, User-Agent and a signature");
_Static_assert((int)AWS_CLIENT_FIELDS_MAX < (int)SIGNER_SIGNED_MAX - (int)SIGNER_FIELDS_MAX,
               "a request's headers and Host can be signed");

static enum status no_room(struct error *err)
{
    return fail(err, STATUS_EXHAUSTED, "the headers of a request to AWS take more than %d bytes",
                SCRATCH_SIZE_MAX);
}

static enum status add_line(struct head *head, struct arena *scratch, struct str name,
                            struct str value, struct error *err)
{
    /* libcurl leaves out "Name:" and sends "Name;" as an empty header. */
    const char *between = value.size > 0 ? ": " : ";";
    size_t size = name.size + strlen(between) + value.size + 1;
    char *line = arena_try_new(scratch, size);
    if (!line) return no_room(err);
    (void)snprintf(line, size, "%.*s%s%.*s", STR_ARGS(name), between, STR_ARGS(value));
    assert(head->count < CLIENT_WEB_FIELDS_MAX);
    head->lines[head->count++] = line;
    return STATUS_OK;
}

static enum status sign(struct aws_call *call, const struct sigv4_request *request,
                        struct arena *scratch, struct signer_fields *ret_add, struct error *err)
{
    struct aws_client *client = call->client;
    ret_add->count = 0;
    if (!client->credentials) return STATUS_OK;
    TRY(aws_credentials_get(client->credentials, scratch, &call->keys, err));
    bool is_s3 = strcmp(client->service, "s3") == 0;
    const struct signer signer = {.key_id = call->keys.key_id,
                                  .secret = call->keys.secret,
                                  .token = call->keys.token,
                                  .region = str_of(client->region),
                                  .service = str_of(client->service),
                                  .now_s = call->now_s,
                                  .content_digest = is_s3};
    return signer_sign(&signer, request, scratch, ret_add, err);
}

/* Signed headers, then those that are not: a content type is never libcurl's own choice. */
static enum status build_head(struct aws_call *call, struct arena *scratch, struct head *head,
                              struct error *err)
{
    const struct aws_request *request = call->request;
    struct sigv4_field fields[AWS_CLIENT_FIELDS_MAX + 1];
    struct signer_fields add;
    bool has_type = false;
    assert(request->field_count <= AWS_CLIENT_FIELDS_MAX);
    fields[0] = (struct sigv4_field){STR("Host"), aws_endpoint_host(call->client->endpoint)};
    for (size_t i = 0; i < request->field_count; i++) {
        fields[i + 1] = request->fields[i];
        has_type |= str_equal_ignoring_case(request->fields[i].name, STR("Content-Type"));
    }
    const struct sigv4_request to_sign = {
        .method = str_of(request->method ? request->method : "POST"),
        .path = request->path.size ? request->path : STR("/"),
        .query = request->query.size ? request->query : STR_EMPTY,
        .body = request->body.data ? request->body : STR_EMPTY,
        .fields = fields,
        .field_count = request->field_count + 1,
        .path_form =
            strcmp(call->client->service, "s3") == 0 ? SIGV4_PATH_AS_SENT : SIGV4_PATH_NORMALIZED,
    };
    TRY(sign(call, &to_sign, scratch, &add, err));
    for (size_t i = 0; i <= request->field_count; i++)
        TRY(add_line(head, scratch, fields[i].name, fields[i].value, err));
    for (size_t i = 0; i < add.count; i++)
        TRY(add_line(head, scratch, add.fields[i].name, add.fields[i].value, err));
    if (!has_type) head->lines[head->count++] = "Content-Type:";
    head->lines[head->count++] = "User-Agent: slipway/" SLIPWAY_VERSION;
    return STATUS_OK;
}

static enum status build_url(const struct aws_call *call, struct arena *scratch,
                             const char **ret_url, struct error *err)
{
    const struct aws_request *request = call->request;
    struct str path = request->path.size ? request->path : STR("/");
    struct str query = request->query.size ? request->query : STR_EMPTY;
    size_t size = strlen(call->client->endpoint) + path.size + query.size + 2;
    char *url = arena_try_new(scratch, size);
    if (!url) return no_room(err);
    (void)snprintf(url, size, "%s%.*s%s%.*s", call->client->endpoint, STR_ARGS(path),
                   query.size ? "?" : "", STR_ARGS(query));
    *ret_url = url;
    return STATUS_OK;
}

/* --- one attempt -------------------------------------------------------------------------------
 */

static uint64_t left_ns(const struct aws_call *call)
{
    uint64_t now_ns = call->client->clock->monotonic_ns(call->client->clock);
    return call->end_ns > now_ns ? call->end_ns - now_ns : 0;
}

static uint64_t service_now_s(struct aws_client *client)
{
    (void)pthread_mutex_lock(&client->mutex);
    int64_t skew_s = client->skew_s;
    (void)pthread_mutex_unlock(&client->mutex);
    return (uint64_t)((int64_t)(client->clock->wall_ns(client->clock) / NS_PER_S) + skew_s);
}

/*
 * A signature that is refused although our time is far from the service's is refused for that. True
 * if the clock was set, and it is worth another attempt.
 */
static bool set_clock(struct aws_call *call)
{
    uint64_t date_s;
    struct str date = aws_reply_field(call->reply, "date");
    if (call->clock_set || !date.data || !retry_read_http_date(date, &date_s)) return false;
    int64_t off_s = (int64_t)date_s - (int64_t)call->now_s;
    if (off_s < SKEW_S_MIN && off_s > -SKEW_S_MIN) return false;
    (void)pthread_mutex_lock(&call->client->mutex);
    call->client->skew_s =
        (int64_t)date_s - (int64_t)(call->client->clock->wall_ns(call->client->clock) / NS_PER_S);
    (void)pthread_mutex_unlock(&call->client->mutex);
    call->clock_set = true;
    return true;
}

static bool may_be_skew(const struct aws_reply *reply)
{
    static const char *const codes[] = {"InvalidSignatureException", "SignatureDoesNotMatch",
                                        "AuthFailure"};
    for (size_t i = 0; i < COUNT_OF(codes); i++)
        if (aws_reply_is(reply, codes[i])) return true;
    return false;
}

/* What the answer means for another attempt. */
static enum aws_fault judge(struct aws_call *call)
{
    enum aws_fault fault = aws_fault_of(call->reply->status, call->reply->code);
    if (fault == AWS_FAULT_SKEWED || may_be_skew(call->reply))
        return set_clock(call) ? AWS_FAULT_SKEWED : AWS_FAULT_PERMANENT;
    if (fault != AWS_FAULT_EXPIRED) return fault;
    if (call->renewed || !call->client->credentials ||
        !aws_credentials_refuse(call->client->credentials, &call->keys))
        return AWS_FAULT_PERMANENT;
    call->renewed = true;
    return AWS_FAULT_EXPIRED;
}

static void explain(struct aws_call *call)
{
    const struct aws_reply *reply = call->reply;
    const char *service = call->client->service;
    call->status = aws_answer_status(reply);
    if (call->status == STATUS_OK) return;
    if (reply->code.size == 0 && reply->message.size == 0)
        (void)fail(call->err, call->status, "%s answers HTTP %d", service, reply->status);
    else
        (void)fail(call->err, call->status, "%s answers %.*s%s%.*s", service, STR_ARGS(reply->code),
                   reply->code.size && reply->message.size ? ": " : "", STR_ARGS(reply->message));
}

static enum aws_fault send_once(struct aws_call *call, struct client_web *web,
                                const struct client_web_request *request)
{
    struct client_web_reply answer;
    call->status = client_web_call(web, request, &answer, call->err);
    if (call->status == STATUS_OK && aws_answer_is_broken(&answer, call->request->json))
        call->status = fail(call->err, STATUS_UNAVAILABLE, "its answer is broken off or damaged");
    if (call->status != STATUS_OK) {
        aws_answer_none(call->reply);
        (void)fail_while(call->err, call->status, "asking %s at %s", call->client->service,
                         call->client->endpoint);
        bool final = call->status == STATUS_CANCELLED || call->status == STATUS_PERMISSION_DENIED ||
                     call->status == STATUS_EXHAUSTED;
        return final ? AWS_FAULT_PERMANENT : AWS_FAULT_TRANSPORT;
    }
    call->status = aws_answer_read(&answer, call->arena, call->reply, call->err);
    if (call->status != STATUS_OK) return AWS_FAULT_PERMANENT;
    explain(call);
    return judge(call);
}

static enum aws_fault attempt(struct aws_call *call, struct arena *scratch)
{
    const struct aws_request *request = call->request;
    struct head head = {.count = 0};
    const char *url = NULL;
    struct client_web *web = NULL;
    uint64_t limit_ns =
        request->attempt_timeout_ns ? request->attempt_timeout_ns : ATTEMPT_TIMEOUT_NS;
    call->now_s = service_now_s(call->client);
    call->status = build_head(call, scratch, &head, call->err);
    if (call->status == STATUS_OK) call->status = build_url(call, scratch, &url, call->err);
    if (call->status == STATUS_OK) call->status = web_take(call->client, &web, call->err);
    if (call->status != STATUS_OK) return AWS_FAULT_PERMANENT;
    if (request->begin) request->begin(request->sink_context);
    const struct client_web_request wanted = {
        .method = request->method,
        .url = url,
        .body = request->body,
        .fields = head.lines,
        .field_count = head.count,
        .timeout_ns = MAX(MIN(limit_ns, left_ns(call)), (uint64_t)NS_PER_MS),
        .connect_timeout_ns = CONNECT_TIMEOUT_NS,
        .reply_size_max = request->reply_size_max ? request->reply_size_max : REPLY_SIZE_MAX,
        .private_is_allowed = true,
        .keeps_connection = true,
        .sink = request->sink,
        .sink_context = request->sink_context,
        .stop = request->stop,
    };
    enum aws_fault fault = send_once(call, web, &wanted);
    web_give(call->client, web);
    return fault;
}

/* --- again -------------------------------------------------------------------------------------
 */

static bool is_stopped(const struct aws_call *call)
{
    return call->request->stop && atomic_load(call->request->stop);
}

static void sleep_ns(uint64_t ns)
{
    struct timespec rest = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
    (void)nanosleep(&rest, NULL); /* a signal makes a pause shorter */
}

/* In slices, since somebody may want it to end. */
static void wait_ns(struct aws_call *call, uint64_t ns)
{
    struct aws_client *client = call->client;
    if (client->pause) {
        client->pause(client->pause_context, ns);
        return;
    }
    while (ns > 0 && !is_stopped(call)) {
        uint64_t slice_ns = MIN(ns, (uint64_t)PAUSE_SLICE_NS);
        sleep_ns(slice_ns);
        ns -= slice_ns;
    }
}

/* False: this failure is the call's. Keys and clocks are put right outside the count. */
static bool may_try_again(struct aws_call *call, enum aws_fault fault, unsigned count,
                          uint64_t *ret_pause_ns)
{
    struct aws_client *client = call->client;
    *ret_pause_ns = 0;
    if (!fault_is_retryable(fault) || is_stopped(call)) return false;
    if (fault == AWS_FAULT_EXPIRED || fault == AWS_FAULT_SKEWED) return left_ns(call) > 0;
    if (count >= client->attempts_max) return false;
    (void)pthread_mutex_lock(&client->mutex);
    uint64_t pause_ns = retry_delay_ns(fault, count - 1, &client->prng);
    bool affordable = pause_ns < left_ns(call) && retry_budget_take(&client->budget, fault);
    (void)pthread_mutex_unlock(&client->mutex);
    *ret_pause_ns = pause_ns;
    return affordable;
}

static void give_back(struct aws_client *client, enum aws_fault last)
{
    bool paid = last != AWS_FAULT_EXPIRED && last != AWS_FAULT_SKEWED;
    (void)pthread_mutex_lock(&client->mutex);
    retry_budget_give(&client->budget, paid ? last : AWS_FAULT_NONE);
    (void)pthread_mutex_unlock(&client->mutex);
}

enum status aws_client_call(struct aws_client *client, const struct aws_request *request,
                            struct arena *arena, struct aws_reply *reply, struct error *err)
{
    struct aws_call call = {
        .client = client, .request = request, .arena = arena, .reply = reply, .err = err};
    struct arena scratch;
    enum aws_fault fault, last = AWS_FAULT_NONE;
    unsigned count = 0, sent = 0;
    uint64_t pause_ns;
    aws_answer_none(reply);
    call.end_ns = client->clock->monotonic_ns(client->clock) +
                  (request->timeout_ns ? request->timeout_ns : TIMEOUT_NS);
    arena_init(&scratch, SCRATCH_SIZE_MAX);
    for (;;) {
        fault = attempt(&call, &scratch);
        arena_reset(&scratch);
        sent++;
        if (fault != AWS_FAULT_EXPIRED && fault != AWS_FAULT_SKEWED) count++;
        if (fault == AWS_FAULT_NONE || !may_try_again(&call, fault, count, &pause_ns)) break;
        last = fault;
        wait_ns(&call, pause_ns);
    }
    arena_clear(&scratch);
    reply->attempts = sent;
    if (fault == AWS_FAULT_NONE) give_back(client, last);
    return call.status;
}

/* --- protocols ---------------------------------------------------------------------------------
 */

enum status aws_json_call(struct aws_client *client, const struct aws_json_request *request,
                          struct arena *arena, struct aws_reply *reply, struct error *err)
{
    bool newer = request->version && strcmp(request->version, "1.1") == 0;
    const struct sigv4_field fields[] = {
        {STR("Content-Type"),
         newer ? STR("application/x-amz-json-1.1") : STR("application/x-amz-json-1.0")},
        {STR("X-Amz-Target"), str_of(request->target)},
    };
    const struct aws_request whole = {
        .fields = fields,
        .field_count = COUNT_OF(fields),
        .body = request->body,
        .timeout_ns = request->timeout_ns,
        .attempt_timeout_ns = request->attempt_timeout_ns,
        .reply_size_max = request->reply_size_max,
        .json = true,
        .stop = request->stop,
    };
    const char *dot = strrchr(request->target, '.');
    return fail_while(err, aws_client_call(client, &whole, arena, reply, err), "%s",
                      dot ? dot + 1 : request->target);
}

enum status aws_query_call(struct aws_client *client, struct str form, struct arena *arena,
                           struct aws_reply *reply, struct error *err)
{
    static const struct sigv4_field type = {
        {"Content-Type", sizeof "Content-Type" - 1},
        {"application/x-www-form-urlencoded", sizeof "application/x-www-form-urlencoded" - 1}};
    const struct aws_request request = {.fields = &type, .field_count = 1, .body = form};
    struct str action = form;
    (void)str_cut(&action, '=');
    if (action.data) action = str_cut(&action, '&');
    return fail_while(err, aws_client_call(client, &request, arena, reply, err), "%.*s",
                      (int)action.size, action.data ? action.data : "");
}
