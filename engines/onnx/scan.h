/*
 * A first look at an ONNX file before ONNX Runtime gets it: a walk over the protobuf that allocates
 * nothing and follows nothing. It refuses what is not an ONNX model, what was cut short, tensors
 * whose size does not fit the bytes they come with, and external data outside of the model's
 * directory; and it finds out what has to be known before a session is made.
 *
 * Pure but for scan_external_inside, which looks at files. Any thread.
 */
#ifndef ONNX_SCAN_H
#define ONNX_SCAN_H

#include <slipway/engine.h>

#include <stdbool.h>

/* Graphs inside of graphs (If, Loop, Scan); each level costs a few stack frames. */
enum { SCAN_DEPTH_MAX = 32, SCAN_LOCATION_SIZE = 1024, SCAN_NODE_COUNT_MAX = 10 * 1000 * 1000 };

/* A tensor whose bytes are in another file. */
struct scan_external {
    char location[SCAN_LOCATION_SIZE]; /* relative to the model's directory */
    uint64_t offset;
    uint64_t size; /* that the tensor's shape and type need, 0 if unknown */
};

/* Is told of each tensor with external data; a failure ends the scan. */
typedef enum slipway_status scan_external_function(const void *context,
                                                   const struct scan_external *external,
                                                   struct slipway_error *error);

struct scan_result {
    uint64_t weight_bytes;  /* of all initialisers, external ones included */
    bool has_dynamic_input; /* an input whose shape is not fully known */
};

/* INVALID_ARGUMENT with what is wrong; *ret_result is then undefined. */
enum slipway_status scan_model(const void *data, size_t size, scan_external_function *external,
                               const void *context, struct scan_result *ret_result,
                               struct slipway_error *error);

/*
 * A scan_external_function whose context is the model's path (const char *): the location must be
 * relative, without "..", lead to a regular file inside of the model's directory even through
 * symbolic links, and that file must be long enough.
 */
scan_external_function scan_external_inside;

/* Writes a failure and returns its status. */
enum slipway_status onnx_fail(struct slipway_error *error, enum slipway_status status,
                              const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Lets the compiler know that a failure is not OK. */
static inline enum slipway_status onnx_failed(enum slipway_status status)
{
    if (status == SLIPWAY_OK) __builtin_unreachable();
    return status;
}

#define onnx_fail(error, status, ...) onnx_failed(onnx_fail((error), (status), __VA_ARGS__))

#define TRY_ONNX(expression)                                                                       \
    do {                                                                                           \
        enum slipway_status try_status_ = (expression);                                            \
        if (try_status_ != SLIPWAY_OK) return try_status_;                                         \
    } while (0)

#endif
