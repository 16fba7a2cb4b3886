/* Bodies of the binary extension: the first two bytes are the size of the JSON header. */
#include "base/mem.h"
#include "protocol/oip_binary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int64_t dims[] = {-1, 2};
static const struct slipway_tensor_spec inputs[] = {{"x", DTYPE_FP32, 0, 2, dims}};
static const struct infer_spec spec = {"M", inputs, 1, inputs, 1, 0};

/* Every byte of every element is there to be read. */
static unsigned touch(const struct infer_request *request)
{
    unsigned sum = 0;
    for (size_t i = 0; i < request->input_count; i++) {
        const struct slipway_tensor *tensor = &request->inputs[i].tensor;
        const unsigned char *bytes = tensor->data;
        for (size_t j = 0; j < tensor->byte_size; j++) sum += bytes[j];
        const struct slipway_bytes *elements = tensor->data;
        for (size_t j = 0; tensor->dtype == DTYPE_BYTES && j < tensor->byte_size / sizeof *elements;
             j++)
            for (size_t k = 0; k < elements[j].size; k++) sum += (unsigned char)elements[j].data[k];
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    size_t header_size = (size_t)data[0] | (size_t)data[1] << 8;
    struct str body = {(const char *)data + 2, size - 2};
    struct arena arena CLEANUP(arena_clear);
    struct infer_request request;
    struct infer_reply reply;
    struct error err;
    volatile unsigned sum = 0;
    arena_init(&arena, 1 << 22);
    infer_request_init(&request, &arena);
    request.model_name = STR("M");
    if (header_size <= body.size && oip_binary_read(body, header_size, &request, &err) == STATUS_OK)
        sum += touch(&request);
    (void)!oip_binary_read_reply(body, header_size, &arena, &reply, &err);
    infer_request_init(&request, &arena);
    if (oip_binary_read_raw(body, &spec, &request, &err) == STATUS_OK) sum += touch(&request);
    (void)!oip_binary_header_size(body, size, &header_size, &err);
    return 0;
}
