/*
 * The onnx engine: ONNX models by ONNX Runtime's C API. One session per model, shared by its
 * instances; nothing of it writes, executes or connects. Files: library (the API and its errors),
 * message, scan (a look at the file before the library gets it), options, model, run.
 */
#include "run.h"

static struct slipway_engine engine = {
    .struct_size = sizeof engine,
    .abi_version = SLIPWAY_ENGINE_ABI_VERSION,
    .name = "onnx",
    .model_load = onnx_model_load,
    .model_info = onnx_model_info,
    .model_unload = onnx_model_unload,
    .instance_new = onnx_instance_new,
    .instance_free = onnx_instance_free,
    .execute = onnx_execute,
    .result_release = onnx_result_release,
};

__attribute__((visibility("default"))) const struct slipway_engine *
slipway_engine_entry(const struct slipway_host *host)
{
    if (host->abi_version != SLIPWAY_ENGINE_ABI_VERSION || !onnx_library_open(host)) return NULL;
    engine.version = onnx_library_version();
    return &engine;
}
