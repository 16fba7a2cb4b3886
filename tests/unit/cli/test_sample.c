#include "cli/sample.c"
#include "test.h"

#include <math.h>

TEST(shapes_and_values_fit_the_model)
{
    for (uint32_t dtype = DTYPE_BOOL; dtype < DTYPE_COUNT; dtype++) {
        int64_t dims[] = {-1, 3};
        struct slipway_tensor_spec input = {"x", dtype, 0, 2, dims};
        struct infer_spec spec = {"m", &input, 1, NULL, 0, 8};
        struct arena arena;
        arena_init(&arena, 1 << 20);
        struct infer_request request;
        infer_request_init(&request, &arena);
        struct prng prng;
        prng_seed(&prng, test_seed());
        bool guessed;
        struct error err;
        EXPECT_STATUS(sample_fill(&spec, 4, &prng, &request, &guessed, &err), STATUS_OK, err);
        EXPECT(!guessed);
        REQUIRE(request.input_count == 1);
        const struct slipway_tensor *tensor = &request.inputs[0].tensor;
        EXPECT(tensor->dims[0] == 4 && tensor->dims[1] == 3);
        EXPECT_INT(tensor->byte_size, 12 * dtype_width((enum dtype)dtype));
        struct infer_bound bound;
        EXPECT_STATUS(infer_request_bind(&spec, &request, &bound, &err), STATUS_OK, err);
        arena_clear(&arena);
    }
}

TEST(what_the_model_does_not_say_is_a_guess)
{
    struct slipway_tensor_spec inputs[] = {{"x", DTYPE_ANY, 0, -1, NULL},
                                           {"y", DTYPE_FP32, 1, -1, NULL}};
    struct infer_spec spec = {"m", inputs, 2, NULL, 0, 0};
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct infer_request request;
    infer_request_init(&request, &arena);
    struct prng prng;
    prng_seed(&prng, 1);
    bool guessed;
    struct error err;
    EXPECT_STATUS(sample_fill(&spec, 1, &prng, &request, &guessed, &err), STATUS_OK, err);
    EXPECT(guessed);
    EXPECT_INT(request.input_count, 1); /* the optional one is left out */
    EXPECT_INT(request.inputs[0].tensor.dtype, DTYPE_FP32);
    arena_clear(&arena);
}

TEST(a_request_has_a_largest_size)
{
    int64_t dims[] = {INT64_MAX / 2, 4};
    struct slipway_tensor_spec input = {"x", DTYPE_FP32, 0, 2, dims};
    struct infer_spec spec = {"m", &input, 1, NULL, 0, 0};
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct infer_request request;
    infer_request_init(&request, &arena);
    struct prng prng;
    prng_seed(&prng, 1);
    bool guessed;
    struct error err;
    EXPECT_STATUS(sample_fill(&spec, 1, &prng, &request, &guessed, &err), STATUS_EXHAUSTED, err);
    arena_clear(&arena);
}
