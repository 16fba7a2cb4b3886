/* Session options: ours, then what the model's `parameters` say. */
#ifndef ONNX_OPTIONS_H
#define ONNX_OPTIONS_H

#include "library.h"

/*
 * Fills in session options. Unknown parameters are warned about by name; wrong values are
 * INVALID_ARGUMENT. has_dynamic_input: memory patterns are off, since the library would keep one
 * for each shape that it ever saw.
 */
enum slipway_status onnx_options_apply(const struct slipway_load_options *load,
                                       bool has_dynamic_input, OrtSessionOptions *options,
                                       struct slipway_error *error);

#endif
