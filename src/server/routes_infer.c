/*
 * Inference: an exchange becomes a call of serve, and the call's outputs its answer. What differs
 * between the protocols is how a body is read and written: a `struct face`.
 *
 * An inference lives in its exchange's arena. The exchange is held from submission until serve lets
 * go of the call, so its memory stays also when the client is gone.
 */
#include "protocol/bare.h"
#include "protocol/oip_binary.h"
#include "protocol/oip_json.h"
#include "protocol/v1.h"
#include "serve/reply.h"
#include "server/answer.h"
#include "server/errand.h"
#include "server/idempotency.h"
#include "server/job_request.h"
#include "server/routes.h"
#include "server/routes_jobs.h"

/* Bytes of binary outputs from which on an answer is not copied. */
enum { BORROW_SIZE_MIN = 64 * 1024 };

struct inference;

struct face {
    enum status (*read)(struct inference *inference, struct error *err);
    /* Writes the body into the exchange's scratch and answers, or fails and has not answered. */
    enum status (*answer)(struct inference *inference, const struct infer_reply *reply,
                          struct error *err);
    struct str type; /* of a body without binary tensors, in records */
};

struct inference {
    struct exchange_user user;
    struct serve_call call;
    struct infer_request request;
    struct server_thread *thread;
    struct http_exchange *exchange;
    const struct face *face;
    struct idempotency *idempotency; /* the request has a key; NULL once it is given on */
    bool columnar;                   /* V1: answer in the columnar form */
    bool recorded;                   /* its answer leaves a record */
};

static struct inference *inference_of(struct serve_call *call)
{
    return CONTAINER_OF(call, struct inference, call);
}

/* --- the answer ------------------------------------------------------------------------------- */

static struct recording recording_of(struct inference *inference)
{
    return (struct recording){
        .thread = inference->thread,
        .exchange = inference->exchange,
        .call = &inference->call,
        .input_type = inference->face->type,
        .request_id = inference->request.id,
    };
}

static void record_failure(struct inference *inference, const struct error *err)
{
    struct recording recording = recording_of(inference);
    recording.err = err;
    recording_note(&recording);
}

/* The body is written: with a key it is answered once it is stored, else at once. */
static void finish(struct inference *inference, const struct http_response *response,
                   uint64_t header_size)
{
    struct recording recording = recording_of(inference);
    recording.output = response->body;
    recording.output_type = response->content_type;
    recording.output_header_size = header_size;
    if (inference->idempotency) {
        idempotency_finish(TAKE(inference->idempotency), &recording);
        return;
    }
    recording_note(&recording);
    answer_response(inference->thread, inference->exchange, response);
}

/* Most answers: nobody but the client wants them. */
static void finish_json(struct inference *inference, struct str body)
{
    if (LIKELY(!inference->recorded && !inference->idempotency)) {
        answer_json(inference->thread, inference->exchange, body);
        return;
    }
    struct http_response response = {
        .status = 200, .content_type = STR("application/json"), .body = body};
    finish(inference, &response, 0);
}

static void answer_inference_failure(struct inference *inference, const struct error *err)
{
    bool ran = inference->call.model != NULL;
    if (UNLIKELY(ran && recording_wanted(inference->thread, true))) record_failure(inference, err);
    struct failure failure = {status_http(err->status), inference->request.id, err};
    answer_failure_of(inference->thread, inference->exchange, &failure);
}

static void on_done(struct serve_call *call, enum status status, const struct error *call_error)
{
    struct inference *inference = inference_of(call);
    inference->recorded = false;
    if (UNLIKELY(status != STATUS_OK)) {
        answer_inference_failure(inference, call_error);
        return;
    }
    struct infer_reply reply;
    struct error err;
    status = serve_reply_make(call, &inference->request, &reply, &err);
    if (LIKELY(!inference->idempotency))
        inference->recorded = recording_wanted(inference->thread, false);
    if (LIKELY(status == STATUS_OK)) status = inference->face->answer(inference, &reply, &err);
    if (UNLIKELY(status != STATUS_OK)) answer_inference_failure(inference, &err);
}

static void on_release(struct serve_call *call)
{
    struct inference *inference = inference_of(call);
    struct http_exchange *exchange = inference->exchange;
    if (UNLIKELY(inference->idempotency)) idempotency_drop(TAKE(inference->idempotency));
    http_exchange_release(exchange);
}

static void on_abort(struct exchange_user *user)
{
    struct inference *inference = CONTAINER_OF(user, struct inference, user);
    serve_cancel(inference->thread->lane, &inference->call);
}

/* --- the request ------------------------------------------------------------------------------ */

static enum status submit(struct inference *inference, const struct route_match *match,
                          struct error *err)
{
    struct serve_lane *lane = inference->thread->lane;
    struct serve_call *call = &inference->call;
    struct infer_request *request = &inference->request;
    struct str version = match->capture_count > 1 ? match->captures[1] : STR_EMPTY;
    infer_request_init(request, inference->exchange->arena);
    request->model_name = match->captures[0]; /* for the texts of failures */
    TRY(serve_find(lane, match->captures[0], version, &call->model, err));
    TRY(inference->face->read(inference, err));
    TRY(infer_request_bind(serve_model_spec(call->model), request, &call->bound, err));
    call->priority = request->priority;
    call->timeout_us = request->timeout_us;
    call->on_done = on_done;
    call->on_release = on_release;
    call->times.received_ns = inference->exchange->received_ns;
    return serve_submit(lane, call, err);
}

static void run(struct server_thread *thread, struct http_exchange *exchange,
                const struct route_match *match, const void *face, struct idempotency *idempotency)
{
    struct error err;
    /* Not zeroed: that would cost as much as all that is set. */
    struct inference *inference = arena_try_new(exchange->arena, sizeof *inference);
    if (UNLIKELY(!inference)) {
        fail(&err, STATUS_EXHAUSTED, "no memory for one more request");
        answer_failure(thread, exchange, &err);
        if (idempotency) idempotency_drop(idempotency);
        return;
    }
    inference->thread = thread;
    inference->exchange = exchange;
    inference->face = face;
    inference->idempotency = idempotency;
    inference->columnar = false;
    inference->call.model = NULL;
    serve_call_init(&inference->call);
    if (UNLIKELY(submit(inference, match, &err) != STATUS_OK)) {
        answer_inference_failure(inference, &err);
        if (UNLIKELY(idempotency)) idempotency_drop(idempotency);
        return;
    }
    inference->user.on_abort = on_abort;
    exchange->user = &inference->user;
    http_exchange_hold(exchange);
}

static void handle(struct server_thread *thread, struct http_exchange *exchange,
                   const struct route_match *match, const struct face *face)
{
    struct str prefer = http_exchange_header(exchange, HTTP_HEADER_PREFER);
    if (UNLIKELY(prefer.data != NULL) && job_request_prefers_async(prefer)) {
        jobs_submit(thread, exchange, match, payload_face_of(face->type));
        return;
    }
    struct str key = http_exchange_header(exchange, HTTP_HEADER_IDEMPOTENCY_KEY);
    if (UNLIKELY(key.data) && idempotency_begin(thread, exchange, match, face, run)) return;
    run(thread, exchange, match, face, NULL);
}

/* --- Open Inference Protocol: JSON, with the binary extension ------------------------------------
 */

static enum status read_oip(struct inference *inference, struct error *err)
{
    struct http_exchange *exchange = inference->exchange;
    struct str value = http_exchange_header(exchange, HTTP_HEADER_INFERENCE_HEADER_CONTENT_LENGTH);
    if (LIKELY(!value.data))
        return oip_json_read(exchange->body, STR_EMPTY, &inference->request, err);
    size_t header_size;
    TRY(oip_binary_header_size(value, exchange->body.size, &header_size, err));
    if (header_size > 0)
        return oip_binary_read(exchange->body, header_size, &inference->request, err);
    return oip_binary_read_raw(exchange->body, serve_model_spec(inference->call.model),
                               &inference->request, err);
}

static bool has_binary(const struct infer_reply *reply)
{
    for (size_t i = 0; i < reply->output_count; i++)
        if (reply->outputs[i].binary) return true;
    return false;
}

/* What an answer borrows until it is sent: the engine's result, and the blobs in the arena. */
struct lent {
    struct serve_outputs *outputs;
    struct http_exchange *exchange;
};

static void give_back(void *context)
{
    struct lent *lent = context;
    struct http_exchange *exchange = lent->exchange;
    serve_outputs_release(lent->outputs);
    http_exchange_release(exchange); /* and with it the arena, which `lent` lies in */
}

/*
 * A large answer is sent from where the engine wrote it; holding the result pays from
 * BORROW_SIZE_MIN on. False: copy. An answer that classification made lies in the arena, held as
 * well.
 */
static bool borrow(struct inference *inference, const struct oip_binary_blobs *blobs,
                   struct http_response *response)
{
    struct http_exchange *exchange = inference->exchange;
    if (blobs->byte_size < BORROW_SIZE_MIN || blobs->count > HTTP_BLOBS_MAX) return false;
    struct lent *lent = ARENA_TRY_ARRAY(exchange->arena, struct lent, 1);
    if (!lent) return false;
    lent->outputs = serve_outputs_hold(&inference->call);
    if (!lent->outputs) return false;
    lent->exchange = exchange;
    http_exchange_hold(exchange);
    response->blobs = blobs->items;
    response->blob_count = blobs->count;
    response->release = give_back;
    response->release_context = lent;
    return true;
}

/* The outputs are the engine's and gone when on_done returns: small ones are copied behind the
 * header in the scratch buffer, large ones held. */
static enum status answer_binary(struct inference *inference, const struct infer_reply *reply,
                                 struct error *err)
{
    struct http_exchange *exchange = inference->exchange;
    struct buffer *out = http_exchange_scratch(exchange);
    struct oip_binary_blobs blobs;
    TRY(oip_binary_write(reply, exchange->arena, out, &blobs, err));
    char header_size[24];
    size_t json_size = out->size;
    int digits = snprintf(header_size, sizeof header_size, "%zu", json_size);
    struct http_field fields[] = {
        {STR(OIP_BINARY_HEADER), {header_size, (size_t)digits}},
    };
    struct http_response response = {
        .status = 200,
        .content_type = STR("application/octet-stream"),
        .fields = fields,
        .field_count = 1,
    };
    bool kept = inference->recorded || inference->idempotency;
    bool copied = kept || !borrow(inference, &blobs, &response);
    for (size_t i = 0; copied && i < blobs.count; i++) buffer_add(out, blobs.items[i]);
    if (copied && buffer_failed(out))
        return fail(err, STATUS_EXHAUSTED, "no memory for an answer of %llu bytes",
                    (unsigned long long)blobs.byte_size);
    response.body = buffer_view(out);
    if (kept)
        finish(inference, &response, json_size);
    else
        answer_response(inference->thread, exchange, &response);
    return STATUS_OK;
}

static enum status answer_oip(struct inference *inference, const struct infer_reply *reply,
                              struct error *err)
{
    if (UNLIKELY(has_binary(reply))) return answer_binary(inference, reply, err);
    struct buffer *out = http_exchange_scratch(inference->exchange);
    TRY(oip_json_write_prepared(reply, serve_model_texts(inference->call.model), out, err));
    finish_json(inference, buffer_view(out));
    return STATUS_OK;
}

void infer_handle_oip(struct server_thread *thread, struct http_exchange *exchange,
                      const struct route_match *match)
{
    static const struct face oip = {read_oip, answer_oip, ROUTE_LITERAL("application/json")};
    handle(thread, exchange, match, &oip);
}

/* --- V1 ------------------------------------------------------------------------------------------
 */

static enum status read_v1(struct inference *inference, struct error *err)
{
    return v1_read(inference->exchange->body, serve_model_spec(inference->call.model),
                   &inference->request, &inference->columnar, err);
}

static enum status answer_v1(struct inference *inference, const struct infer_reply *reply,
                             struct error *err)
{
    struct buffer *out = http_exchange_scratch(inference->exchange);
    TRY(v1_write(reply, inference->columnar, out, err));
    finish_json(inference, buffer_view(out));
    return STATUS_OK;
}

void infer_handle_v1(struct server_thread *thread, struct http_exchange *exchange,
                     const struct route_match *match)
{
    static const struct face v1 = {read_v1, answer_v1,
                                   ROUTE_LITERAL("application/json; protocol=v1")};
    handle(thread, exchange, match, &v1);
}

/* --- the bare body ---------------------------------------------------------------------------- */

static enum status read_bare(struct inference *inference, struct error *err)
{
    return bare_read(inference->exchange->body, serve_model_spec(inference->call.model),
                     &inference->request, err);
}

static enum status answer_bare(struct inference *inference, const struct infer_reply *reply,
                               struct error *err)
{
    struct buffer *out = http_exchange_scratch(inference->exchange);
    TRY(bare_write(reply, out, err));
    finish_json(inference, buffer_view(out));
    return STATUS_OK;
}

void infer_handle_bare(struct server_thread *thread, struct http_exchange *exchange,
                       const struct route_match *match)
{
    static const struct face bare = {read_bare, answer_bare,
                                     ROUTE_LITERAL("application/json; protocol=bare")};
    handle(thread, exchange, match, &bare);
}
