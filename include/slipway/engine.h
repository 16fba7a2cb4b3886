/*
 * Slipway engine ABI, version 1: what a shared object must offer to run models inside Slipway.
 *
 * An engine is one shared object, `slipway_engine_NAME.so`, in the engine directory. It exports one
 * symbol, `slipway_engine_entry`, and is opened the first time a model names it. This file is all
 * that an engine's author needs: it includes nothing of Slipway, and Slipway's own engines see
 * nothing else either. docs/engines.md walks through a complete engine.
 *
 * Growth. The ABI only grows at its ends: a struct that starts with `struct_size` may get members
 * after its last one, an enum may get values after its last one. Whoever reads such a struct looks
 * at `struct_size` before it touches a member that the first version did not have. The numbers here
 * never change meaning. SLIPWAY_ENGINE_ABI_VERSION changes only for what breaks this promise.
 *
 * Errors. A call that can fail returns an `enum slipway_status`: SLIPWAY_OK, or anything else with
 * `error` filled in: who, what, why, in one sentence, without a final full stop. On failure every
 * `ret_` output is untouched. An engine never aborts, exits, or lets a C++ exception out: a failure
 * in one request is that request's error and nothing more.
 *
 * Threads. Each call says on which thread it comes. "Any thread, one at a time per X" means that
 * the host serialises the calls on one X but may choose another thread for each.
 *
 * Memory. "Borrows" means valid until the call returns. "Owns" says who must release.
 */
#ifndef SLIPWAY_ENGINE_H
#define SLIPWAY_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLIPWAY_ENGINE_ABI_VERSION 1

/* The largest number of dimensions of a tensor, and of inputs or outputs of a model. */
#define SLIPWAY_RANK_MAX 16
#define SLIPWAY_TENSORS_MAX 1024

/*
 * Outcomes: the canonical codes of gRPC, with its numbers.
 * X(name, value). The server adds HTTP status, exit code and the rest in its own table.
 */
#define SLIPWAY_STATUS_TABLE(X)                                                                    \
    X(OK, 0)                                                                                       \
    X(CANCELLED, 1)                                                                                \
    X(UNKNOWN, 2)                                                                                  \
    X(INVALID_ARGUMENT, 3)                                                                         \
    X(DEADLINE_EXCEEDED, 4)                                                                        \
    X(NOT_FOUND, 5)                                                                                \
    X(ALREADY_EXISTS, 6)                                                                           \
    X(PERMISSION_DENIED, 7)                                                                        \
    X(EXHAUSTED, 8)                                                                                \
    X(FAILED_PRECONDITION, 9)                                                                      \
    X(ABORTED, 10)                                                                                 \
    X(OUT_OF_RANGE, 11)                                                                            \
    X(UNIMPLEMENTED, 12)                                                                           \
    X(INTERNAL, 13)                                                                                \
    X(UNAVAILABLE, 14)                                                                             \
    X(DATA_LOSS, 15)                                                                               \
    X(UNAUTHENTICATED, 16)

enum slipway_status {
#define X(name, value) SLIPWAY_##name = value,
    SLIPWAY_STATUS_TABLE(X)
#undef X
};

/* A failure, in the caller's memory. `message` is NUL-terminated UTF-8, at most 511 bytes. */
struct slipway_error {
    int32_t status; /* enum slipway_status */
    char message[512];
};

/*
 * Element types: X(name, value, width in bytes). The names are those of the Open Inference
 * Protocol. BYTES elements are `struct slipway_bytes`. ANY stands only in a spec: the model's file
 * does not say.
 */
#define SLIPWAY_DTYPE_TABLE(X)                                                                     \
    X(ANY, 0, 0)                                                                                   \
    X(BOOL, 1, 1)                                                                                  \
    X(UINT8, 2, 1)                                                                                 \
    X(UINT16, 3, 2)                                                                                \
    X(UINT32, 4, 4)                                                                                \
    X(UINT64, 5, 8)                                                                                \
    X(INT8, 6, 1)                                                                                  \
    X(INT16, 7, 2)                                                                                 \
    X(INT32, 8, 4)                                                                                 \
    X(INT64, 9, 8)                                                                                 \
    X(FP16, 10, 2)                                                                                 \
    X(FP32, 11, 4)                                                                                 \
    X(FP64, 12, 8)                                                                                 \
    X(BYTES, 13, 16)                                                                               \
    X(BF16, 14, 2)

enum slipway_dtype {
#define X(name, value, width) SLIPWAY_DTYPE_##name = value,
    SLIPWAY_DTYPE_TABLE(X)
#undef X
};

/* One element of a BYTES tensor. Not NUL-terminated; may hold any byte. */
struct slipway_bytes {
    const char *data;
    uint64_t size;
};

/*
 * A dense, row-major view of a tensor. `data` is aligned to its element's width at least and holds
 * exactly `byte_size` bytes: the product of `dims` times the width (for BYTES, the array of
 * struct slipway_bytes). A rank of 0 is a scalar, one element. `data` may be NULL only if byte_size
 * is 0. An absent optional input has dtype ANY.
 */
struct slipway_tensor {
    uint32_t dtype; /* enum slipway_dtype */
    uint32_t rank;
    const int64_t *dims; /* rank values, each >= 0 */
    void *data;
    uint64_t byte_size;
};

/* What a model says of one input or output. Owned by the model, valid until model_unload. */
struct slipway_tensor_spec {
    const char *name;
    uint32_t dtype;      /* ANY if the file does not say */
    uint32_t optional;   /* an input that may be left out: 1, else 0 */
    int32_t rank;        /* -1 if the file does not say */
    const int64_t *dims; /* rank values, -1 where variable; includes the batch dimension */
};

/* One `parameters` entry of the model's configuration. Both NUL-terminated. */
struct slipway_parameter {
    const char *key;
    const char *value;
};

enum slipway_log_level {
    SLIPWAY_LOG_DEBUG = 0,
    SLIPWAY_LOG_INFO = 1,
    SLIPWAY_LOG_WARNING = 2,
    SLIPWAY_LOG_ERROR = 3,
};

/* What the server offers to the engine. Owned by the server, valid until the process ends. */
struct slipway_host {
    uint32_t struct_size;
    uint32_t abi_version; /* SLIPWAY_ENGINE_ABI_VERSION of the server */
    const char *server_version;
    /* The processors the process was given (affinity and cgroup limits counted in), >= 1. */
    uint32_t processor_count;
    uint32_t reserved;
    /* Writes one record, level an enum slipway_log_level; borrows message. Any thread. */
    void (*log)(uint32_t level, const char *engine, const char *message);
};

/* How to load a model. The engine borrows all of it during model_load. */
struct slipway_load_options {
    uint32_t struct_size;
    uint32_t
        threads; /* threads one execute may use inside one operator, 0: engine's own default, 1 */
    const char *name; /* the model's name, for messages */
    const char *path; /* the model file, or the directory of a many-file model */
    const struct slipway_parameter *parameters;
    size_t parameter_count;
    /*
     * What the model's configuration declares, in its order; empty if it declares nothing. An
     * engine whose files do not carry types or shapes may take them from here; one whose files do
     * leaves the comparison to the server. Shapes are as in a spec: batch dimension included.
     */
    const struct slipway_tensor_spec *inputs;
    size_t input_count;
    const struct slipway_tensor_spec *outputs;
    size_t output_count;
};

/* Opaque to the server: the engine defines them. */
struct slipway_model;
struct slipway_instance;

/* What a loaded model is. Filled by model_info; everything is owned by the model. */
struct slipway_model_info {
    uint32_t struct_size;
    uint32_t reserved;
    const char *platform; /* the Open Inference Protocol's platform string: "onnxruntime_onnx" */
    const struct slipway_tensor_spec *inputs;
    size_t input_count;
    const struct slipway_tensor_spec *outputs;
    size_t output_count;
    /* Bytes the weights take, 0 if unknown. */
    uint64_t weight_bytes;
};

/*
 * The outputs of one execute. The caller zeroes it and sets struct_size; the engine fills in the
 * rest. `tensors` has one entry per output of the model, in its order; an output that was not
 * wanted may be left with dtype ANY. Everything is owned by the engine until result_release.
 */
struct slipway_result {
    uint32_t struct_size;
    uint32_t reserved;
    const struct slipway_tensor *tensors;
    size_t tensor_count;
    void *handle; /* the engine's own, to find the memory again */
};

/*
 * The engine's table: static and const, returned by slipway_engine_entry. Every member is required
 * unless it says otherwise.
 */
struct slipway_engine {
    uint32_t struct_size;
    uint32_t abi_version; /* SLIPWAY_ENGINE_ABI_VERSION the engine was built with */
    const char *name;     /* as in the file name: "onnx" */
    const char *version;  /* of the library behind it: "ONNX Runtime 1.27.0" */

    /*
     * Loads a model and returns it owned by the caller, who ends it with model_unload. Any thread;
     * several loads may run at once. May take long. A file that is damaged, hostile or of another
     * kind is INVALID_ARGUMENT; one that is not there NOT_FOUND; memory refused EXHAUSTED.
     */
    enum slipway_status (*model_load)(const struct slipway_load_options *options,
                                      struct slipway_model **ret_model,
                                      struct slipway_error *error);

    /* Describes a model. The caller sets info->struct_size. Any thread, any number at a time. */
    void (*model_info)(const struct slipway_model *model, struct slipway_model_info *info);

    /* Frees a model. Its instances are freed and its results released before. Any thread. */
    void (*model_unload)(struct slipway_model *model);

    /*
     * Makes what one thread needs to run the model; weights are shared with the other instances.
     * Owned by the caller, ended by instance_free. Any thread.
     */
    enum slipway_status (*instance_new)(struct slipway_model *model,
                                        struct slipway_instance **ret_instance,
                                        struct slipway_error *error);

    /* Frees an instance. Its results may outlive it. Any thread, none of its calls running. */
    void (*instance_free)(struct slipway_instance *instance);

    /*
     * Runs the model once. `inputs` has one tensor per input of the model, in its order; the engine
     * borrows them and their data until the call returns, and does not write to them. `wanted`
     * has one byte per output, non-zero where the caller wants it; NULL means all. On success
     * *ret_result is to be given to result_release exactly once. Any thread, one at a time per
     * instance; instances of one model run at the same time.
     */
    enum slipway_status (*execute)(struct slipway_instance *instance,
                                   const struct slipway_tensor *inputs, size_t input_count,
                                   const uint8_t *wanted, struct slipway_result *ret_result,
                                   struct slipway_error *error);

    /*
     * Releases what execute returned. Any thread, also while the instance runs again. The model is
     * still loaded.
     */
    void (*result_release)(struct slipway_result *result);
};

/* The one exported symbol. Called once, before any other call. NULL: refused (log why). */
typedef const struct slipway_engine *slipway_engine_entry_function(const struct slipway_host *host);
slipway_engine_entry_function slipway_engine_entry;

#define SLIPWAY_ENGINE_ENTRY_SYMBOL "slipway_engine_entry"

#ifdef __cplusplus
}
#endif

#endif
