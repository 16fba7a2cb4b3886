/*
 * Inference: an exchange becomes a call of serve, and the call's outputs its answer. What differs
 * between the protocols is how a body is read and written: a `struct face`.
 *
 * An inference lives in its exchange's arena. The exchange is held from submission until serve lets
 * go of the call, so its memory stays also when the client is gone.
 */
#include "protocol/bare.h"
#include "protocol/classification.h"
#include "protocol/oip_binary.h"
#include "protocol/oip_json.h"
#include "protocol/v1.h"
#include "server/answer.h"
#include "server/errand.h"
#include "server/routes.h"

/* Bytes of binary outputs from which on an answer is not copied. */
enum { BORROW_SIZE_MIN = 64 * 1024 };

struct inference;

struct face {
    enum status (*read)(struct inference *inference, struct error *err);
    /* Writes the body into the exchange's scratch and answers, or fails and has not answered. */
    enum status (*answer)(struct inference *inference, const struct infer_reply *reply,
                          struct error *err);
};

struct inference {
    struct exchange_user user;
    struct serve_call call;
    struct infer_request request;
    struct server_thread *thread;
    struct http_exchange *exchange;
    const struct face *face;
    bool columnar; /* V1: answer in the columnar form */
};

static struct inference *inference_of(struct serve_call *call)
{
    return CONTAINER_OF(call, struct inference, call);
}

/* --- the answer ------------------------------------------------------------------------------- */

static enum status classify(const struct inference *inference, size_t index, uint32_t top_k,
                            struct infer_tensor *output, struct error *err)
{
    const struct serve_model *model = inference->call.model;
    const struct str *labels = NULL;
    size_t label_count = serve_model_labels(model, index, &labels);
    struct classification how = {
        .top_k = top_k,
        .batched = serve_model_spec(model)->batch_size_max > 0,
        .labels = labels,
        .label_count = label_count,
    };
    return classification_apply(&how, inference->request.arena, output, err);
}

static void fill_output(const struct inference *inference, size_t index,
                        struct infer_tensor *output)
{
    *output = (struct infer_tensor){
        .name = str_of(serve_model_spec(inference->call.model)->outputs[index].name),
        .tensor = inference->call.outputs[index],
        .binary = inference->request.binary_output_default,
    };
}

static enum status fill_wanted(const struct inference *inference, struct infer_reply *reply,
                               struct error *err)
{
    const struct infer_request *request = &inference->request;
    const struct infer_spec *spec = serve_model_spec(inference->call.model);
    for (size_t i = 0; i < request->output_count; i++) {
        const struct infer_wanted_output *wanted = &request->outputs[i];
        size_t index = infer_output_find(spec, wanted->name);
        assert(index < spec->output_count); /* binding has found it */
        fill_output(inference, index, &reply->outputs[i]);
        reply->outputs[i].name =
            wanted->name; /* clients look for the name they gave, aliases too */
        reply->outputs[i].binary = wanted->binary;
        if (wanted->classification > 0)
            TRY(classify(inference, index, wanted->classification, &reply->outputs[i], err));
    }
    return STATUS_OK;
}

static enum status make_reply(const struct inference *inference, struct infer_reply *reply,
                              struct error *err)
{
    const struct infer_request *request = &inference->request;
    const struct serve_model *model = inference->call.model;
    size_t count = request->output_count ? request->output_count : inference->call.output_count;
    *reply = (struct infer_reply){
        .model_name = serve_model_name(model),
        .model_version = serve_model_version(model),
        .id = request->id,
        .outputs = arena_try_new(request->arena, count * sizeof(struct infer_tensor)),
        .output_count = count,
    };
    if (!reply->outputs) return fail(err, STATUS_EXHAUSTED, "no memory for %zu outputs", count);
    if (request->output_count) return fill_wanted(inference, reply, err);
    for (size_t i = 0; i < count; i++) fill_output(inference, i, &reply->outputs[i]);
    return STATUS_OK;
}

static void answer_inference_failure(struct inference *inference, const struct error *err)
{
    struct failure failure = {status_http(err->status), inference->request.id, err};
    answer_failure_of(inference->thread, inference->exchange, &failure);
}

static void on_done(struct serve_call *call, enum status status, const struct error *call_error)
{
    struct inference *inference = inference_of(call);
    if (UNLIKELY(status != STATUS_OK)) {
        answer_inference_failure(inference, call_error);
        return;
    }
    struct infer_reply reply;
    struct error err;
    status = make_reply(inference, &reply, &err);
    if (LIKELY(status == STATUS_OK)) status = inference->face->answer(inference, &reply, &err);
    if (UNLIKELY(status != STATUS_OK)) answer_inference_failure(inference, &err);
}

static void on_release(struct serve_call *call)
{
    http_exchange_release(inference_of(call)->exchange);
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

static void handle(struct server_thread *thread, struct http_exchange *exchange,
                   const struct route_match *match, const struct face *face)
{
    struct error err;
    /* Not zeroed: that would cost as much as all that is set. */
    struct inference *inference = arena_try_new(exchange->arena, sizeof *inference);
    if (UNLIKELY(!inference)) {
        fail(&err, STATUS_EXHAUSTED, "no memory for one more request");
        answer_failure(thread, exchange, &err);
        return;
    }
    inference->thread = thread;
    inference->exchange = exchange;
    inference->face = face;
    inference->columnar = false;
    serve_call_init(&inference->call);
    if (UNLIKELY(submit(inference, match, &err) != STATUS_OK)) {
        answer_inference_failure(inference, &err);
        return;
    }
    inference->user.on_abort = on_abort;
    exchange->user = &inference->user;
    http_exchange_hold(exchange);
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
    int digits = snprintf(header_size, sizeof header_size, "%zu", out->size);
    struct http_field fields[] = {
        {STR(OIP_BINARY_HEADER), {header_size, (size_t)digits}},
    };
    struct http_response response = {
        .status = 200,
        .content_type = STR("application/octet-stream"),
        .fields = fields,
        .field_count = 1,
    };
    bool copied = !borrow(inference, &blobs, &response);
    for (size_t i = 0; copied && i < blobs.count; i++) buffer_add(out, blobs.items[i]);
    if (copied && buffer_failed(out))
        return fail(err, STATUS_EXHAUSTED, "no memory for an answer of %llu bytes",
                    (unsigned long long)blobs.byte_size);
    response.body = buffer_view(out);
    answer_response(inference->thread, exchange, &response);
    return STATUS_OK;
}

static enum status answer_oip(struct inference *inference, const struct infer_reply *reply,
                              struct error *err)
{
    if (UNLIKELY(has_binary(reply))) return answer_binary(inference, reply, err);
    struct buffer *out = http_exchange_scratch(inference->exchange);
    TRY(oip_json_write_prepared(reply, serve_model_texts(inference->call.model), out, err));
    answer_json(inference->thread, inference->exchange, buffer_view(out));
    return STATUS_OK;
}

void infer_handle_oip(struct server_thread *thread, struct http_exchange *exchange,
                      const struct route_match *match)
{
    static const struct face oip = {read_oip, answer_oip};
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
    answer_json(inference->thread, inference->exchange, buffer_view(out));
    return STATUS_OK;
}

void infer_handle_v1(struct server_thread *thread, struct http_exchange *exchange,
                     const struct route_match *match)
{
    static const struct face v1 = {read_v1, answer_v1};
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
    answer_json(inference->thread, inference->exchange, buffer_view(out));
    return STATUS_OK;
}

void infer_handle_bare(struct server_thread *thread, struct http_exchange *exchange,
                       const struct route_match *match)
{
    static const struct face bare = {read_bare, answer_bare};
    handle(thread, exchange, match, &bare);
}
