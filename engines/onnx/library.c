/* Opening, logging, errors, types. */
#include "library.h"

#include "message.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const OrtApi *ort;
OrtEnv *onnx_environment;
OrtMemoryInfo *onnx_cpu_memory;
const struct slipway_host *onnx_host;

static char version_text[64];
static bool has_shape; // TensorTypeAndShape_HasShape is there

/* ---- Log ---- */

void onnx_log(enum slipway_log_level level, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    onnx_host->log(level, "onnx", text);
}

/*
 * The library's own messages are for debugging: its errors are returned as statuses too and
 * reported from there, and its warnings are about graphs that could be faster (one for each
 * initialiser of an old file) and devices that we do not use.
 */
static void ORT_API_CALL log_message(void *context, OrtLoggingLevel severity, const char *category,
                                     const char *log_id, const char *position, const char *message)
{
    (void)context, (void)severity, (void)category, (void)log_id, (void)position;
    onnx_log(SLIPWAY_LOG_DEBUG, "%s", message);
}

/* ---- Opening ---- */

static bool succeeded(OrtStatus *status, const char *what)
{
    if (!status) return true;
    onnx_log(SLIPWAY_LOG_ERROR, "%s: %s", what, ort->GetErrorMessage(status));
    ort->ReleaseStatus(status);
    return false;
}

/*
 * The newer version where the library has it: asking for one that it does not have makes it write
 * to stderr. Its own version "1.27.0" offers API version 27.
 */
static uint32_t version_to_ask_for(const char *version)
{
    unsigned minor = 0;
    if (strncmp(version, "1.", 2) == 0)
        for (const char *digit = version + 2; *digit >= '0' && *digit <= '9' && minor < 1000;
             digit++)
            minor = minor * 10 + (unsigned)(*digit - '0');
    has_shape =
        ORT_API_VERSION >= ONNX_API_VERSION_HAS_SHAPE && minor >= ONNX_API_VERSION_HAS_SHAPE;
    return has_shape ? ONNX_API_VERSION_HAS_SHAPE : ONNX_API_VERSION;
}

/*
 * Debian 13 keeps the operators in a library of their own, libonnx, which registers them again when
 * they are first looked up, and complains of each on stderr. This is that look-up,
 * onnx::OpSchemaRegistry::map(): here rather than in the first model's load, because what is
 * written while an engine opens reaches the log in one record.
 */
static void look_operators_up(void)
{
    void *(*look_up)(void);
    void *symbol = dlsym(RTLD_DEFAULT, "_ZN4onnx16OpSchemaRegistry3mapB5cxx11Ev");
    if (!symbol) return;
    memcpy(&look_up, &symbol, sizeof look_up);
    (void)look_up();
}

bool onnx_library_open(const struct slipway_host *host)
{
    onnx_host = host;
    if (ort) return true;
    // Newer libraries report home unless told not to before their first call.
    (void)setenv("ORT_DISABLE_TELEMETRY", "1", 1);
    const OrtApiBase *base = OrtGetApiBase();
    (void)snprintf(version_text, sizeof version_text, "ONNX Runtime %s", base->GetVersionString());
    const OrtApi *api = base->GetApi(version_to_ask_for(base->GetVersionString()));
    if (!api) {
        onnx_log(SLIPWAY_LOG_ERROR, "%s is too old: API version %d is needed", version_text,
                 ONNX_API_VERSION);
        return false;
    }
    ort = api;
    if (!succeeded(ort->CreateEnvWithCustomLogger(log_message, NULL, ORT_LOGGING_LEVEL_WARNING,
                                                  "slipway", &onnx_environment),
                   "making the environment") ||
        !succeeded(ort->DisableTelemetryEvents(onnx_environment), "switching telemetry off") ||
        !succeeded(
            ort->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &onnx_cpu_memory),
            "describing memory")) {
        ort = NULL;
        return false;
    }
    look_operators_up();
    return true;
}

const char *onnx_library_version(void)
{
    return version_text;
}

bool onnx_has_shape(const OrtTensorTypeAndShapeInfo *tensor)
{
#if ORT_API_VERSION >= 24
    if (has_shape) return ort->TensorTypeAndShape_HasShape(tensor);
#endif
    size_t rank = 0;
    OrtStatus *status = ort->GetDimensionsCount(tensor, &rank);
    if (status) ort->ReleaseStatus(status);
    return rank > 0;
}

/* ---- Errors ---- */

static bool mentions_memory(const char *message)
{
    return strstr(message, "bad_alloc") || strstr(message, "bad allocation") ||
           strstr(message, "llocate memory") || strstr(message, "out of memory") ||
           strstr(message, "nough memory") || strstr(message, "length_error");
}

static enum slipway_status status_from(OrtErrorCode code, const char *message,
                                       enum onnx_phase phase)
{
    if (mentions_memory(message)) return SLIPWAY_EXHAUSTED;
    switch ((int)code) { // newer libraries have more
    case ORT_INVALID_ARGUMENT:
    case ORT_INVALID_PROTOBUF:
    case ORT_INVALID_GRAPH:
    case ORT_NO_MODEL: return SLIPWAY_INVALID_ARGUMENT;
    case ORT_NO_SUCHFILE: return SLIPWAY_NOT_FOUND;
    case ORT_NOT_IMPLEMENTED: return SLIPWAY_UNIMPLEMENTED;
    case ORT_FAIL:
    case ORT_RUNTIME_EXCEPTION:
        return phase == ONNX_LOADING ? SLIPWAY_INVALID_ARGUMENT : SLIPWAY_INTERNAL;
    default: return SLIPWAY_INTERNAL;
    }
}

enum slipway_status onnx_check(OrtStatus *status, enum onnx_phase phase,
                               struct slipway_error *error)
{
    if (__builtin_expect(status == NULL, 1)) return SLIPWAY_OK;
    const char *message = ort->GetErrorMessage(status);
    enum slipway_status result = status_from(ort->GetErrorCode(status), message, phase);
    error->status = result;
    onnx_message_clean(message, error->message, sizeof error->message);
    ort->ReleaseStatus(status);
    return result;
}

/* ---- Types ---- */

/* X(ours, theirs) */
#define TYPE_TABLE(X)                                                                              \
    X(BOOL, BOOL)                                                                                  \
    X(UINT8, UINT8)                                                                                \
    X(UINT16, UINT16)                                                                              \
    X(UINT32, UINT32)                                                                              \
    X(UINT64, UINT64)                                                                              \
    X(INT8, INT8)                                                                                  \
    X(INT16, INT16)                                                                                \
    X(INT32, INT32)                                                                                \
    X(INT64, INT64)                                                                                \
    X(FP16, FLOAT16)                                                                               \
    X(FP32, FLOAT)                                                                                 \
    X(FP64, DOUBLE)                                                                                \
    X(BYTES, STRING)                                                                               \
    X(BF16, BFLOAT16)

enum slipway_dtype onnx_dtype_from(ONNXTensorElementDataType type)
{
    static const unsigned char ours[] = {
#define X(a, b) [ONNX_TENSOR_ELEMENT_DATA_TYPE_##b] = SLIPWAY_DTYPE_##a,
        TYPE_TABLE(X)
#undef X
    };
    return (unsigned)type < sizeof ours ? (enum slipway_dtype)ours[type] : SLIPWAY_DTYPE_ANY;
}

ONNXTensorElementDataType onnx_dtype_to(uint32_t dtype)
{
    static const unsigned char theirs[] = {
#define X(a, b) [SLIPWAY_DTYPE_##a] = ONNX_TENSOR_ELEMENT_DATA_TYPE_##b,
        TYPE_TABLE(X)
#undef X
    };
    return dtype < sizeof theirs ? (ONNXTensorElementDataType)theirs[dtype]
                                 : ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
}

const char *onnx_type_name(ONNXTensorElementDataType type)
{
    static const char *const names[] = {
        [0] = "undefined",       [1] = "float",
        [2] = "uint8",           [3] = "int8",
        [4] = "uint16",          [5] = "int16",
        [6] = "int32",           [7] = "int64",
        [8] = "string",          [9] = "bool",
        [10] = "float16",        [11] = "double",
        [12] = "uint32",         [13] = "uint64",
        [14] = "complex64",      [15] = "complex128",
        [16] = "bfloat16",       [17] = "float8e4m3fn",
        [18] = "float8e4m3fnuz", [19] = "float8e5m2",
        [20] = "float8e5m2fnuz", [21] = "uint4",
        [22] = "int4",           [23] = "float4e2m1",
    };
    bool known = (unsigned)type < sizeof names / sizeof names[0];
    return known ? names[type] : "of an unknown type";
}

const char *onnx_dtype_name(uint32_t dtype)
{
    static const char *const names[] = {
#define X(name, value, width) [value] = #name,
        SLIPWAY_DTYPE_TABLE(X)
#undef X
    };
    return dtype < sizeof names / sizeof names[0] ? names[dtype] : "unknown";
}
