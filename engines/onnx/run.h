/*
 * Running: an instance and its pool of runs. A run is all that one execute needs and its result
 * lives in: a binding of the model's inputs and outputs to memory. It goes to the caller as a
 * result and comes back to the pool when that is released, so that in the steady state -- inputs of
 * the same shapes as before -- an execute copies small inputs into memory that is already bound,
 * and calls the library once.
 */
#ifndef ONNX_RUN_H
#define ONNX_RUN_H

#include "model.h"

enum slipway_status onnx_instance_new(struct slipway_model *model,
                                      struct slipway_instance **ret_instance,
                                      struct slipway_error *error);
void onnx_instance_free(struct slipway_instance *instance);
enum slipway_status onnx_execute(struct slipway_instance *instance,
                                 const struct slipway_tensor *inputs, size_t input_count,
                                 const uint8_t *wanted, struct slipway_result *ret_result,
                                 struct slipway_error *error);
void onnx_result_release(struct slipway_result *result);

#endif
