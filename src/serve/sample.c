/* Warm-up samples from a model's configuration. */
#include "serve/sample.h"

#include "base/mem.h"
#include "base/rand.h"
#include "serve/file.h"

enum { SAMPLE_SIZE_MAX = 256 << 20 };

static const struct model_config_warmup_input *find_input(const struct model_config_warmup *sample,
                                                          const char *name)
{
    for (size_t i = 0; i < sample->inputs.count; i++)
        if (strcmp(sample->inputs.items[i].key, name) == 0) return &sample->inputs.items[i].value;
    return NULL;
}

static enum status make_shape(const struct model *model, const struct model_config_warmup *sample,
                              const struct model_config_warmup_input *input, struct arena *arena,
                              struct slipway_tensor *tensor, struct error *err)
{
    size_t batch = model->spec.batch_size_max > 0 ? 1 : 0;
    size_t rank = input->dims.count + batch;
    int64_t *dims = ARENA_TRY_ARRAY(arena, int64_t, rank + 1);
    int64_t count;
    size_t size;
    if (!dims || rank > SLIPWAY_RANK_MAX) return fail(err, STATUS_EXHAUSTED, "too many dimensions");
    if (batch) dims[0] = MAX((int64_t)sample->batch_size, INT64_C(1));
    for (size_t i = 0; i < input->dims.count; i++) dims[i + batch] = input->dims.items[i];
    if (!shape_element_count(dims, rank, &count) ||
        !size_multiply((size_t)count, dtype_width((enum dtype)input->data_type), &size) ||
        size > SAMPLE_SIZE_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "its size is beyond %d bytes", SAMPLE_SIZE_MAX);
    void *data = arena_try_aligned(arena, size, EXECUTE_ALIGNMENT);
    if (!data) return fail(err, STATUS_EXHAUSTED, "no memory for %zu bytes", size);
    if (size) memset(data, 0, size);
    *tensor = (struct slipway_tensor){(uint32_t)input->data_type, (uint32_t)rank, dims, data, size};
    return STATUS_OK;
}

/* Numbers in [0, 1), or small whole ones; always the same. BYTES stay empty. */
static void fill_random(struct slipway_tensor *tensor)
{
    struct prng prng;
    prng_seed(&prng, 1);
    size_t width = dtype_width((enum dtype)tensor->dtype);
    if (tensor->dtype == SLIPWAY_DTYPE_BYTES || tensor->dtype == SLIPWAY_DTYPE_FP16 ||
        tensor->dtype == SLIPWAY_DTYPE_BF16)
        return;
    char *at = tensor->data;
    for (uint64_t i = 0; i < tensor->byte_size / width; i++, at += width) {
        float single = (float)prng_double(&prng);
        double wide = (double)single;
        uint64_t whole = prng_below(&prng, 2);
        if (tensor->dtype == SLIPWAY_DTYPE_FP32)
            memcpy(at, &single, sizeof single);
        else if (tensor->dtype == SLIPWAY_DTYPE_FP64)
            memcpy(at, &wide, sizeof wide);
        else
            memcpy(at, &whole, width); /* little-endian: the low bytes */
    }
}

/* BYTES: each element is a 4-byte little-endian length and its bytes, as on the wire. */
static enum status fill_texts(struct slipway_tensor *tensor, struct str file, struct arena *arena,
                              struct error *err)
{
    struct str kept = arena_try_copy(arena, file);
    if (!kept.data) return fail(err, STATUS_EXHAUSTED, "no memory for %zu bytes", file.size);
    struct slipway_bytes *texts = tensor->data;
    for (uint64_t i = 0; i < tensor->byte_size / sizeof *texts; i++) {
        uint32_t size;
        if (kept.size < sizeof size) return fail(err, STATUS_INVALID_ARGUMENT, "too few texts");
        memcpy(&size, kept.data, sizeof size);
        kept = str_from(kept, sizeof size);
        if (kept.size < size) return fail(err, STATUS_INVALID_ARGUMENT, "a text is cut short");
        texts[i] = (struct slipway_bytes){kept.data, size};
        kept = str_from(kept, size);
    }
    return STATUS_OK;
}

static enum status fill_from_file(struct slipway_tensor *tensor, const char *directory,
                                  const char *name, struct arena *arena, struct error *err)
{
    if (!directory) return fail(err, STATUS_INVALID_ARGUMENT, "a lone file has no warm-up data");
    char *path CLEANUP(mem_freep) = mem_format("%s/warmup", directory);
    struct str text;
    TRY(file_read_inside(path, name, SAMPLE_SIZE_MAX, &text, err));
    enum status status = STATUS_OK;
    if (tensor->dtype == SLIPWAY_DTYPE_BYTES)
        status = fill_texts(tensor, text, arena, err);
    else if (text.size < tensor->byte_size)
        status = fail(err, STATUS_INVALID_ARGUMENT, "'%s' has %zu bytes, %llu are needed", name,
                      text.size, (unsigned long long)tensor->byte_size);
    else if (text.size > 0)
        memcpy(tensor->data, text.data, (size_t)tensor->byte_size);
    mem_free((void *)(uintptr_t)text.data);
    return status;
}

static enum status make_inputs(const struct model *model, const struct model_config_warmup *sample,
                               const char *directory, struct arena *arena,
                               struct slipway_tensor *inputs, struct error *err)
{
    for (size_t i = 0; i < model->spec.input_count; i++) {
        const struct slipway_tensor_spec *spec = &model->spec.inputs[i];
        const struct model_config_warmup_input *input = find_input(sample, spec->name);
        if (!input && spec->optional) continue;
        if (!input) return fail(err, STATUS_INVALID_ARGUMENT, "input '%s' is missing", spec->name);
        TRY(make_shape(model, sample, input, arena, &inputs[i], err));
        if (input->random_data) fill_random(&inputs[i]);
        if (input->input_data_file && input->input_data_file[0])
            TRY(fail_while(
                err, fill_from_file(&inputs[i], directory, input->input_data_file, arena, err),
                "input '%s'", spec->name));
    }
    return STATUS_OK;
}

enum status sample_make(const struct model *model, const char *directory, struct arena *arena,
                        struct warmup *ret_warmup, struct error *err)
{
    const struct model_config_warmups *configured = &model->config->model_warmup;
    if (configured->count == 0) return warmup_make_up(&model->spec, arena, ret_warmup, err);
    size_t count = MIN(configured->count, (size_t)WARMUP_SAMPLES_MAX);
    struct warmup warmup = {.arena = arena};
    warmup.samples = ARENA_TRY_ARRAY(arena, struct warmup_sample, count);
    if (!warmup.samples) return fail(err, STATUS_EXHAUSTED, "no memory for warm-up samples");
    for (size_t i = 0; i < count; i++) {
        const struct model_config_warmup *one = &configured->items[i];
        struct slipway_tensor *inputs =
            ARENA_TRY_ARRAY(arena, struct slipway_tensor, model->spec.input_count + 1);
        if (!inputs) return fail(err, STATUS_EXHAUSTED, "no memory for warm-up samples");
        TRY(fail_while(err, make_inputs(model, one, directory, arena, inputs, err),
                       "warm-up sample '%s'", one->name ? one->name : ""));
        uint32_t runs = MAX(one->count, UINT32_C(1));
        warmup.samples[i] =
            (struct warmup_sample){one->name, inputs, MIN(runs, (uint32_t)WARMUP_COUNT_MAX)};
        warmup.sample_count++;
    }
    *ret_warmup = warmup;
    return STATUS_OK;
}
