/* A serve with one lane, turned by hand. */
#include "cli/local.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/loader.h"
#include "loop/loop.h"
#include "watch/process.h"

#include <sys/stat.h>

enum {
    LOAD_TIMEOUT_S = 3600,
    TURN_WAIT_MS = 100,
    HELD_MAX = 1024, /* models found */
};

struct local {
    char *path;
    struct engine_registry *engines;
    struct serve *serve;
    bool borrowed; /* the serve is somebody else's */
    bool engines_borrowed;
    struct loop *loop;
    struct serve_lane *lane;
    struct serve_index index;
    uint64_t load_ns;
    uint64_t load_bytes;
    struct serve_model *held[HELD_MAX];
    size_t held_count;
};

static enum status start(struct local *local, const struct local_options *options,
                         struct error *err)
{
    const char *repositories[] = {options->path};
    struct serve_options serve_options = {
        .engines = local->engines,
        .repositories = repositories,
        .repository_count = 1,
        .control = SERVE_CONTROL_NONE,
        .lane_count = 1,
        .engine_threads = options->engine_threads,
        .trial_program = options->trial ? "/proc/self/exe" : NULL,
    };
    TRY(loop_new(&(struct loop_options){0}, &local->loop, err));
    if (options->serve)
        local->serve = options->serve;
    else
        TRY(serve_new(&serve_options, &local->serve, err));
    TRY(serve_start_loading(local->serve, err));
    local->lane = serve_lane_new(local->serve, local->loop);
    if (!serve_wait_started(local->serve, LOAD_TIMEOUT_S * NS_PER_S))
        return fail(err, STATUS_DEADLINE_EXCEEDED, "'%s' was not loaded within an hour",
                    options->path);
    loop_turn(local->loop, 0); /* the lane takes the plan */
    serve_index_read(local->serve, false, &local->index);
    return STATUS_OK;
}

static uint64_t sum_of_loads(struct serve *serve)
{
    struct serve_statistics statistics;
    uint64_t total_ns = 0;
    serve_statistics_read(serve, STR_EMPTY, STR_EMPTY, &statistics);
    for (size_t i = 0; i < statistics.count; i++) total_ns += statistics.rows[i].load_ns;
    serve_statistics_clear(&statistics);
    return total_ns;
}

enum status local_open(const struct local_options *options, struct local **ret_local,
                       struct error *err)
{
    struct metrics_process before, after;
    /* What a server logs of its models' loading, a command tells in its own way. */
    enum log_level level = log_get_level();
    log_set_level(LOG_LEVEL_OFF);
    process_read(&before);
    struct local *local = MEM_NEW(struct local);
    local->path = mem_copy_text(options->path);
    local->borrowed = options->serve != NULL;
    local->engines_borrowed = options->engines != NULL;
    local->engines = options->engines;
    if (!local->engines && !local->borrowed)
        local->engines = engine_registry_new(options->engine_directory);
    enum status status = start(local, options, err);
    log_set_level(MAX(level, LOG_LEVEL_WARNING));
    if (status != STATUS_OK) {
        local_close(local);
        return status;
    }
    local->load_ns = sum_of_loads(local->serve);
    process_read(&after);
    if (after.resident_bytes > before.resident_bytes)
        local->load_bytes = after.resident_bytes - before.resident_bytes;
    *ret_local = local;
    return STATUS_OK;
}

enum status local_share(struct local *owner, struct local **ret_local, struct error *err)
{
    struct local *local = MEM_NEW(struct local);
    local->path = mem_copy_text(owner->path);
    local->borrowed = local->engines_borrowed = true;
    local->serve = owner->serve;
    enum status status = loop_new(&(struct loop_options){0}, &local->loop, err);
    if (status != STATUS_OK) {
        local_close(local);
        return status;
    }
    local->lane = serve_lane_new(local->serve, local->loop);
    loop_turn(local->loop, 0);
    serve_index_read(local->serve, false, &local->index);
    *ret_local = local;
    return STATUS_OK;
}

void local_close(struct local *local)
{
    if (!local) return;
    for (size_t i = 0; i < local->held_count; i++) serve_model_release(local->held[i]);
    serve_index_clear(&local->index);
    if (local->lane) serve_lane_free(local->lane);
    if (!local->borrowed) serve_free(local->serve);
    loop_free(local->loop);
    if (!local->engines_borrowed) engine_registry_free(local->engines);
    mem_free(local->path);
    mem_free(local);
}

const struct serve_index *local_index(struct local *local)
{
    return &local->index;
}

uint64_t local_load_ns(const struct local *local)
{
    return local->load_ns;
}

uint64_t local_load_bytes(const struct local *local)
{
    return local->load_bytes;
}

/* Why a model is not there, in the load's own words. */
static enum status fail_for_index(const struct local *local, struct str name, enum status status,
                                  struct error *err)
{
    for (size_t i = 0; i < local->index.count; i++) {
        const struct serve_index_row *row = &local->index.rows[i];
        if (str_equal(str_of(row->name), name) && *row->reason)
            return fail(err, STATUS_FAILED_PRECONDITION, "model '%s' could not be loaded: %s",
                        row->name, row->reason);
    }
    return status;
}

enum status local_find(struct local *local, struct str name, struct serve_model **ret_model,
                       struct error *err)
{
    struct serve_model *model;
    enum status status = serve_find(local->lane, name, STR_EMPTY, &model, err);
    if (status != STATUS_OK) return fail_for_index(local, name, status, err);
    if (local->held_count == HELD_MAX)
        return fail(err, STATUS_EXHAUSTED, "more than %d models are in use", HELD_MAX);
    serve_model_hold(model);
    local->held[local->held_count++] = model;
    *ret_model = model;
    return STATUS_OK;
}

enum status local_only(struct local *local, struct serve_model **ret_model, struct error *err)
{
    const struct serve_index *index = &local->index;
    if (index->count == 0)
        return fail(err, STATUS_NOT_FOUND,
                    "'%s' holds no model; name a model file or a model's directory", local->path);
    const char *first = index->rows[0].name;
    const char *last = index->rows[index->count - 1].name;
    if (strcmp(first, last) != 0)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%s' holds several models, from '%s' to '%s': name one of them, as in '%s/%s'",
                    local->path, first, last, local->path, first);
    return local_find(local, str_of(first), ret_model, err);
}

static bool is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

char *local_model_directory(const struct local *local, struct str name)
{
    if (!is_directory(local->path)) {
        const char *slash = strrchr(local->path, '/');
        if (!slash) return mem_copy_text(".");
        return str_copy((struct str){local->path, (size_t)MAX(slash - local->path, 1)});
    }
    char *inside = mem_format("%s/%.*s", local->path, STR_ARGS(name));
    if (is_directory(inside)) return inside;
    mem_free(inside);
    return mem_copy_text(local->path);
}

/* --- running ---------------------------------------------------------------------------------- */

/* The data of a tensor, in the arena; elements of BYTES too. */
static bool copy_data(struct arena *arena, struct slipway_tensor *tensor)
{
    if (tensor->byte_size == 0) return true;
    void *data = arena_try_aligned(arena, tensor->byte_size, 64);
    if (!data) return false;
    memcpy(data, tensor->data, tensor->byte_size);
    tensor->data = data;
    if (tensor->dtype != DTYPE_BYTES) return true;
    struct slipway_bytes *elements = data;
    for (size_t i = 0; i < tensor->byte_size / sizeof *elements; i++) {
        struct str copy = arena_try_copy(arena, (struct str){elements[i].data, elements[i].size});
        if (!copy.data) return false;
        elements[i].data = copy.data;
    }
    return true;
}

static bool copy_tensor(struct arena *arena, struct slipway_tensor *tensor)
{
    int64_t *dims = ARENA_TRY_ARRAY(arena, int64_t, MAX(tensor->rank, 1U));
    if (!dims) return false;
    if (tensor->rank) memcpy(dims, tensor->dims, tensor->rank * sizeof *dims);
    tensor->dims = dims;
    return copy_data(arena, tensor);
}

/* The outputs live until on_done returns: they are copied. */
static bool take_outputs(struct local_call *local_call)
{
    struct serve_call *call = &local_call->call;
    struct arena *arena = local_call->request->arena;
    const struct infer_spec *spec = serve_model_spec(local_call->model);
    struct infer_tensor *outputs =
        ARENA_TRY_ARRAY(arena, struct infer_tensor, MAX(call->output_count, 1U));
    if (!outputs) return false;
    size_t count = 0;
    for (size_t i = 0; i < call->output_count; i++) {
        if (call->outputs[i].dtype == DTYPE_ANY) continue;
        outputs[count].name = str_of(spec->outputs[i].name);
        outputs[count].tensor = call->outputs[i];
        if (!copy_tensor(arena, &outputs[count++].tensor)) return false;
    }
    local_call->reply = (struct infer_reply){
        .model_name = serve_model_name(local_call->model),
        .model_version = serve_model_version(local_call->model),
        .id = local_call->request->id,
        .outputs = outputs,
        .output_count = count,
    };
    return true;
}

static void on_done(struct serve_call *call, enum status status, const struct error *err)
{
    struct local_call *local_call = CONTAINER_OF(call, struct local_call, call);
    local_call->total_ns = clock_monotonic_ns() - call->times.received_ns;
    local_call->batch_rows = call->batch_rows;
    local_call->status = status;
    if (status != STATUS_OK) {
        local_call->err = *err;
        return;
    }
    if (!take_outputs(local_call))
        local_call->status = fail(&local_call->err, STATUS_EXHAUSTED,
                                  "no memory for a copy of the outputs within the arena's limit");
}

static void on_release(struct serve_call *call)
{
    --*CONTAINER_OF(call, struct local_call, call)->pending;
}

static void submit(struct local *local, struct local_call *local_call, uint64_t *pending)
{
    struct infer_request *request = local_call->request;
    local_call->pending = pending;
    local_call->call = (struct serve_call){
        .model = local_call->model,
        .priority = request->priority,
        .timeout_us = request->timeout_us,
        .on_done = on_done,
        .on_release = on_release,
    };
    struct error *err = &local_call->err;
    local_call->status = infer_request_bind(serve_model_spec(local_call->model), request,
                                            &local_call->call.bound, err);
    if (local_call->status != STATUS_OK) return;
    local_call->call.times.received_ns = clock_monotonic_ns();
    local_call->status = serve_submit(local->lane, &local_call->call, err);
    if (local_call->status == STATUS_OK) ++*pending;
}

void local_run(struct local *local, struct local_call *calls, size_t count)
{
    uint64_t pending = 0;
    for (size_t i = 0; i < count; i++) submit(local, &calls[i], &pending);
    loop_hurry(local->loop);
    while (pending > 0) loop_turn(local->loop, TURN_WAIT_MS * NS_PER_MS);
}
