/* Gathering rows, running the engine, and handing out views. */
#include "serve/execute.h"

#include "base/clock.h"
#include "base/mem.h"

void execute_memory_init(struct execute_memory *memory)
{
    memset(memory, 0, sizeof *memory);
}

void execute_memory_clear(struct execute_memory *memory)
{
    mem_free(memory->rows);
    mem_free(memory->tensors);
    mem_free(memory->dims);
    mem_free(memory->wanted);
    execute_memory_init(memory);
}

/* Room for the descriptions of `count` tensors; at most SLIPWAY_TENSORS_MAX, so it cannot fail. */
static void reserve_tensors(struct execute_memory *memory, size_t count)
{
    assert(count <= SLIPWAY_TENSORS_MAX);
    if (LIKELY(count <= memory->tensor_capacity)) return;
    memory->tensor_capacity = count;
    memory->tensors = mem_resize(memory->tensors, count * sizeof *memory->tensors);
    memory->dims = mem_resize(memory->dims, count * sizeof *memory->dims);
    memory->wanted = mem_resize(memory->wanted, count);
}

static enum status reserve_rows(struct execute_memory *memory, size_t size, struct error *err)
{
    if (LIKELY(size <= memory->rows_capacity)) return STATUS_OK;
    mem_free(memory->rows);
    memory->rows_capacity = 0;
    size_t capacity = MAX(size, (size_t)4096);
    memory->rows = mem_try_new_aligned(EXECUTE_ALIGNMENT, capacity);
    if (!memory->rows)
        return fail(err, STATUS_EXHAUSTED, "no memory for a batch of %zu bytes", size);
    memory->rows_capacity = capacity;
    return STATUS_OK;
}

static void release_large_rows(struct execute_memory *memory)
{
    if (LIKELY(memory->rows_capacity <= EXECUTE_MEMORY_KEPT)) return;
    mem_free(memory->rows);
    memory->rows = NULL;
    memory->rows_capacity = 0;
}

static struct serve_call *call_of(struct list *link)
{
    return CONTAINER_OF(link, struct serve_call, item.link);
}

/* Writes the other shape of a tensor into `dims` and returns its rank. */
static uint32_t reshape(const struct execute_reshape *rule, const struct slipway_tensor *tensor,
                        int64_t *dims)
{
    uint32_t rank = 0, variable = 0;
    uint32_t first = rule->batched ? 1 : 0;
    if (first && tensor->rank > 0) dims[rank++] = tensor->dims[0];
    for (uint32_t i = 0; i < rule->rank; i++) {
        int64_t dim = rule->dims[i];
        if (dim < 0 && variable < rule->variable_count) {
            uint32_t from = first + rule->variable_from[variable++];
            dim = from < tensor->rank ? tensor->dims[from] : 1;
        }
        dims[rank++] = dim;
    }
    assert(rank <= SLIPWAY_RANK_MAX);
    return rank;
}

/* The inputs as the engine wants to see them; only where a reshape is configured. */
static const struct slipway_tensor *reshape_inputs(const struct execute_plan *plan,
                                                   const struct slipway_tensor *tensors,
                                                   struct execute_memory *memory)
{
    if (LIKELY(!plan->input_reshapes)) return tensors;
    for (size_t i = 0; i < plan->spec->input_count; i++) {
        const struct execute_reshape *rule = &plan->input_reshapes[i];
        int64_t dims[SLIPWAY_RANK_MAX];
        memory->tensors[i] = tensors[i];
        if (!rule->used || tensors[i].dtype == DTYPE_ANY) continue;
        memory->tensors[i].rank = reshape(rule, &tensors[i], dims);
        memcpy(memory->dims[i], dims, sizeof dims);
        memory->tensors[i].dims = memory->dims[i];
    }
    return memory->tensors;
}

static size_t align_up(size_t size)
{
    return (size + EXECUTE_ALIGNMENT - 1) & ~(size_t)(EXECUTE_ALIGNMENT - 1);
}

static size_t gathered_size(struct list *calls, size_t input_count)
{
    size_t total = 0;
    LIST_EACH(link, calls)
    {
        const struct slipway_tensor *tensors = call_of(link)->bound.tensors;
        for (size_t i = 0; i < input_count; i++) total += (size_t)tensors[i].byte_size;
    }
    return total + input_count * EXECUTE_ALIGNMENT;
}

/* Keys are equal, but a key is only a hash: the shapes decide. */
static bool may_stand_together(const struct slipway_tensor *a, const struct slipway_tensor *b)
{
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    for (uint32_t i = 1; i < a->rank; i++)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

/* Copies input `index` of all calls to `target`, one after the other; NULL if they do not match. */
static char *gather_input(struct list *calls, size_t index, int64_t rows, char *target,
                          struct execute_memory *memory)
{
    const struct slipway_tensor *first = &call_of(calls->next)->bound.tensors[index];
    struct slipway_tensor *tensor = &memory->tensors[index];
    *tensor = *first;
    if (first->dtype == DTYPE_ANY) return target;
    if (UNLIKELY(first->rank == 0)) return NULL;
    memcpy(memory->dims[index], first->dims, first->rank * sizeof *first->dims);
    memory->dims[index][0] = rows;
    tensor->dims = memory->dims[index];
    tensor->data = target;
    LIST_EACH(link, calls)
    {
        const struct slipway_tensor *part = &call_of(link)->bound.tensors[index];
        if (UNLIKELY(!may_stand_together(first, part))) return NULL;
        if (part->byte_size) memcpy(target, part->data, (size_t)part->byte_size);
        target += part->byte_size;
    }
    tensor->byte_size = (uint64_t)(target - (char *)tensor->data);
    return target;
}

static enum status gather(const struct execute_plan *plan, struct list *calls, int64_t rows,
                          struct execute_memory *memory, struct error *err)
{
    size_t count = plan->spec->input_count;
    TRY(reserve_rows(memory, gathered_size(calls, count), err));
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        char *end = gather_input(calls, i, rows, memory->rows + used, memory);
        if (UNLIKELY(!end)) /* the caller then runs them one by one */
            return fail(err, STATUS_INVALID_ARGUMENT, "inputs of different shapes in one batch");
        used = align_up((size_t)(end - memory->rows));
    }
    return STATUS_OK;
}

/* What any of the calls wants. */
static const uint8_t *gather_wanted(const struct execute_plan *plan, struct list *calls,
                                    struct execute_memory *memory)
{
    size_t count = plan->spec->output_count;
    memset(memory->wanted, 0, count);
    LIST_EACH(link, calls)
    {
        const uint8_t *wanted = call_of(link)->bound.wanted;
        if (!wanted) return NULL;
        for (size_t i = 0; i < count; i++) memory->wanted[i] |= wanted[i];
    }
    return memory->wanted;
}

static void number_rows(struct list *calls)
{
    int64_t row = 0;
    LIST_EACH(link, calls)
    {
        call_of(link)->row = row;
        row += call_of(link)->item.rows;
    }
}

/* What comes back for a batch must have the batch's rows, or no call could be given its own. */
static enum status check_rows(const struct execute_plan *plan, const struct engine_result *result,
                              int64_t rows, struct error *err)
{
    for (size_t i = 0; i < result->tensor_count; i++) {
        const struct slipway_tensor *tensor = &result->tensors[i];
        if (tensor->dtype == DTYPE_ANY) continue;
        if (tensor->rank >= 1 && tensor->dims[0] == rows) continue;
        return fail(err, STATUS_INTERNAL,
                    "model '%s' was given a batch of %lld rows, but its output '%s' has %lld: it "
                    "cannot be batched, set max_batch_size to 0",
                    plan->name, (long long)rows, plan->spec->outputs[i].name,
                    tensor->rank >= 1 ? (long long)tensor->dims[0] : -1LL);
    }
    return STATUS_OK;
}

static enum status execute_one(const struct execute_plan *plan, struct engine_instance *instance,
                               struct serve_call *call, struct execute_memory *memory,
                               struct engine_result *ret_result, struct error *err)
{
    call->row = 0;
    memory->gathered_ns = 0;
    const struct slipway_tensor *inputs = reshape_inputs(plan, call->bound.tensors, memory);
    return engine_execute(instance, inputs, plan->spec->input_count, call->bound.wanted, ret_result,
                          err);
}

enum status execute_calls(const struct execute_plan *plan, struct engine_instance *instance,
                          struct list *calls, int64_t rows, struct execute_memory *memory,
                          struct engine_result *ret_result, struct error *err)
{
    assert(!list_is_empty(calls));
    reserve_tensors(memory, MAX(plan->spec->input_count, plan->spec->output_count));
    if (calls->next == calls->previous)
        return execute_one(plan, instance, call_of(calls->next), memory, ret_result, err);
    number_rows(calls);
    TRY(gather(plan, calls, rows, memory, err));
    memory->gathered_ns = clock_monotonic_ns();
    const struct slipway_tensor *inputs = reshape_inputs(plan, memory->tensors, memory);
    struct engine_result result;
    enum status status = engine_execute(instance, inputs, plan->spec->input_count,
                                        gather_wanted(plan, calls, memory), &result, err);
    release_large_rows(memory);
    TRY(status);
    status = check_rows(plan, &result, rows, err);
    if (status != STATUS_OK) {
        engine_result_release(&result);
        return status;
    }
    *ret_result = result;
    return STATUS_OK;
}

/* One output's rows of one call. */
static void view_output(const struct slipway_tensor *whole, int64_t rows,
                        const struct serve_call *call, struct slipway_tensor *view, int64_t *dims)
{
    *view = *whole;
    if (whole->dtype == DTYPE_ANY) return;
    uint64_t row_size = rows > 0 ? whole->byte_size / (uint64_t)rows : 0;
    dims[0] = call->item.rows;
    for (uint32_t i = 1; i < whole->rank; i++) dims[i] = whole->dims[i];
    view->dims = dims;
    view->byte_size = row_size * (uint64_t)call->item.rows;
    if (row_size) view->data = (char *)whole->data + row_size * (uint64_t)call->row;
}

static void reshape_outputs(const struct execute_plan *plan, struct execute_memory *views)
{
    for (size_t i = 0; i < plan->spec->output_count; i++) {
        const struct execute_reshape *rule = &plan->output_reshapes[i];
        struct slipway_tensor *view = &views->tensors[i];
        if (!rule->used || view->dtype == DTYPE_ANY) continue;
        int64_t dims[SLIPWAY_RANK_MAX];
        view->rank = reshape(rule, view, dims);
        memcpy(views->dims[i], dims, sizeof dims);
        view->dims = views->dims[i];
    }
}

void execute_view(const struct execute_plan *plan, const struct engine_result *result, int64_t rows,
                  struct serve_call *call, struct execute_memory *views)
{
    size_t count = result->tensor_count;
    bool whole = call->item.rows == rows && call->row == 0;
    call->output_count = count;
    call->outputs = result->tensors;
    if (whole && !plan->output_reshapes) return;
    reserve_tensors(views, count);
    for (size_t i = 0; i < count; i++) {
        if (whole)
            views->tensors[i] = result->tensors[i];
        else
            view_output(&result->tensors[i], rows, call, &views->tensors[i], views->dims[i]);
    }
    if (plan->output_reshapes) reshape_outputs(plan, views);
    call->outputs = views->tensors;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ (hash >> 29);
}

uint64_t execute_shape_key(const struct infer_bound *bound, size_t input_count)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < input_count; i++) {
        const struct slipway_tensor *tensor = &bound->tensors[i];
        hash = mix(hash, ((uint64_t)tensor->dtype << 32) | tensor->rank);
        if (tensor->dtype == DTYPE_ANY) continue;
        for (uint32_t k = 1; k < tensor->rank; k++) hash = mix(hash, (uint64_t)tensor->dims[k]);
    }
    return hash;
}

uint64_t execute_input_bytes(const struct infer_bound *bound, size_t input_count)
{
    uint64_t total = 0;
    for (size_t i = 0; i < input_count; i++) {
        const struct slipway_tensor *tensor = &bound->tensors[i];
        total += tensor->byte_size;
        if (LIKELY(tensor->dtype != DTYPE_BYTES)) continue;
        const struct slipway_bytes *texts = tensor->data;
        for (uint64_t k = 0; k < tensor->byte_size / sizeof *texts; k++) total += texts[k].size;
    }
    return total;
}
