/*
 * An inference request and its reply, as every protocol sees them: what the codecs (oip_json,
 * oip_binary, later gRPC and queue events) read into and write from, and what serve runs.
 *
 * Everything a request points to lives in its arena or in the body it was read from; both outlive
 * the request. A codec allocates from the arena only. Pure: no I/O, no clock, no threads.
 *
 *   body bytes --oip_json_read--> struct infer_request --infer_request_bind--> serve
 *   serve --> struct infer_reply --oip_json_write--> body bytes
 */
#ifndef PROTOCOL_INFER_H
#define PROTOCOL_INFER_H

#include "base/arena.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

enum { INFER_TENSORS_MAX = SLIPWAY_TENSORS_MAX, INFER_PARAMETERS_MAX = 256 };

enum infer_parameter_kind {
    INFER_PARAMETER_BOOL,
    INFER_PARAMETER_INT64,
    INFER_PARAMETER_UINT64, /* only for values above INT64_MAX */
    INFER_PARAMETER_DOUBLE,
    INFER_PARAMETER_STRING,
};

struct infer_parameter {
    struct str name;
    enum infer_parameter_kind kind;
    union {
        bool boolean;
        int64_t int64;
        uint64_t uint64;
        double real;
        struct str string;
    } value;
};

struct infer_parameters {
    struct infer_parameter *items;
    size_t count;
};

/* One input of a request, or one output of a reply. */
struct infer_tensor {
    struct str name;
    struct slipway_tensor tensor;
    struct infer_parameters parameters; /* without those that the codec itself acted on */
    uint32_t classification;            /* reply: tensor holds `value:index:label` strings if > 0 */
    bool binary;                        /* travels in the binary section */
};

/* One entry of a request's `outputs`. */
struct infer_wanted_output {
    struct str name;
    uint32_t classification; /* top k wanted, 0: the tensor itself */
    bool binary;
    struct infer_parameters parameters;
};

struct infer_request {
    struct arena *arena;
    struct str model_name;
    struct str model_version; /* empty: the server chooses */
    struct str id;            /* empty: none was given */

    struct infer_tensor *inputs;
    size_t input_count;
    struct infer_wanted_output *outputs; /* none: all outputs */
    size_t output_count;
    struct infer_parameters parameters; /* without those that have a member below */

    bool binary_output_default; /* for the outputs when none is listed */
    uint32_t priority;          /* 0: the model's default, 1 highest */
    uint64_t timeout_us;        /* 0: the model's default */

    struct str sequence_id; /* a number is given as its digits; empty: not part of a sequence */
    bool sequence_start;
    bool sequence_end;
};

/* An empty request whose memory comes from `arena`, borrowed for the request's life. */
static inline void infer_request_init(struct infer_request *request, struct arena *arena)
{
    *request = (struct infer_request){.arena = arena};
}

struct infer_reply {
    struct str model_name;
    struct str model_version;
    struct str id; /* empty: left out */
    struct infer_tensor *outputs;
    size_t output_count;
    struct infer_parameters parameters;
};

/* What a model takes and gives, for the checks and for metadata. Owned by the model. */
struct infer_spec {
    const char *name;                         /* of the model */
    const struct slipway_tensor_spec *inputs; /* as the engine ABI has them: batch included */
    size_t input_count;
    const struct slipway_tensor_spec *outputs;
    size_t output_count;
    int64_t batch_size_max; /* 0: not batchable; else dims[0] of each tensor is the batch */
};

/*
 * A request whose inputs stand in the model's order, ready for an engine: `tensors` has one entry
 * per input of the spec, absent optional ones with dtype ANY; `wanted` one byte per output.
 */
struct infer_bound {
    struct slipway_tensor *tensors;
    uint8_t *wanted;
    int64_t batch_size; /* rows; 1 if the model is not batchable */
};

/*
 * Checks a request against a model, with Triton's texts (names, number of inputs, types, shapes,
 * batch sizes, byte sizes, outputs, parameters), and puts its inputs in the model's order. All
 * memory is from request->arena.
 */
enum status infer_request_bind(const struct infer_spec *spec, struct infer_request *request,
                               struct infer_bound *ret_bound, struct error *err) FALLIBLE;

/*
 * The position of an input or output of the model, SIZE_MAX if there is none: by its own name, or
 * by the alias of its position, "INPUT__0" or "OUTPUT__0", which Triton's PyTorch models are known
 * by, where no name is spelled so.
 */
size_t infer_input_find(const struct infer_spec *spec, struct str name);
size_t infer_output_find(const struct infer_spec *spec, struct str name);

/* The parameter of that name, NULL if there is none. */
const struct infer_parameter *infer_parameter_find(const struct infer_parameters *parameters,
                                                   struct str name);

#endif
