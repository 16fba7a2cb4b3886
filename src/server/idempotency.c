/* Look, run, admit, answer. */
#include "server/idempotency.h"

#include "app/data.h"
#include "net/http.h"
#include "protocol/oip_binary.h"
#include "server/answer.h"
#include "server/errand.h"

enum { MEMORY_MAX = 3 * RECORD_PAYLOAD_MAX + (16 << 20) };

struct idempotency {
    struct errand errand;
    struct route_match match;
    const void *face;
    idempotency_run_function *run;
    struct store *store;
    struct store_call call;
    struct arena arena; /* of the store's answers and the record: other threads fill it */
    struct record record;
    struct str key;
    uint8_t key_hash[SHA256_SIZE];
    struct record_payload output; /* what was computed, whole */
    enum status status;           /* of the question that is on its way */
    struct error err;
};

static void end(struct idempotency *idempotency)
{
    arena_clear(&idempotency->arena);
    errand_end(&idempotency->errand);
}

static void end_with_failure(struct idempotency *idempotency, const struct error *err)
{
    struct failure failure = {
        .status = err->status == STATUS_ALREADY_EXISTS ? 409 : status_http(err->status),
        .request_id = STR_EMPTY,
        .err = err,
    };
    answer_failure_of(idempotency->errand.thread, idempotency->errand.exchange, &failure);
    end(idempotency);
}

static void end_with_answer(struct idempotency *idempotency, const struct record_payload *output,
                            bool replayed)
{
    struct http_field fields[2];
    char digits[24];
    struct http_response response = {
        .status = 200, .content_type = output->type, .fields = fields, .body = output->bytes};
    if (replayed)
        fields[response.field_count++] =
            (struct http_field){STR("Idempotent-Replayed"), STR("true")};
    if (output->header_size > 0) {
        int size = snprintf(digits, sizeof digits, "%llu", (unsigned long long)output->header_size);
        fields[response.field_count++] =
            (struct http_field){STR(OIP_BINARY_HEADER), {digits, (size_t)size}};
    }
    answer_response(idempotency->errand.thread, idempotency->errand.exchange, &response);
    end(idempotency);
}

/* --- questions to the store ------------------------------------------------------------------- */

static void on_store_done(struct store_call *call, enum status status, const struct error *err)
{
    struct idempotency *idempotency = call->context;
    idempotency->status = status;
    if (status != STATUS_OK) idempotency->err = *err;
    errand_return(&idempotency->errand);
}

/* False, and everything is over, if it could not be asked. */
static bool ask(struct idempotency *idempotency, errand_function *returned)
{
    struct error err;
    idempotency->call.done = on_store_done;
    idempotency->call.context = idempotency;
    idempotency->call.arena = &idempotency->arena;
    idempotency->errand.returned = returned;
    if (store_submit(idempotency->store, &idempotency->call, &err) == STATUS_OK) return true;
    end_with_failure(idempotency, &err);
    return false;
}

/* --- 3, 4: admit and answer ------------------------------------------------------------------- */

static void admitted(struct errand *errand)
{
    struct idempotency *idempotency = CONTAINER_OF(errand, struct idempotency, errand);
    const struct store_admit *admit = &idempotency->call.admit;
    if (idempotency->status != STATUS_OK)
        end_with_failure(idempotency, &idempotency->err);
    else if (admit->existing && record_whole_output(&admit->found))
        end_with_answer(idempotency, record_whole_output(&admit->found), true);
    else
        end_with_answer(idempotency, &idempotency->output, false);
}

static bool copy_result(struct idempotency *idempotency, const struct recording *recording)
{
    struct arena *arena = &idempotency->arena;
    struct record record = {.model = STR_EMPTY};
    struct error err;
    arena_reset(arena);
    idempotency->output = (struct record_payload){
        .bytes = arena_try_copy(arena, recording->output),
        .type = recording->output_type,
        .header_size = recording->output_header_size,
    };
    if (!idempotency->output.bytes.data || !recording_fill(recording, arena, &record)) return false;
    record.key = idempotency->key;
    memcpy(record.key_hash, idempotency->key_hash, SHA256_SIZE);
    return record_copy(&record, true, arena, &idempotency->record, &err) == STATUS_OK;
}

void idempotency_finish(struct idempotency *idempotency, const struct recording *recording)
{
    struct error err;
    idempotency->errand.exchange->user = &idempotency->errand.user;
    if (!copy_result(idempotency, recording)) {
        fail(&err, STATUS_EXHAUSTED, "no memory to keep an answer of %zu bytes",
             recording->output.size);
        end_with_failure(idempotency, &err);
        return;
    }
    idempotency->call =
        (struct store_call){.operation = STORE_ADMIT, .admit = {.record = &idempotency->record}};
    (void)ask(idempotency, admitted);
}

void idempotency_drop(struct idempotency *idempotency)
{
    end(idempotency);
}

/* --- 1, 2: look and run ----------------------------------------------------------------------- */

static void known(struct idempotency *idempotency)
{
    struct error err;
    const struct record *record = &idempotency->call.get.record;
    if (memcmp(record->key_hash, idempotency->key_hash, SHA256_SIZE) != 0) {
        fail(&err, STATUS_ALREADY_EXISTS,
             "idempotency key '%.*s' was used with another input for model '%.*s'",
             STR_ARGS(idempotency->key), STR_ARGS(idempotency->match.captures[0]));
        end_with_failure(idempotency, &err);
    } else if (record_whole_output(record)) {
        end_with_answer(idempotency, record_whole_output(record), true);
    } else {
        idempotency->run(idempotency->errand.thread, idempotency->errand.exchange,
                         &idempotency->match, idempotency->face, idempotency);
    }
}

static void looked(struct errand *errand)
{
    struct idempotency *idempotency = CONTAINER_OF(errand, struct idempotency, errand);
    if (errand->gone)
        end(idempotency);
    else if (idempotency->status == STATUS_OK)
        known(idempotency);
    else if (idempotency->status == STATUS_NOT_FOUND)
        idempotency->run(errand->thread, errand->exchange, &idempotency->match, idempotency->face,
                         idempotency);
    else
        end_with_failure(idempotency, &idempotency->err);
}

/* What makes an input the same: where it was sent, what it is, and its bytes. */
static void hash_input(struct idempotency *idempotency, const struct http_exchange *exchange)
{
    struct str header = http_exchange_header(exchange, HTTP_HEADER_INFERENCE_HEADER_CONTENT_LENGTH);
    struct sha256 hash;
    sha256_init(&hash);
    sha256_add(&hash, exchange->path);
    sha256_add(&hash, (struct str){"", 1});
    if (header.data) sha256_add(&hash, header);
    sha256_add(&hash, (struct str){"", 1});
    sha256_add(&hash, exchange->body);
    sha256_end(&hash, idempotency->key_hash);
}

static enum status look(struct idempotency *idempotency, struct error *err)
{
    struct data_parts parts;
    const struct server_thread *thread = idempotency->errand.thread;
    if (idempotency->key.size == 0 || idempotency->key.size > RECORD_KEY_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "Idempotency-Key has %zu bytes: 1 to %d",
                    idempotency->key.size, RECORD_KEY_MAX);
    TRY(record_check_text(idempotency->key, "Idempotency-Key", err));
    TRY(data_get(thread->options->data, &parts, err));
    idempotency->store = parts.store;
    return STATUS_OK;
}

static void start(struct idempotency *idempotency)
{
    struct http_exchange *exchange = idempotency->errand.exchange;
    arena_init(&idempotency->arena, MEMORY_MAX);
    hash_input(idempotency, exchange);
    idempotency->call = (struct store_call){
        .operation = STORE_GET,
        .get = {.model = idempotency->match.captures[0], .key = idempotency->key},
    };
    errand_begin(&idempotency->errand, looked);
    (void)ask(idempotency, looked);
}

bool idempotency_begin(struct server_thread *thread, struct http_exchange *exchange,
                       const struct route_match *match, const void *face,
                       idempotency_run_function *run)
{
    struct str key = http_exchange_header(exchange, HTTP_HEADER_IDEMPOTENCY_KEY);
    const struct server_options *options = thread->options;
    struct error err;
    if (!key.data || !options->data || !options->recorder || data_is_off(options->data))
        return false;
    struct idempotency *idempotency = errand_new(thread, exchange, sizeof *idempotency, &err);
    enum status status = idempotency ? STATUS_OK : err.status;
    if (idempotency) {
        idempotency->match = *match;
        idempotency->face = face;
        idempotency->run = run;
        idempotency->key = key;
        status = look(idempotency, &err);
    }
    if (status == STATUS_OK)
        start(idempotency);
    else
        answer_failure(thread, exchange, &err);
    return true;
}
