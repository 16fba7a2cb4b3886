/*
 * One engine call for a list of calls: gathers their rows, runs the engine, and gives each call the
 * view of its own rows. No threads, no lane: the loop's thread and the runners both use it.
 *
 *   struct execute_memory memory;                      // one per thread, reused
 *   TRY(execute_calls(model, instance, &calls, &memory, &result, err));
 *   for each call: execute_view(model, &result, call, &views)    // call->outputs
 *   engine_result_release(&result);
 *
 * A list of one call passes the request's own tensors to the engine; more are gathered into 64-byte
 * aligned memory, input by input:
 *
 *   input 0: | rows of call a | rows of call b | ... |   input 1: | ... |
 */
#ifndef SERVE_EXECUTE_H
#define SERVE_EXECUTE_H

#include "engine/engine.h"
#include "serve/serve.h"

enum {
    EXECUTE_ALIGNMENT = 64,
    EXECUTE_MEMORY_KEPT = 16 * 1024 * 1024, /* bytes; more is freed after its batch */
};

/* Another shape for the engine than for the client, as `reshape` in a model's config. */
struct execute_reshape {
    bool used;
    bool batched; /* dims[0] is the batch and stays as it is */
    uint32_t rank;
    int64_t dims[SLIPWAY_RANK_MAX]; /* without the batch; the n-th -1 takes the n-th variable dim */
    uint32_t variable_count;
    uint32_t
        variable_from[SLIPWAY_RANK_MAX]; /* position of the n-th variable dim in the other shape */
};

/* What of a model an execution needs; part of struct model. */
struct execute_plan {
    const char *name;
    const struct infer_spec *spec;
    const struct execute_reshape *input_reshapes;  /* one per input; NULL: none has one */
    const struct execute_reshape *output_reshapes; /* one per output; NULL: none */
};

struct execute_memory {
    char *rows;
    size_t rows_capacity;
    size_t tensor_capacity;
    struct slipway_tensor *tensors;
    int64_t (*dims)[SLIPWAY_RANK_MAX];
    uint8_t *wanted;
    uint64_t gathered_ns; /* when the last gathering ended; 0: there was nothing to gather */
};

void execute_memory_init(struct execute_memory *memory);
void execute_memory_clear(struct execute_memory *memory);

/*
 * Runs the engine for the calls of a list (by item.link; not empty, shape keys equal, `rows` all
 * together) and sets call->row of each. On success the caller releases *ret_result.
 */
enum status execute_calls(const struct execute_plan *plan, struct engine_instance *instance,
                          struct list *calls, int64_t rows, struct execute_memory *memory,
                          struct engine_result *ret_result, struct error *err) FALLIBLE;

/*
 * Points call->outputs at the call's rows of a result. `views` holds the views and may be the same
 * for one call after another. `rows` as above.
 */
void execute_view(const struct execute_plan *plan, const struct engine_result *result, int64_t rows,
                  struct serve_call *call, struct execute_memory *views);

/* Equal for calls whose inputs may stand in one batch: same types, same dims but the first. */
uint64_t execute_shape_key(const struct infer_bound *bound, size_t input_count);

/* The bytes of all inputs, those that BYTES elements point to included. */
uint64_t execute_input_bytes(const struct infer_bound *bound, size_t input_count);

#endif
