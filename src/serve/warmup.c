/* Warm-up runs. */
#include "serve/warmup.h"

#include "base/clock.h"
#include "base/mem.h"

enum {
    MADE_UP_RUNS = 3,              /* the first ones compile and allocate */
    MADE_UP_BYTES_MAX = 256 << 20, /* larger inputs are not worth it */
};

static bool is_known(const struct slipway_tensor_spec *spec, bool batched)
{
    if (spec->dtype == SLIPWAY_DTYPE_ANY || spec->rank < 0) return false;
    for (int32_t i = batched ? 1 : 0; i < spec->rank; i++)
        if (spec->dims[i] < 0) return false;
    return true;
}

/* False: not to be made, there is no room, or it would be too large. */
static bool make_zeros(const struct slipway_tensor_spec *spec, bool batched, struct arena *arena,
                       struct slipway_tensor *ret_tensor)
{
    int64_t count;
    int64_t *dims = ARENA_TRY_ARRAY(arena, int64_t, (size_t)spec->rank + 1);
    if (!dims) return false;
    for (int32_t i = 0; i < spec->rank; i++) dims[i] = spec->dims[i];
    if (batched && spec->rank > 0) dims[0] = 1;
    if (!shape_element_count(dims, (size_t)spec->rank, &count)) return false;
    size_t width = dtype_width(spec->dtype), size;
    if (!size_multiply((size_t)count, width, &size) || size > MADE_UP_BYTES_MAX) return false;
    void *data = arena_try_aligned(arena, size, EXECUTE_ALIGNMENT);
    if (!data) return false;
    if (size) memset(data, 0, size);
    *ret_tensor = (struct slipway_tensor){spec->dtype, (uint32_t)spec->rank, dims, data, size};
    return true;
}

enum status warmup_make_up(const struct infer_spec *spec, struct arena *arena,
                           struct warmup *ret_warmup, struct error *err)
{
    bool batched = spec->batch_size_max > 0;
    struct warmup warmup = {.arena = arena, .made_up = true};
    *ret_warmup = warmup;
    struct slipway_tensor *inputs =
        ARENA_TRY_ARRAY(arena, struct slipway_tensor, spec->input_count + 1);
    warmup.samples = ARENA_TRY_ARRAY(arena, struct warmup_sample, 1);
    if (!inputs || !warmup.samples)
        return fail(err, STATUS_EXHAUSTED, "no memory for a warm-up sample");
    for (size_t i = 0; i < spec->input_count; i++) {
        if (spec->inputs[i].optional) continue; /* left out: dtype ANY */
        if (!is_known(&spec->inputs[i], batched)) return STATUS_OK;
        if (!make_zeros(&spec->inputs[i], batched, arena, &inputs[i])) return STATUS_OK;
    }
    warmup.samples[0] = (struct warmup_sample){"zeros", inputs, MADE_UP_RUNS};
    warmup.sample_count = 1;
    *ret_warmup = warmup;
    return STATUS_OK;
}

/* As a request would: with the model's reshapes. */
static enum status run_once(const struct warmup_sample *sample, const struct model *model,
                            struct engine_instance *instance, struct execute_memory *memory,
                            struct error *err)
{
    struct serve_call call = {.bound = {.tensors = sample->inputs, .batch_size = 1}};
    call.item.rows = 1;
    struct list alone;
    list_init(&alone);
    list_add_last(&alone, &call.item.link);
    struct engine_result result;
    TRY(execute_calls(&model->plan, instance, &alone, 1, memory, &result, err));
    engine_result_release(&result);
    return STATUS_OK;
}

static enum status run_sample(const struct warmup_sample *sample, const struct model *model,
                              struct engine_instance *instance, uint64_t *cost_ns,
                              struct error *err)
{
    struct execute_memory memory;
    execute_memory_init(&memory);
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < sample->count && status == STATUS_OK; i++) {
        uint64_t start_ns = clock_monotonic_ns();
        status = run_once(sample, model, instance, &memory, err);
        uint64_t took_ns = MAX(clock_monotonic_ns() - start_ns, UINT64_C(1));
        if (status == STATUS_OK) *cost_ns = *cost_ns ? MIN(*cost_ns, took_ns) : took_ns;
    }
    execute_memory_clear(&memory);
    return status;
}

enum status warmup_run(const struct warmup *warmup, const struct model *model,
                       struct engine_instance *instance, uint64_t *ret_cost_ns, struct error *err)
{
    uint64_t cost_ns = *ret_cost_ns;
    for (size_t i = 0; i < warmup->sample_count; i++) {
        const struct warmup_sample *sample = &warmup->samples[i];
        enum status status = run_sample(sample, model, instance, &cost_ns, err);
        if (status != STATUS_OK && !warmup->made_up)
            return fail_while(err, status, "sample '%s'", sample->name);
    }
    *ret_cost_ns = cost_ns;
    return STATUS_OK;
}
