/* The wrappers, and the checks of what comes back. */
#include "engine/engine.h"

#include "base/mem.h"
#include "engine/archive.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

struct engine {
    const struct slipway_engine *table;
    char *path;
};

struct engine_model {
    struct engine *engine;
    struct slipway_model *handle;
    struct slipway_model_info info;
};

struct engine_instance {
    struct engine_model *model;
    struct slipway_instance *handle;
};

/* The table of version 1 ends here; one that is shorter lacks functions. */
#define TABLE_SIZE_MIN                                                                             \
    (offsetof(struct slipway_engine, result_release) +                                             \
     sizeof(((struct slipway_engine *)0)->result_release))

_Static_assert(offsetof(struct slipway_engine, struct_size) == 0 &&
                   offsetof(struct slipway_engine, abi_version) == 4 &&
                   offsetof(struct slipway_engine, name) == 8,
               "what every version of the ABI starts with");
_Static_assert(TABLE_SIZE_MIN == 24 + 7 * sizeof(void (*)(void)), "version 1 is frozen");
_Static_assert(sizeof(struct slipway_tensor) == 32, "version 1 is frozen");

/* ---- The table ---- */

static const char *table_lacks(const struct slipway_engine *table)
{
    if (!table->model_load) return "model_load";
    if (!table->model_info) return "model_info";
    if (!table->model_unload) return "model_unload";
    if (!table->instance_new) return "instance_new";
    if (!table->instance_free) return "instance_free";
    if (!table->execute) return "execute";
    if (!table->result_release) return "result_release";
    return NULL;
}

static enum status table_check(const struct slipway_engine *table, const char *name,
                               const char *path, struct error *err)
{
    if (!table)
        return fail(err, STATUS_FAILED_PRECONDITION, "engine '%s' refused to start (see the log)",
                    path);
    if (table->abi_version != SLIPWAY_ENGINE_ABI_VERSION)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "engine '%s' has ABI version %u, this server needs %d: build it against this "
                    "server's slipway/engine.h",
                    path, table->abi_version, SLIPWAY_ENGINE_ABI_VERSION);
    if (table->struct_size < TABLE_SIZE_MIN)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "engine '%s' has a table of %u bytes, version 1 has %zu", path,
                    table->struct_size, TABLE_SIZE_MIN);
    if (!table->name || strcmp(table->name, name) != 0)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "engine '%s' calls itself '%.63s', its file name says '%s'", path,
                    table->name ? table->name : "", name);
    if (!table->version)
        return fail(err, STATUS_FAILED_PRECONDITION, "engine '%s' has no version text", path);
    const char *missing = table_lacks(table);
    if (missing)
        return fail(err, STATUS_FAILED_PRECONDITION, "engine '%s' has no function '%s'", path,
                    missing);
    return STATUS_OK;
}

enum status engine_new(const struct slipway_engine *table, const char *name, const char *path,
                       struct engine **ret_engine, struct error *err)
{
    TRY(table_check(table, name, path, err));
    struct engine *engine = MEM_NEW(struct engine);
    engine->table = table;
    engine->path = mem_copy_text(path);
    *ret_engine = engine;
    return STATUS_OK;
}

void engine_free(struct engine *engine)
{
    if (!engine) return;
    mem_free(engine->path);
    mem_free(engine);
}

const char *engine_name(const struct engine *engine)
{
    return engine->table->name;
}
const char *engine_version(const struct engine *engine)
{
    return engine->table->version;
}
const char *engine_path(const struct engine *engine)
{
    return engine->path;
}

/* ---- Errors from the other side ---- */

/* Makes printable text of whatever bytes an engine left: ends it, replaces what is not UTF-8. */
static void message_clean(char message[ERROR_MESSAGE_SIZE])
{
    message[ERROR_MESSAGE_SIZE - 1] = '\0';
    bool is_text = str_is_utf8(str_of(message));
    for (char *byte = message; *byte; byte++) {
        bool control = (unsigned char)*byte < 0x20 || *byte == 0x7f;
        if (control) *byte = ' ';
        if (!is_text && (unsigned char)*byte >= 0x80) *byte = '?';
    }
}

/* An engine's failure as one of ours. The returned status counts; the one in the struct is a copy.
 */
static enum status translate(const struct engine *engine, enum slipway_status status,
                             struct slipway_error *error, const char *call, struct error *err)
{
    message_clean(error->message);
    if ((unsigned)status >= STATUS_COUNT)
        return fail(err, STATUS_INTERNAL, "engine '%s' returned status %d from %s: %.300s",
                    engine_name(engine), (int)status, call, error->message);
    if (!error->message[0])
        return fail(err, (enum status)status, "engine '%s' failed in %s and did not say why",
                    engine_name(engine), call);
    return fail(err, (enum status)status, "%s", error->message);
}

/* ---- Models ---- */

static enum status spec_check(const struct slipway_tensor_spec *spec, const char *what,
                              size_t index, struct error *err)
{
    if (!spec->name || !spec->name[0] || !str_is_utf8(str_of(spec->name)))
        return fail(err, STATUS_INTERNAL, "%s %zu has no name that is text", what, index);
    if (spec->dtype >= DTYPE_COUNT)
        return fail(err, STATUS_INTERNAL, "%s '%.100s' has type %u, which does not exist", what,
                    spec->name, spec->dtype);
    if (spec->rank < -1 || spec->rank > SLIPWAY_RANK_MAX)
        return fail(err, STATUS_INTERNAL, "%s '%.100s' has rank %d, allowed are -1 to %d", what,
                    spec->name, spec->rank, SLIPWAY_RANK_MAX);
    if (spec->rank > 0 && !spec->dims)
        return fail(err, STATUS_INTERNAL, "%s '%.100s' has a rank but no dimensions", what,
                    spec->name);
    for (int32_t i = 0; i < spec->rank; i++)
        if (spec->dims[i] < -1)
            return fail(err, STATUS_INTERNAL, "%s '%.100s' has dimension %lld", what, spec->name,
                        (long long)spec->dims[i]);
    return STATUS_OK;
}

static enum status specs_check(const struct slipway_tensor_spec *specs, size_t count,
                               const char *what, struct error *err)
{
    if (count > SLIPWAY_TENSORS_MAX)
        return fail(err, STATUS_INTERNAL, "%zu %ss, at most %d are allowed", count, what,
                    SLIPWAY_TENSORS_MAX);
    if (count > 0 && !specs) return fail(err, STATUS_INTERNAL, "%ss are missing", what);
    for (size_t i = 0; i < count; i++) {
        TRY(spec_check(&specs[i], what, i, err));
        for (size_t j = 0; j < i; j++)
            if (strcmp(specs[i].name, specs[j].name) == 0)
                return fail(err, STATUS_INTERNAL, "two %ss are called '%.100s'", what,
                            specs[i].name);
    }
    return STATUS_OK;
}

static enum status info_check(const struct slipway_model_info *info, struct error *err)
{
    if (!info->platform || !str_is_utf8(str_of(info->platform)))
        return fail(err, STATUS_INTERNAL, "no platform");
    TRY(specs_check(info->inputs, info->input_count, "input", err));
    return specs_check(info->outputs, info->output_count, "output", err);
}

/* Files whose library trusts what they say of themselves are looked at first. */
static enum status file_check(const struct engine *engine, const char *path, struct error *err)
{
    if (strcmp(engine_name(engine), "torch") != 0) return STATUS_OK;
    return archive_check(path, NULL, err);
}

enum status engine_model_load(struct engine *engine, const struct slipway_load_options *options,
                              struct engine_model **ret_model, struct error *err)
{
    TRY(file_check(engine, options->path, err));
    struct slipway_load_options sized = *options;
    sized.struct_size = sizeof sized;
    struct slipway_error error = {0};
    struct slipway_model *handle = NULL;
    enum slipway_status status = engine->table->model_load(&sized, &handle, &error);
    if (status != SLIPWAY_OK) return translate(engine, status, &error, "model_load", err);
    if (!handle)
        return fail(err, STATUS_INTERNAL, "engine '%s' loaded '%.200s' and returned no model",
                    engine_name(engine), options->path);

    struct engine_model *model = MEM_NEW(struct engine_model);
    model->engine = engine;
    model->handle = handle;
    model->info.struct_size = sizeof model->info;
    engine->table->model_info(handle, &model->info);
    if (info_check(&model->info, err) != STATUS_OK) {
        engine_model_unload(model);
        return fail_while(err, STATUS_INTERNAL, "engine '%s' describes '%.200s' wrongly",
                          engine_name(engine), options->path);
    }
    *ret_model = model;
    return STATUS_OK;
}

void engine_model_unload(struct engine_model *model)
{
    if (!model) return;
    model->engine->table->model_unload(model->handle);
    mem_free(model);
}

const struct slipway_model_info *engine_model_info(const struct engine_model *model)
{
    return &model->info;
}
struct engine *engine_of_model(const struct engine_model *model)
{
    return model->engine;
}

/* ---- Instances ---- */

enum status engine_instance_new(struct engine_model *model, struct engine_instance **ret_instance,
                                struct error *err)
{
    struct engine *engine = model->engine;
    struct slipway_error error = {0};
    struct slipway_instance *handle = NULL;
    enum slipway_status status = engine->table->instance_new(model->handle, &handle, &error);
    if (status != SLIPWAY_OK) return translate(engine, status, &error, "instance_new", err);
    if (!handle)
        return fail(err, STATUS_INTERNAL, "engine '%s' returned no instance", engine_name(engine));
    struct engine_instance *instance = MEM_NEW(struct engine_instance);
    instance->model = model;
    instance->handle = handle;
    *ret_instance = instance;
    return STATUS_OK;
}

void engine_instance_free(struct engine_instance *instance)
{
    if (!instance) return;
    instance->model->engine->table->instance_free(instance->handle);
    mem_free(instance);
}

/* ---- Results ---- */

/* Strings: each element's bytes must be there. */
static enum status strings_check(const struct slipway_tensor *tensor, struct error *err)
{
    const struct slipway_bytes *strings = tensor->data;
    size_t count = tensor->byte_size / sizeof *strings;
    for (size_t i = 0; i < count; i++)
        if (!strings[i].data && strings[i].size > 0)
            return fail(err, STATUS_INTERNAL, "string %zu has a size but no data", i);
    return STATUS_OK;
}

/* A tensor is well-formed if its type exists and its byte size is that of its shape. */
static enum status tensor_check(const struct slipway_tensor *tensor, struct error *err)
{
    if (tensor->dtype == DTYPE_ANY || tensor->dtype >= DTYPE_COUNT)
        return fail(err, STATUS_INTERNAL, "type %u does not exist", tensor->dtype);
    if (tensor->rank > SLIPWAY_RANK_MAX || (tensor->rank > 0 && !tensor->dims))
        return fail(err, STATUS_INTERNAL, "rank %u without dimensions or above %d", tensor->rank,
                    SLIPWAY_RANK_MAX);
    int64_t count;
    uint64_t byte_size;
    size_t width = dtype_width((enum dtype)tensor->dtype);
    if (!shape_element_count(tensor->dims, tensor->rank, &count) ||
        __builtin_mul_overflow((uint64_t)count, width, &byte_size))
        return fail(err, STATUS_INTERNAL, "its dimensions are negative or too large");
    if (byte_size != tensor->byte_size)
        return fail(err, STATUS_INTERNAL, "%llu bytes, its shape and type %s need %llu",
                    (unsigned long long)tensor->byte_size, dtype_name((enum dtype)tensor->dtype),
                    (unsigned long long)byte_size);
    if (byte_size > 0 && !tensor->data) return fail(err, STATUS_INTERNAL, "no data");
    size_t alignment = tensor->dtype == DTYPE_BYTES ? _Alignof(struct slipway_bytes) : width;
    if ((uintptr_t)tensor->data % alignment != 0)
        return fail(err, STATUS_INTERNAL, "data is not aligned to %zu bytes", alignment);
    return tensor->dtype == DTYPE_BYTES ? strings_check(tensor, err) : STATUS_OK;
}

static enum status result_check(const struct slipway_model_info *info, const uint8_t *wanted,
                                const struct slipway_result *result, struct error *err)
{
    if (result->tensor_count != info->output_count || (info->output_count && !result->tensors))
        return fail(err, STATUS_INTERNAL, "%zu outputs, the model has %zu", result->tensor_count,
                    info->output_count);
    for (size_t i = 0; i < info->output_count; i++) {
        const struct slipway_tensor *tensor = &result->tensors[i];
        const struct slipway_tensor_spec *spec = &info->outputs[i];
        if (tensor->dtype == DTYPE_ANY && wanted && !wanted[i]) continue;
        TRY(fail_while(err, tensor_check(tensor, err), "output '%.100s'", spec->name));
        if (spec->dtype != DTYPE_ANY && spec->dtype != tensor->dtype)
            return fail(err, STATUS_INTERNAL, "output '%.100s' is %s, the model says %s",
                        spec->name, dtype_name((enum dtype)tensor->dtype),
                        dtype_name((enum dtype)spec->dtype));
    }
    return STATUS_OK;
}

enum status engine_execute(struct engine_instance *instance, const struct slipway_tensor *inputs,
                           size_t input_count, const uint8_t *wanted,
                           struct engine_result *ret_result, struct error *err)
{
    struct engine_model *model = instance->model;
    struct engine *engine = model->engine;
    assert(input_count == model->info.input_count);

    struct slipway_error error;
    error.message[0] = '\0';
    struct slipway_result raw = {.struct_size = sizeof raw};
    enum slipway_status status =
        engine->table->execute(instance->handle, inputs, input_count, wanted, &raw, &error);
    if (UNLIKELY(status != SLIPWAY_OK)) return translate(engine, status, &error, "execute", err);
    if (UNLIKELY(result_check(&model->info, wanted, &raw, err) != STATUS_OK)) {
        engine->table->result_release(&raw);
        return fail_while(err, STATUS_INTERNAL, "engine '%s' returned a malformed result",
                          engine_name(engine));
    }
    *ret_result = (struct engine_result){raw.tensors, raw.tensor_count, raw, engine->table};
    return STATUS_OK;
}

void engine_result_release(struct engine_result *result)
{
    result->table->result_release(&result->raw);
    *result = (struct engine_result){0};
}
