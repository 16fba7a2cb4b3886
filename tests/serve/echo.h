/*
 * A serve with models of the echo engine, without repository, for tests: models are published by
 * hand, and one loop is turned by hand.
 */
#ifndef TEST_ECHO_H
#define TEST_ECHO_H

#include "base/clock.h"
#include "base/mem.h"
#include "engine/loader.h"
#include "serve/core.h"
#include "serve/settings.h"
#include "test.h"

#include <unistd.h>

struct echo {
    struct engine_registry *registry;
    struct serve *serve;
    struct loop *loop;
    struct serve_lane *lane;
};

static inline void echo_start(struct echo *echo, const struct serve_options *options)
{
    struct error err;
    struct serve_options with_engines = *options;
    echo->registry = engine_registry_new(ENGINE_DIRECTORY);
    with_engines.engines = echo->registry;
    EXPECT_STATUS(serve_core_new(&with_engines, &echo->serve, &err), STATUS_OK, err);
    EXPECT_STATUS(loop_new(&(struct loop_options){0}, &echo->loop, &err), STATUS_OK, err);
    echo->lane = serve_lane_new(echo->serve, echo->loop);
}

static inline void echo_stop(struct echo *echo)
{
    serve_lane_free(echo->lane);
    loop_free(echo->loop);
    serve_core_free(echo->serve);
    engine_registry_free(echo->registry);
}

/* Writes the text of an echo model into a file of the work directory and returns its path. */
static inline const char *echo_file(const char *name, const char *text)
{
    static char path[512];
    (void)snprintf(path, sizeof path, WORK_DIRECTORY "/%s.%d.echo", name, (int)getpid());
    FILE *file = fopen(path, "w");
    assert(file);
    (void)fputs(text, file);
    (void)fclose(file);
    return path;
}

/* What a test may set before the model is assembled. */
typedef void echo_settings_function(struct model_settings *settings);

/* Loads; one reference, the caller's. NULL if it failed, with *err. */
static inline struct model *echo_model(struct echo *echo, const char *name, int64_t version,
                                       int64_t batch_size_max, const char *text,
                                       echo_settings_function *change, struct error *err)
{
    struct engine *engine;
    const char *path = echo_file(name, text);
    if (engine_open(echo->registry, "echo", &engine, err) != STATUS_OK) return NULL;
    struct model *model = model_new(echo->serve, name, version);
    struct slipway_load_options load = {.struct_size = sizeof load, .name = name, .path = path};
    enum status status = engine_model_load(engine, &load, &model->engine_model, err);
    (void)unlink(path);
    struct arena arena;
    arena_init(&arena, 1 << 20);
    if (status == STATUS_OK) {
        const struct slipway_model_info *info = engine_model_info(model->engine_model);
        model->spec = (struct infer_spec){.name = model->name,
                                          .inputs = info->inputs,
                                          .input_count = info->input_count,
                                          .outputs = info->outputs,
                                          .output_count = info->output_count,
                                          .batch_size_max = batch_size_max};
        settings_init(&model->settings, &echo->serve->options, batch_size_max);
        if (change) change(&model->settings);
        struct warmup warmup;
        status = warmup_make_up(&model->spec, &arena, &warmup, err);
        if (status == STATUS_OK) status = model_assemble(model, &warmup, err);
    }
    arena_clear(&arena);
    if (status == STATUS_OK) return model;
    model_free(model);
    return NULL;
}

/* Makes one model all there is, and gives the caller's reference away. */
static inline void echo_publish(struct echo *echo, struct model *model)
{
    serve_publish(echo->serve, &model, model ? 1 : 0, NULL, 0);
    if (model) model_unref(model);
}

enum { ECHO_FLOATS = 4 };

/* One call of a model with one FP32 input of shape [rows, 4], or [4] if it is not batchable. */
struct echo_call {
    struct serve_call call;
    struct slipway_tensor input;
    int64_t dims[2];
    float values[8 * ECHO_FLOATS];
    uint8_t wanted[4];
    int done_count;
    int released_count;
    enum status status;
    struct error error;
    bool matches; /* the output is the input */
    int64_t batch_rows;
    struct serve_times times;
};

static inline void echo_done(struct serve_call *call, enum status status, const struct error *err)
{
    struct echo_call *echo = CONTAINER_OF(call, struct echo_call, call);
    echo->done_count++;
    echo->status = status;
    echo->batch_rows = call->batch_rows;
    echo->times = call->times;
    if (status != STATUS_OK) {
        echo->error = *err;
        return;
    }
    const struct slipway_tensor *output = &call->outputs[0];
    echo->matches = output->rank == echo->input.rank &&
                    memcmp(output->dims, echo->dims, output->rank * sizeof(int64_t)) == 0 &&
                    output->byte_size == echo->input.byte_size &&
                    memcmp(output->data, echo->values, (size_t)output->byte_size) == 0;
}

static inline void echo_released(struct serve_call *call)
{
    CONTAINER_OF(call, struct echo_call, call)->released_count++;
}

/* `rows` 0: not batchable. */
static inline void echo_call_init(struct echo_call *call, struct serve_model *model, int64_t rows,
                                  float first)
{
    memset(call, 0, sizeof *call);
    size_t count = (size_t)MAX(rows, INT64_C(1)) * ECHO_FLOATS;
    for (size_t i = 0; i < count; i++) call->values[i] = first + (float)i;
    call->dims[0] = rows ? rows : ECHO_FLOATS;
    call->dims[1] = ECHO_FLOATS;
    call->input = (struct slipway_tensor){SLIPWAY_DTYPE_FP32, rows ? 2 : 1, call->dims,
                                          call->values, count * sizeof(float)};
    memset(call->wanted, 1, sizeof call->wanted);
    call->call.model = model;
    call->call.bound = (struct infer_bound){&call->input, call->wanted, MAX(rows, INT64_C(1))};
    call->call.on_done = echo_done;
    call->call.on_release = echo_released;
    call->call.times.received_ns = clock_monotonic_ns();
}

/* Turns the loop until all calls are released, a few seconds at most. */
static inline void echo_turn_until_released(struct echo *echo, struct echo_call *calls,
                                            size_t count)
{
    uint64_t end_ns = clock_monotonic_ns() + 20 * NS_PER_S;
    for (;;) {
        size_t released = 0;
        for (size_t i = 0; i < count; i++) released += calls[i].released_count > 0;
        if (released == count) return;
        if (clock_monotonic_ns() > end_ns) break;
        loop_turn(echo->loop, 10 * NS_PER_MS);
    }
    test_failed(__FILE__, __LINE__, "calls were not released in time");
}

#define ECHO_BATCHABLE "input x FP32 [-1,4]\noutput y x\n"
#define ECHO_SINGLE "input x FP32 [4]\noutput y x\n"

#endif
