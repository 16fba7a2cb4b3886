/* Configuration and files that came with a load request. */
#include "serve/overrides.h"

#include "base/mem.h"
#include "serve/file.h"
#include "serve/plan.h"

#include <errno.h>
#include <stdlib.h>

static void free_files(struct overrides *overrides)
{
    for (size_t i = 0; i < overrides->file_count; i++) {
        mem_free((void *)(uintptr_t)overrides->files[i].path.data);
        mem_free((void *)(uintptr_t)overrides->files[i].content.data);
    }
    mem_free(overrides->files);
    overrides->files = NULL;
    overrides->file_count = 0;
}

void overrides_free(struct overrides *overrides)
{
    if (!overrides) return;
    free_files(overrides);
    model_config_free(overrides->config);
    if (overrides->directory) file_remove_tree(overrides->directory);
    mem_free(overrides->directory);
    mem_free(overrides);
}

/* "1/model.onnx": a version, then a file below it. */
static enum status check_file(const struct serve_load_file *file, const char *name,
                              struct error *err)
{
    struct str rest = file->path;
    int cut = (int)MIN(file->path.size, (size_t)100);
    if (!file_path_is_inside(file->path))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "failed to load '%s', file override '%.*s' must be a path inside the model's "
                    "directory, with names of at most %d bytes",
                    name, cut, file->path.data, FILE_COMPONENT_MAX);
    if (plan_parse_version(str_cut(&rest, '/')) <= 0 || !rest.data)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "failed to load '%s', file override '%.*s' must begin with a version", name,
                    cut, file->path.data);
    return STATUS_OK;
}

static enum status check(const struct serve_load_overrides *from, const char *name,
                         uint64_t size_max, struct error *err)
{
    uint64_t total = 0;
    if (from->file_count > 0 && !from->config.data)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "failed to load '%s', file override requires the parameter 'config'", name);
    if (from->file_count > OVERRIDES_FILES_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "failed to load '%s', more than %d file overrides", name, OVERRIDES_FILES_MAX);
    for (size_t i = 0; i < from->file_count; i++) {
        TRY(check_file(&from->files[i], name, err));
        total += from->files[i].content.size;
        if (total > size_max)
            return fail(err, STATUS_EXHAUSTED,
                        "failed to load '%s', its file overrides exceed %llu bytes", name,
                        (unsigned long long)size_max);
    }
    return STATUS_OK;
}

static enum status copy_files(const struct serve_load_overrides *from, struct overrides *overrides,
                              struct error *err)
{
    overrides->files = MEM_NEW_ARRAY(struct serve_load_file, from->file_count);
    for (size_t i = 0; i < from->file_count; i++) {
        struct str content = from->files[i].content;
        char *copy = mem_try_new(content.size + 1);
        if (!copy)
            return fail(err, STATUS_EXHAUSTED, "no memory for a file of %zu bytes", content.size);
        if (content.size) memcpy(copy, content.data, content.size);
        char *path = str_copy(from->files[i].path);
        overrides->files[overrides->file_count++] =
            (struct serve_load_file){str_of(path), {copy, content.size}};
    }
    return STATUS_OK;
}

enum status overrides_new(const struct serve_load_overrides *from, const char *name,
                          uint64_t size_max, struct overrides **ret_overrides, struct error *err)
{
    if (!from || (!from->config.data && from->file_count == 0)) {
        *ret_overrides = NULL;
        return STATUS_OK;
    }
    TRY(check(from, name, size_max, err));
    struct overrides *overrides = MEM_NEW(struct overrides);
    enum status status = fail_while(
        err, model_config_read(from->config, MODEL_CONFIG_JSON, "config", &overrides->config, err),
        "failed to load '%s'", name);
    if (status == STATUS_OK) status = copy_files(from, overrides, err);
    if (status == STATUS_OK)
        *ret_overrides = overrides;
    else
        overrides_free(overrides);
    return status;
}

enum status overrides_write(struct overrides *overrides, struct error *err)
{
    if (overrides->file_count == 0) return STATUS_OK;
    char directory[] = P_tmpdir "/slipway-model-XXXXXX";
    if (!mkdtemp(directory)) return fail_errno(err, errno, "making '%s'", directory);
    overrides->directory = mem_copy_text(directory);
    for (size_t i = 0; i < overrides->file_count; i++)
        TRY(file_write_inside(directory, overrides->files[i].path, overrides->files[i].content,
                              err));
    free_files(overrides);
    return STATUS_OK;
}
