/*
 * What lies in a queue, or came into one: the first byte is the face, the next two the size of a
 * JSON header, the rest is the body. Each face's reader may refuse it; what one takes is bound to
 * the model's specification, and all of its elements can be read.
 */
#include "jobs/payload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int64_t dims[] = {-1, 2};
static const struct slipway_tensor_spec inputs[] = {{"x", DTYPE_FP32, 0, 2, dims}};
static const struct infer_spec spec = {"M", inputs, 1, inputs, 1, 0};

static unsigned touch(const struct infer_request *request)
{
    unsigned sum = 0;
    for (size_t i = 0; i < request->input_count; i++) {
        const struct slipway_tensor *tensor = &request->inputs[i].tensor;
        const unsigned char *bytes = tensor->data;
        for (size_t j = 0; j < tensor->byte_size; j++) sum += bytes[j];
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > 65536) return 0;
    struct arena arena CLEANUP(arena_clear);
    struct infer_request request;
    struct infer_bound bound;
    struct error err;
    volatile unsigned sum = 0;
    struct str body = {(const char *)data + 3, size - 3};
    struct payload payload = {.face = (enum payload_face)(data[0] % PAYLOAD_FACES),
                              .header_size = (uint64_t)data[1] | (uint64_t)data[2] << 8,
                              .body = body};
    if (payload_face_of(payload_type(payload.face)) != payload.face) abort();
    enum payload_face guess = payload_guess(body);
    if (guess == PAYLOAD_OIP_BINARY || guess >= PAYLOAD_FACES) abort();
    if ((guess == PAYLOAD_V1) !=
        (guess != PAYLOAD_BARE && payload_has_member(body, STR("instances"))))
        abort();
    (void)!payload_face_of(body);
    arena_init(&arena, 1 << 22);
    infer_request_init(&request, &arena);
    request.model_name = STR("M");
    if (payload_read(&payload, &spec, &request, &err) != STATUS_OK) return 0;
    if (infer_request_bind(&spec, &request, &bound, &err) == STATUS_OK) sum += touch(&request);
    return 0;
}
