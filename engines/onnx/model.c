/* Loading: look at the file, make the session, describe it. */
#include "model.h"

#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRY_ORT(call) TRY_ONNX(onnx_check((call), ONNX_LOADING, error))

/* ---- The file ---- */

static enum slipway_status scan_mapped(const char *path, int descriptor, struct scan_result *scan,
                                       struct slipway_error *error)
{
    struct stat status;
    if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode))
        return onnx_fail(error, SLIPWAY_INVALID_ARGUMENT, "it is not a regular file");
    if (status.st_size == 0) return onnx_fail(error, SLIPWAY_INVALID_ARGUMENT, "it is empty");
    size_t size = (size_t)status.st_size;
    void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data == MAP_FAILED)
        return onnx_fail(error, SLIPWAY_EXHAUSTED, "it cannot be mapped: %s", strerror(errno));
    enum slipway_status result = scan_model(data, size, scan_external_inside, path, scan, error);
    (void)munmap(data, size);
    return result;
}

static enum slipway_status scan_file(const char *path, struct scan_result *scan,
                                     struct slipway_error *error)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) {
        bool missing = errno == ENOENT || errno == ENOTDIR;
        return onnx_fail(error, missing ? SLIPWAY_NOT_FOUND : SLIPWAY_PERMISSION_DENIED, "%s",
                         strerror(errno));
    }
    enum slipway_status status = scan_mapped(path, descriptor, scan, error);
    (void)close(descriptor);
    return status;
}

/* ---- The session ---- */

static enum slipway_status make_session(struct slipway_model *model,
                                        const struct slipway_load_options *load,
                                        const struct scan_result *scan, struct slipway_error *error)
{
    OrtSessionOptions *options = NULL;
    TRY_ORT(ort->CreateSessionOptions(&options));
    enum slipway_status status = onnx_options_apply(load, scan->has_dynamic_input, options, error);
    if (status == SLIPWAY_OK)
        status =
            onnx_check(ort->CreateSession(onnx_environment, load->path, options, &model->session),
                       ONNX_LOADING, error);
    ort->ReleaseSessionOptions(options);
    if (status != SLIPWAY_OK) return status;
    TRY_ORT(ort->CreateRunOptions(&model->run_options));
    // What a run has to say it returns; it is not to be logged as well.
    return onnx_check(
        ort->RunOptionsSetRunLogSeverityLevel(model->run_options, ORT_LOGGING_LEVEL_FATAL),
        ONNX_LOADING, error);
}

/* ---- What it takes and gives ---- */

typedef OrtStatus *name_function(const OrtSession *session, size_t index, OrtAllocator *allocator,
                                 char **ret_name);
typedef OrtStatus *type_function(const OrtSession *session, size_t index, OrtTypeInfo **ret_type);

static const char *kind_name(enum ONNXType kind)
{
    switch (kind) {
    case ONNX_TYPE_SEQUENCE:
        return "a sequence; models converted from scikit-learn have a tensor instead if they are "
               "converted with zipmap=False";
    case ONNX_TYPE_MAP:
        return "a map; models converted from scikit-learn have a tensor instead if they are "
               "converted with zipmap=False";
    case ONNX_TYPE_SPARSETENSOR: return "a sparse tensor";
    case ONNX_TYPE_OPTIONAL: return "an optional";
    case ONNX_TYPE_UNKNOWN:
    case ONNX_TYPE_TENSOR:
    case ONNX_TYPE_OPAQUE:
    default: return "of an opaque type";
    }
}

static enum slipway_status describe_tensor(const OrtTensorTypeAndShapeInfo *tensor,
                                           struct onnx_port *port, struct slipway_tensor_spec *spec,
                                           struct slipway_error *error)
{
    TRY_ORT(ort->GetTensorElementType(tensor, &port->type));
    spec->dtype = onnx_dtype_from(port->type);
    if (spec->dtype == SLIPWAY_DTYPE_ANY)
        return onnx_fail(error, SLIPWAY_INVALID_ARGUMENT,
                         "'%.100s' is %s, which the protocol has no type for", port->name,
                         onnx_type_name(port->type));
    size_t rank;
    TRY_ORT(ort->GetDimensionsCount(tensor, &rank));
    if (rank > SLIPWAY_RANK_MAX)
        return onnx_fail(error, SLIPWAY_INVALID_ARGUMENT,
                         "'%.100s' has %zu dimensions, at most %d are supported", port->name, rank,
                         SLIPWAY_RANK_MAX);
    TRY_ORT(ort->GetDimensions(tensor, port->dims, rank));
    for (size_t i = 0; i < rank; i++)
        if (port->dims[i] < 0) port->dims[i] = -1;
    spec->rank = onnx_has_shape(tensor) ? (int32_t)rank : -1;
    spec->dims = port->dims;
    return SLIPWAY_OK;
}

static enum slipway_status describe_type(OrtTypeInfo *type, struct onnx_port *port,
                                         struct slipway_tensor_spec *spec,
                                         struct slipway_error *error)
{
    enum ONNXType kind;
    TRY_ORT(ort->GetOnnxTypeFromTypeInfo(type, &kind));
    const OrtTensorTypeAndShapeInfo *tensor = NULL;
    if (kind == ONNX_TYPE_TENSOR) TRY_ORT(ort->CastTypeInfoToTensorInfo(type, &tensor));
    if (!tensor)
        return onnx_fail(error, SLIPWAY_INVALID_ARGUMENT, "'%.100s' is no tensor but %s",
                         port->name, kind_name(kind));
    return describe_tensor(tensor, port, spec, error);
}

static enum slipway_status copy_name(struct slipway_model *model, name_function *name_of,
                                     size_t index, char **ret_name, struct slipway_error *error)
{
    OrtAllocator *allocator;
    TRY_ORT(ort->GetAllocatorWithDefaultOptions(&allocator));
    char *name = NULL;
    TRY_ORT(name_of(model->session, index, allocator, &name));
    *ret_name = strdup(name);
    allocator->Free(allocator, name);
    if (!*ret_name) return onnx_fail(error, SLIPWAY_EXHAUSTED, "no memory for a name");
    return SLIPWAY_OK;
}

struct ports {
    name_function *name_of;
    type_function *type_of;
    struct onnx_port *ports;
    struct slipway_tensor_spec *specs;
    size_t count;
    uint32_t optional;
};

static enum slipway_status describe_ports(struct slipway_model *model, const struct ports *ports,
                                          struct slipway_error *error)
{
    for (size_t i = 0; i < ports->count; i++) {
        struct onnx_port *port = &ports->ports[i];
        struct slipway_tensor_spec *spec = &ports->specs[i];
        TRY_ONNX(copy_name(model, ports->name_of, i, &port->name, error));
        spec->name = port->name;
        spec->optional = ports->optional;
        port->same_as_input = ONNX_NO_INPUT;
        OrtTypeInfo *type = NULL;
        TRY_ORT(ports->type_of(model->session, i, &type));
        enum slipway_status status = describe_type(type, port, spec, error);
        ort->ReleaseTypeInfo(type);
        if (status != SLIPWAY_OK) return status;
    }
    return SLIPWAY_OK;
}

static enum slipway_status allocate_ports(struct slipway_model *model, size_t input_count,
                                          size_t output_count, struct slipway_error *error)
{
    if (input_count > SLIPWAY_TENSORS_MAX || output_count > SLIPWAY_TENSORS_MAX)
        return onnx_fail(error, SLIPWAY_INVALID_ARGUMENT,
                         "%zu inputs and %zu outputs, at most %d of each are supported",
                         input_count, output_count, SLIPWAY_TENSORS_MAX);
    model->inputs = calloc(input_count + 1, sizeof *model->inputs);
    model->outputs = calloc(output_count + 1, sizeof *model->outputs);
    model->input_specs = calloc(input_count + 1, sizeof *model->input_specs);
    model->output_specs = calloc(output_count + 1, sizeof *model->output_specs);
    if (!model->inputs || !model->outputs || !model->input_specs || !model->output_specs)
        return onnx_fail(error, SLIPWAY_EXHAUSTED, "no memory for the model's description");
    model->input_count = input_count;
    model->output_count = output_count;
    return SLIPWAY_OK;
}

/* The inputs that must be given come first, then initialisers that may be given instead. */
static enum slipway_status describe(struct slipway_model *model, struct slipway_error *error)
{
    size_t required_count, overridable_count, output_count;
    TRY_ORT(ort->SessionGetInputCount(model->session, &required_count));
    TRY_ORT(ort->SessionGetOverridableInitializerCount(model->session, &overridable_count));
    TRY_ORT(ort->SessionGetOutputCount(model->session, &output_count));
    TRY_ONNX(allocate_ports(model, required_count + overridable_count, output_count, error));
    struct ports groups[] = {
        {ort->SessionGetInputName, ort->SessionGetInputTypeInfo, model->inputs, model->input_specs,
         required_count, 0},
        {ort->SessionGetOverridableInitializerName, ort->SessionGetOverridableInitializerTypeInfo,
         model->inputs + required_count, model->input_specs + required_count, overridable_count, 1},
        {ort->SessionGetOutputName, ort->SessionGetOutputTypeInfo, model->outputs,
         model->output_specs, output_count, 0},
    };
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        TRY_ONNX(describe_ports(model, &groups[i], error));
    for (size_t i = 0; i < output_count; i++)
        for (size_t j = 0; j < model->input_count; j++)
            if (strcmp(model->outputs[i].name, model->inputs[j].name) == 0)
                model->outputs[i].same_as_input = (int)j;
    return SLIPWAY_OK;
}

/* ---- The three functions ---- */

static enum slipway_status fill(struct slipway_model *model,
                                const struct slipway_load_options *load,
                                struct slipway_error *error)
{
    struct scan_result scan;
    TRY_ONNX(scan_file(load->path, &scan, error));
    model->weight_bytes = scan.weight_bytes;
    atomic_init(&model->reuses_outputs, true);
    TRY_ONNX(make_session(model, load, &scan, error));
    return describe(model, error);
}

/* Puts the path before the reason. */
static void name_file(struct slipway_error *error, const char *path)
{
    char reason[sizeof error->message];
    memcpy(reason, error->message, sizeof reason);
    (void)onnx_fail(error, (enum slipway_status)error->status, "'%.200s' cannot be loaded: %.290s",
                    path, reason);
}

enum slipway_status onnx_model_load(const struct slipway_load_options *options,
                                    struct slipway_model **ret_model, struct slipway_error *error)
{
    struct slipway_model *model = calloc(1, sizeof *model);
    if (!model) return onnx_fail(error, SLIPWAY_EXHAUSTED, "no memory for a model");
    enum slipway_status status = fill(model, options, error);
    if (status != SLIPWAY_OK) {
        onnx_model_unload(model);
        name_file(error, options->path);
        return status;
    }
    *ret_model = model;
    return SLIPWAY_OK;
}

void onnx_model_info(const struct slipway_model *model, struct slipway_model_info *info)
{
    info->platform = "onnxruntime_onnx";
    info->inputs = model->input_specs;
    info->input_count = model->input_count;
    info->outputs = model->output_specs;
    info->output_count = model->output_count;
    info->weight_bytes = model->weight_bytes;
}

void onnx_model_unload(struct slipway_model *model)
{
    if (model->run_options) ort->ReleaseRunOptions(model->run_options);
    if (model->session) ort->ReleaseSession(model->session);
    for (size_t i = 0; i < model->input_count; i++) free(model->inputs[i].name);
    for (size_t i = 0; i < model->output_count; i++) free(model->outputs[i].name);
    free(model->inputs);
    free(model->outputs);
    free(model->input_specs);
    free(model->output_specs);
    free(model);
    // The weights were many allocations; give the pages back to the system now.
    (void)malloc_trim(0);
}
