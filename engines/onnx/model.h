/*
 * A loaded ONNX model: one session, which any number of threads may run at a time, and what it
 * takes and gives. Read-only after the load, but for `reuses_outputs`.
 */
#ifndef ONNX_MODEL_H
#define ONNX_MODEL_H

#include "library.h"

#include <stdatomic.h>

enum { ONNX_NO_INPUT = -1 };

/* An input or output. The spec's name and dims point into it. */
struct onnx_port {
    char *name;
    int64_t dims[SLIPWAY_RANK_MAX];
    ONNXTensorElementDataType type;
    int same_as_input; /* of an output: the input of that name, which it simply repeats, or none */
};

struct slipway_model {
    OrtSession *session;
    OrtRunOptions *run_options;
    struct onnx_port *inputs, *outputs;
    struct slipway_tensor_spec *input_specs, *output_specs;
    size_t input_count, output_count;
    uint64_t weight_bytes;
    /*
     * The memory of outputs is used again while the inputs keep their shapes. False once that
     * failed: the model's output shapes depend on more than its input shapes.
     */
    atomic_bool reuses_outputs;
};

enum slipway_status onnx_model_load(const struct slipway_load_options *options,
                                    struct slipway_model **ret_model, struct slipway_error *error);
void onnx_model_info(const struct slipway_model *model, struct slipway_model_info *info);
void onnx_model_unload(struct slipway_model *model);

#endif
