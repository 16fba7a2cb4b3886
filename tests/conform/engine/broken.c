/* An engine that is wrong in the one way that its build names. Never runs a model. */
#include <slipway/engine.h>

#include <stdlib.h>

static enum slipway_status model_load(const struct slipway_load_options *options,
                                      struct slipway_model **ret_model, struct slipway_error *error)
{
    (void)options, (void)ret_model, (void)error;
    return SLIPWAY_INTERNAL;
}
static void model_info(const struct slipway_model *model, struct slipway_model_info *info)
{
    (void)model, (void)info;
}
static void model_unload(struct slipway_model *model)
{
    (void)model;
}
static enum slipway_status instance_new(struct slipway_model *model,
                                        struct slipway_instance **ret_instance,
                                        struct slipway_error *error)
{
    (void)model, (void)ret_instance, (void)error;
    return SLIPWAY_INTERNAL;
}
static void instance_free(struct slipway_instance *instance)
{
    (void)instance;
}
static enum slipway_status execute(struct slipway_instance *instance,
                                   const struct slipway_tensor *inputs, size_t input_count,
                                   const uint8_t *wanted, struct slipway_result *ret_result,
                                   struct slipway_error *error)
{
    (void)instance, (void)inputs, (void)input_count, (void)wanted, (void)ret_result, (void)error;
    return SLIPWAY_INTERNAL;
}
static void result_release(struct slipway_result *result)
{
    (void)result;
}

static const struct slipway_engine broken_table = {
#ifdef BROKEN_short_table
    .struct_size = 32,
#else
    .struct_size = sizeof broken_table,
#endif
#ifdef BROKEN_wrong_version
    .abi_version = 99,
#else
    .abi_version = SLIPWAY_ENGINE_ABI_VERSION,
#endif
#if defined BROKEN_wrong_name
    .name = "other",
#elif !defined BROKEN_no_name
    .name = BROKEN_NAME,
#endif
#ifndef BROKEN_no_version
    .version = "1",
#endif
    .model_load = model_load,
    .model_info = model_info,
    .model_unload = model_unload,
    .instance_new = instance_new,
    .instance_free = instance_free,
#ifdef BROKEN_no_execute
    .execute = sizeof(&execute) ? NULL : execute,
#else
    .execute = execute,
#endif
#ifdef BROKEN_no_release
    .result_release = sizeof(&result_release) ? NULL : result_release,
#else
    .result_release = result_release,
#endif
};

#ifdef BROKEN_no_symbol
#define slipway_engine_entry not_the_entry
const struct slipway_engine *not_the_entry(const struct slipway_host *host);
#endif

__attribute__((visibility("default"))) const struct slipway_engine *
slipway_engine_entry(const struct slipway_host *host)
{
#ifdef BROKEN_refused
    return host->struct_size == 0 ? &broken_table : NULL;
#else
    (void)host;
    return &broken_table;
#endif
}
