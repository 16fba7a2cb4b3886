/*
 * Engines as the rest of the product sees them: thin wrappers over the C ABI of
 * include/slipway/engine.h that speak `struct error` and trust nothing. What an engine returns --
 * names, counts, types, shapes, byte sizes, statuses, messages -- is checked here, once, so that a
 * faulty engine of a third party yields an error and not a crash further on.
 *
 *   struct engine_registry *registry = engine_registry_new(directory);          // loader.h
 *   struct engine *engine;
 *   TRY(engine_open(registry, "onnx", &engine, err));
 *   struct slipway_load_options options = {.struct_size = sizeof(options), .name = "doubleit",
 *                                          .path = "models/doubleit/1/model.onnx"};
 *   struct engine_model *model;
 *   TRY(engine_model_load(engine, &options, &model, err));
 *   const struct slipway_model_info *info = engine_model_info(model);    // inputs, outputs
 *
 *   struct engine_instance *instance;                                    // one per thread
 *   TRY(engine_instance_new(model, &instance, err));
 *   struct engine_result result;
 *   TRY(engine_execute(instance, inputs, info->input_count, NULL, &result, err));
 *   ... result.tensors[0 .. result.tensor_count) ...
 *   engine_result_release(&result);
 *   engine_instance_free(instance);
 *   engine_model_unload(model);
 *
 * Lifetimes, longest first: registry, engine, model, instance; a result may outlive its instance
 * but not its model. An engine, once open, stays in the process until it ends.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "base/error.h"
#include "base/str.h"

struct engine; /* owned by the registry that opened it */
struct engine_model;
struct engine_instance;

/* The outputs of one execute: tensors[i] is the model's output i, dtype ANY if it was not wanted
 * and not computed. Everything is owned by the engine until engine_result_release. */
struct engine_result {
    const struct slipway_tensor *tensors;
    size_t tensor_count;
    struct slipway_result raw;
    const struct slipway_engine *table;
};

/* "onnx" */
const char *engine_name(const struct engine *engine);
/* "ONNX Runtime 1.27.0" */
const char *engine_version(const struct engine *engine);
/* The shared object it came from. */
const char *engine_path(const struct engine *engine);

/*
 * Loads a model, owned by the caller. The options are borrowed; struct_size is set here. Slow. Any
 * thread, several at a time. INVALID_ARGUMENT: the file is damaged, hostile or of another kind;
 * NOT_FOUND: not there; EXHAUSTED: memory; INTERNAL: the engine broke its contract.
 */
enum status engine_model_load(struct engine *engine, const struct slipway_load_options *options,
                              struct engine_model **ret_model, struct error *err) FALLIBLE;

/* Frees a model; NULL is fine. Its instances are freed and its results released before. */
void engine_model_unload(struct engine_model *model);

/* What the model takes and gives, checked. Valid until the unload; any thread. */
const struct slipway_model_info *engine_model_info(const struct engine_model *model);

/* The engine that runs it. */
struct engine *engine_of_model(const struct engine_model *model);

/* What one thread needs to run the model, owned by the caller. Weights are shared. Any thread. */
enum status engine_instance_new(struct engine_model *model, struct engine_instance **ret_instance,
                                struct error *err) FALLIBLE;

/* Frees an instance, NULL is fine; none of its calls runs. Any thread. */
void engine_instance_free(struct engine_instance *instance);

/*
 * Runs the model once. `inputs`: one tensor per input of the model in its order, absent optional
 * ones with dtype ANY; borrowed until the return, not written to. `wanted`: one byte per output,
 * NULL for all. Any thread, one call at a time per instance. On success *ret_result is to be given
 * to engine_result_release once. A result that is not well-formed (see result_check) is INTERNAL.
 *
 * Output types are as the model says; shapes are those of this call and are not compared with the
 * model's: files often declare them wrongly, and the reply carries the real ones.
 */
enum status engine_execute(struct engine_instance *instance, const struct slipway_tensor *inputs,
                           size_t input_count, const uint8_t *wanted,
                           struct engine_result *ret_result, struct error *err) FALLIBLE;

/* Any thread, also while the instance runs again; the model is still loaded. */
void engine_result_release(struct engine_result *result);

/*
 * For the loader: checks a table that an engine returned and makes an engine of it, owned by the
 * caller. `path` is copied, for messages. FAILED_PRECONDITION with what is wrong.
 */
enum status engine_new(const struct slipway_engine *table, const char *name, const char *path,
                       struct engine **ret_engine, struct error *err) FALLIBLE;
void engine_free(struct engine *engine);

#endif
