/*
 * ONNX Runtime's C API, opened once: its function table, its environment, where its log goes, and
 * how its failures become ours.
 */
#ifndef ONNX_LIBRARY_H
#define ONNX_LIBRARY_H

#include "scan.h"

#include <onnxruntime_c_api.h>

/* The API version asked for: old enough for the distributions' libraries, and all that we need. */
enum { ONNX_API_VERSION = 20 };

/* From this version on the library tells a scalar from a tensor of unknown shape. */
enum { ONNX_API_VERSION_HAS_SHAPE = 24 };

/* Set by onnx_library_open, never changed after it. */
extern const OrtApi *ort;
extern OrtEnv *onnx_environment;
extern OrtMemoryInfo *onnx_cpu_memory;
extern const struct slipway_host *onnx_host;

/* Opens the library; on failure says why in the host's log. Called once, by the entry. */
bool onnx_library_open(const struct slipway_host *host);

/* "ONNX Runtime 1.27.0" */
const char *onnx_library_version(void);

/* False if the model's file gives no shape. Older libraries do not tell it from a scalar's. */
bool onnx_has_shape(const OrtTensorTypeAndShapeInfo *tensor);

/* Which half of a model's life a failure is from: the same code means other things in each. */
enum onnx_phase { ONNX_LOADING, ONNX_RUNNING };

/*
 * Passes a status of the library through: NULL is OK, anything else is released and becomes a
 * failure with the library's text, cleaned of source positions and line breaks.
 */
enum slipway_status onnx_check(OrtStatus *status, enum onnx_phase phase,
                               struct slipway_error *error);

/* Element types both ways; ANY and UNDEFINED for what the other side does not have. */
enum slipway_dtype onnx_dtype_from(ONNXTensorElementDataType type);
ONNXTensorElementDataType onnx_dtype_to(uint32_t dtype);

/* "complex64", for messages about types that have no counterpart. */
const char *onnx_type_name(ONNXTensorElementDataType type);

/* "FP32" */
const char *onnx_dtype_name(uint32_t dtype);

void onnx_log(enum slipway_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
