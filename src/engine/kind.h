/*
 * Which engine a model needs: from what its configuration says, or from the file itself. Tables, no
 * state.
 */
#ifndef ENGINE_KIND_H
#define ENGINE_KIND_H

#include "engine/loader.h"

/*
 * The engine for a configuration's `backend` or `platform`: "pytorch", "pytorch_libtorch" and
 * "torch" are "torch"; "onnx", "onnxruntime" and "onnxruntime_onnx" are "onnx"; anything else names
 * its engine itself and is returned as it is.
 */
struct str engine_for_platform(struct str platform);

/*
 * The engine for a model file: by its extension (.onnx; .pt .pth .torchscript; .NAME of an engine
 * that is installed), else by its first bytes. Writes the name into ret_name, which has room for
 * ENGINE_NAME_SIZE bytes. NOT_FOUND: no such file; INVALID_ARGUMENT: not a kind that is known, with
 * a list of those that are.
 */
enum status engine_for_file(const struct engine_registry *registry, const char *path,
                            char *ret_name, struct error *err) FALLIBLE;

/* The file name that an engine's model has in a model repository: "model.onnx", "model.pt"; NULL if
 * the engine is not in the table (then it is "model.NAME"). */
const char *engine_default_file(struct str engine);

#endif
