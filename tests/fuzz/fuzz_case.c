/* Fuzzes the cases of `slipway check`: any bytes are a case or an error. */
#include "cli/case.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct model_case model_case;
    struct error err;
    arena_init(&arena, 16 * 1024 * 1024);
    enum status status =
        case_read((struct str){(const char *)data, size}, &arena, &model_case, &err);
    if (status == STATUS_OK)
        assert(model_case.expects_error ? model_case.expect_error.size > 0
                                        : model_case.expect.output_count > 0);
    arena_clear(&arena);
    return 0;
}
