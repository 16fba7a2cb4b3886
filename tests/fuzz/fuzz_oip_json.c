/* Requests and replies from any bytes, and the bodies of V1 and the bare form. */
#include "protocol/bare.h"
#include "protocol/oip_json.h"
#include "protocol/v1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct slipway_tensor_spec inputs[] = {{"x", DTYPE_ANY, 0, -1, NULL},
                                                    {"s", DTYPE_BYTES, 1, -1, NULL}};
static const struct infer_spec spec = {"M", inputs, 2, inputs, 1, 0};

/* What was read is written, read and written again: the two texts are equal. */
static void check_request(struct str text, struct arena *arena)
{
    struct infer_request request, again;
    struct infer_bound bound;
    struct error err;
    struct buffer first CLEANUP(buffer_clear), second CLEANUP(buffer_clear);
    buffer_init(&first, 1 << 20);
    buffer_init(&second, 1 << 20);
    infer_request_init(&request, arena);
    request.model_name = STR("M");
    if (oip_json_read(text, STR_EMPTY, &request, &err) != STATUS_OK) return;
    (void)!infer_request_bind(&spec, &request, &bound, &err);
    if (oip_json_write_request(&request, &first, &err) != STATUS_OK) return;
    infer_request_init(&again, arena);
    if (oip_json_read(buffer_view(&first), STR_EMPTY, &again, &err) != STATUS_OK) abort();
    if (oip_json_write_request(&again, &second, &err) != STATUS_OK) abort();
    if (!str_equal(buffer_view(&first), buffer_view(&second))) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct arena arena CLEANUP(arena_clear);
    struct infer_reply reply;
    struct infer_request request;
    struct infer_bound bound;
    struct error err;
    bool columnar;
    arena_init(&arena, 1 << 22);
    check_request(text, &arena);
    (void)!oip_json_read_reply(text, STR_EMPTY, &arena, &reply, &err);
    infer_request_init(&request, &arena);
    if (v1_read(text, &spec, &request, &columnar, &err) == STATUS_OK)
        (void)!infer_request_bind(&spec, &request, &bound, &err);
    infer_request_init(&request, &arena);
    if (bare_read(text, &spec, &request, &err) == STATUS_OK &&
        infer_request_bind(&spec, &request, &bound, &err) != STATUS_OK)
        abort();
    return 0;
}
