/* The look at an ONNX file before the library gets it: any bytes, and what it says must be sane. */
#include "../../engines/onnx/scan.c"

#include <assert.h>

static enum slipway_status refuse_external(const void *context,
                                           const struct scan_external *external,
                                           struct slipway_error *error)
{
    (void)context;
    assert(external->location[0] != '\0');
    assert(memchr(external->location, '\0', sizeof external->location));
    (void)has_parent_step(external->location);
    return onnx_fail(error, SLIPWAY_INVALID_ARGUMENT, "external");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scan_result result;
    struct slipway_error error = {.status = -1};
    enum slipway_status status = scan_model(data, size, refuse_external, NULL, &result, &error);
    assert(status == SLIPWAY_OK || status == SLIPWAY_INVALID_ARGUMENT);
    if (status == SLIPWAY_OK) {
        assert(size > 0);
        assert(result.weight_bytes / 128 <= size); // a bit of file for each element at least
    } else {
        assert(error.status == (int32_t)status && error.message[0] != '\0');
    }
    return 0;
}
