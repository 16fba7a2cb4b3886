/*
 * The walk. Field numbers are those of onnx.proto3:
 *
 *   ModelProto   1 ir_version, 7 graph, 25 functions
 *   GraphProto   1 node, 5 initializer, 11 input, 15 sparse_initializer
 *   NodeProto    5 attribute            FunctionProto  7 node
 *   AttributeProto  5 t, 6 g, 10 tensors, 11 graphs, 22 sparse_tensor, 23 sparse_tensors
 *   TensorProto  1 dims, 2 data_type, 9 raw_data, 13 external_data, 14 data_location
 *   SparseTensorProto  1 values, 2 indices
 *   StringStringEntryProto  1 key, 2 value
 *   ValueInfoProto  2 type;  TypeProto 1 tensor_type;  TypeProto.Tensor 2 shape
 *   TensorShapeProto 1 dim;  Dimension 1 dim_value, 2 dim_param
 */
#include "scan.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct bytes {
    const unsigned char *at;
    const unsigned char *end;
};

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct field {
    uint32_t number;
    unsigned wire_type;
    uint64_t value;     /* of a varint */
    struct bytes bytes; /* of a length-delimited field */
};

struct scan {
    scan_external_function *external;
    const void *context;
    struct scan_result *result;
    struct slipway_error *error;
    uint64_t node_count;
    unsigned depth;
};

enum slipway_status(onnx_fail)(struct slipway_error *error, enum slipway_status status,
                               const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    error->status = status;
    return status;
}

static enum slipway_status refuse(struct scan *scan, const char *why)
{
    return onnx_fail(scan->error, SLIPWAY_INVALID_ARGUMENT, "%s", why);
}

static enum slipway_status refuse_damaged(struct scan *scan)
{
    return refuse(scan, "it is not an ONNX model, or it is damaged or cut short");
}

/* ---- Protobuf ---- */

static size_t size_of(struct bytes bytes)
{
    return (size_t)(bytes.end - bytes.at);
}

static bool read_varint(struct bytes *from, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && from->at < from->end; shift += 7) {
        unsigned char byte = *from->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static bool skip_fixed(struct bytes *from, size_t size)
{
    if (size_of(*from) < size) return false;
    from->at += size;
    return true;
}

static bool read_bytes(struct bytes *from, struct bytes *ret_bytes)
{
    uint64_t size;
    if (!read_varint(from, &size) || size > size_of(*from)) return false;
    *ret_bytes = (struct bytes){from->at, from->at + size};
    from->at += size;
    return true;
}

/* The next field; false if what is there is no field. `from` is not at its end. */
static bool read_field(struct bytes *from, struct field *field)
{
    uint64_t tag;
    if (!read_varint(from, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff) return false;
    *field = (struct field){.number = (uint32_t)(tag >> 3), .wire_type = (unsigned)(tag & 7)};
    switch (field->wire_type) {
    case WIRE_VARINT: return read_varint(from, &field->value);
    case WIRE_64: return skip_fixed(from, 8);
    case WIRE_BYTES: return read_bytes(from, &field->bytes);
    case WIRE_32: return skip_fixed(from, 4);
    default: return false; // groups are not in ONNX
    }
}

typedef enum slipway_status field_function(struct scan *scan, const struct field *field,
                                           void *context);

/* Calls `visit` for each field of a message. */
static enum slipway_status each_field(struct scan *scan, struct bytes message,
                                      field_function *visit, void *context)
{
    struct field field;
    while (message.at < message.end) {
        if (!read_field(&message, &field)) return refuse_damaged(scan);
        TRY_ONNX(visit(scan, &field, context));
    }
    return SLIPWAY_OK;
}

static bool is_message(const struct field *field, uint32_t number)
{
    return field->number == number && field->wire_type == WIRE_BYTES;
}

static bool is_varint(const struct field *field, uint32_t number)
{
    return field->number == number && field->wire_type == WIRE_VARINT;
}

/* ---- Tensors ---- */

struct tensor {
    uint64_t element_count;
    bool is_countable; /* false once a dimension was negative or the product too large */
    uint64_t data_type;
    bool has_raw_data, is_external;
    uint64_t raw_size;
    struct scan_external external;
};

/* Bits of an element by TensorProto.DataType; 0 where not known or not fixed (strings). */
static unsigned bits_of(uint64_t data_type)
{
    static const unsigned char bits[] = {0,  32,  8,  8, 16, 16, 32, 64, 0, 8, 16, 64, 32, 64,
                                         64, 128, 16, 8, 8,  8,  8,  4,  4, 4, 8,  2,  2};
    return data_type < sizeof bits ? bits[data_type] : 0;
}

static void count_dimension(struct tensor *tensor, uint64_t dim)
{
    if (dim > INT64_MAX ||
        __builtin_mul_overflow(tensor->element_count, dim, &tensor->element_count) ||
        tensor->element_count > INT64_MAX / 128)
        tensor->is_countable = false;
}

static bool text_is(struct bytes text, const char *expected)
{
    return size_of(text) == strlen(expected) && memcmp(text.at, expected, size_of(text)) == 0;
}

static bool number_of(struct bytes text, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (text.at == text.end) return false;
    for (; text.at < text.end; text.at++) {
        if (*text.at < '0' || *text.at > '9') return false;
        if (__builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*text.at - '0'), &number))
            return false;
    }
    *ret_number = number;
    return true;
}

struct entry {
    struct bytes key, value;
};

static enum slipway_status visit_entry(struct scan *scan, const struct field *field, void *context)
{
    (void)scan;
    struct entry *entry = context;
    if (is_message(field, 1)) entry->key = field->bytes;
    if (is_message(field, 2)) entry->value = field->bytes;
    return SLIPWAY_OK;
}

static enum slipway_status visit_external_data(struct scan *scan, struct tensor *tensor,
                                               struct bytes message)
{
    static const unsigned char nothing[1];
    struct entry entry = {{nothing, nothing}, {nothing, nothing}};
    TRY_ONNX(each_field(scan, message, visit_entry, &entry));
    if (text_is(entry.key, "offset") && !number_of(entry.value, &tensor->external.offset))
        return refuse(scan, "an external tensor's offset is not a number");
    if (!text_is(entry.key, "location")) return SLIPWAY_OK;
    size_t size = size_of(entry.value);
    if (size == 0 || size >= SCAN_LOCATION_SIZE || memchr(entry.value.at, '\0', size))
        return refuse(scan, "an external tensor's location is empty, too long or not text");
    memcpy(tensor->external.location, entry.value.at, size);
    tensor->external.location[size] = '\0';
    return SLIPWAY_OK;
}

/* Dimensions come one by one or packed. */
static enum slipway_status visit_dims(struct scan *scan, struct tensor *tensor,
                                      const struct field *field)
{
    if (field->wire_type == WIRE_VARINT) count_dimension(tensor, field->value);
    struct bytes packed = field->bytes;
    uint64_t dim;
    while (packed.at < packed.end) {
        if (!read_varint(&packed, &dim)) return refuse_damaged(scan);
        count_dimension(tensor, dim);
    }
    return SLIPWAY_OK;
}

static enum slipway_status visit_tensor_field(struct scan *scan, const struct field *field,
                                              void *context)
{
    struct tensor *tensor = context;
    if (field->number == 1) return visit_dims(scan, tensor, field);
    if (is_varint(field, 2)) tensor->data_type = field->value;
    if (is_varint(field, 14)) tensor->is_external = field->value == 1;
    if (is_message(field, 13)) return visit_external_data(scan, tensor, field->bytes);
    if (is_message(field, 9)) {
        tensor->has_raw_data = true;
        tensor->raw_size = size_of(field->bytes);
    }
    return SLIPWAY_OK;
}

static enum slipway_status check_tensor(struct scan *scan, struct bytes message)
{
    struct tensor tensor = {.element_count = 1, .is_countable = true};
    TRY_ONNX(each_field(scan, message, visit_tensor_field, &tensor));
    if (!tensor.is_countable)
        return refuse(scan, "a tensor's dimensions are negative or too large");
    unsigned bits = bits_of(tensor.data_type);
    uint64_t needed = (tensor.element_count * bits + 7) / 8;
    if (tensor.is_external) {
        if (!tensor.external.location[0]) return refuse(scan, "an external tensor has no location");
        tensor.external.size = needed;
        scan->result->weight_bytes += needed;
        return scan->external(scan->context, &tensor.external, scan->error);
    }
    // Without raw_data the elements are in typed fields: at the very least a bit each.
    bool fits = tensor.has_raw_data ? bits == 0 || tensor.raw_size == needed
                                    : tensor.element_count / 8 <= size_of(message);
    if (!fits)
        return refuse(scan, "a tensor's shape and type do not fit the number of bytes it has");
    scan->result->weight_bytes += needed;
    return SLIPWAY_OK;
}

static enum slipway_status visit_sparse_field(struct scan *scan, const struct field *field,
                                              void *context)
{
    (void)context;
    if (is_message(field, 1) || is_message(field, 2)) return check_tensor(scan, field->bytes);
    return SLIPWAY_OK;
}

/* ---- Inputs: is their shape fully known? ---- */

static enum slipway_status visit_dimension_field(struct scan *scan, const struct field *field,
                                                 void *context)
{
    (void)scan;
    bool *known = context;
    if (is_varint(field, 1)) *known = true;
    return SLIPWAY_OK;
}

static enum slipway_status visit_shape_field(struct scan *scan, const struct field *field,
                                             void *context)
{
    if (!is_message(field, 1)) return SLIPWAY_OK;
    bool known = false, *dynamic = context;
    TRY_ONNX(each_field(scan, field->bytes, visit_dimension_field, &known));
    if (!known) *dynamic = true;
    return SLIPWAY_OK;
}

/* Replaces a message by the last one of that field number in it; *ret_found tells if there is. */
static enum slipway_status step_into(struct scan *scan, struct bytes *message, uint32_t number,
                                     bool *ret_found)
{
    struct bytes rest = *message;
    struct field field;
    *ret_found = false;
    while (rest.at < rest.end) {
        if (!read_field(&rest, &field)) return refuse_damaged(scan);
        if (!is_message(&field, number)) continue;
        *message = field.bytes;
        *ret_found = true;
    }
    return SLIPWAY_OK;
}

static enum slipway_status check_input(struct scan *scan, struct bytes message)
{
    static const uint32_t path[] = {2 /* type */, 1 /* tensor_type */, 2 /* shape */};
    for (size_t i = 0; i < sizeof path / sizeof path[0]; i++) {
        bool found;
        TRY_ONNX(step_into(scan, &message, path[i], &found));
        if (!found) {
            scan->result->has_dynamic_input = true;
            return SLIPWAY_OK;
        }
    }
    return each_field(scan, message, visit_shape_field, &scan->result->has_dynamic_input);
}

/* ---- Graphs ---- */

static field_function visit_graph_field;

static enum slipway_status scan_graph(struct scan *scan, struct bytes message)
{
    if (scan->depth == SCAN_DEPTH_MAX) return refuse(scan, "its graphs are nested too deeply");
    scan->depth++;
    enum slipway_status status = each_field(scan, message, visit_graph_field, NULL);
    scan->depth--;
    return status;
}

static enum slipway_status visit_attribute_field(struct scan *scan, const struct field *field,
                                                 void *context)
{
    (void)context;
    if (field->wire_type != WIRE_BYTES) return SLIPWAY_OK;
    switch (field->number) {
    case 5:
    case 10: return check_tensor(scan, field->bytes);
    case 6:
    case 11: return scan_graph(scan, field->bytes);
    case 22:
    case 23: return each_field(scan, field->bytes, visit_sparse_field, NULL);
    default: return SLIPWAY_OK;
    }
}

static enum slipway_status visit_node_field(struct scan *scan, const struct field *field,
                                            void *context)
{
    (void)context;
    if (!is_message(field, 5)) return SLIPWAY_OK;
    return each_field(scan, field->bytes, visit_attribute_field, NULL);
}

static enum slipway_status scan_node(struct scan *scan, struct bytes message)
{
    if (++scan->node_count > SCAN_NODE_COUNT_MAX) return refuse(scan, "it has too many nodes");
    return each_field(scan, message, visit_node_field, NULL);
}

static enum slipway_status visit_graph_field(struct scan *scan, const struct field *field,
                                             void *context)
{
    (void)context;
    if (field->wire_type != WIRE_BYTES) return SLIPWAY_OK;
    switch (field->number) {
    case 1: return scan_node(scan, field->bytes);
    case 5: return check_tensor(scan, field->bytes);
    case 11: return scan->depth == 1 ? check_input(scan, field->bytes) : SLIPWAY_OK;
    case 15: return each_field(scan, field->bytes, visit_sparse_field, NULL);
    default: return SLIPWAY_OK;
    }
}

static enum slipway_status visit_function_field(struct scan *scan, const struct field *field,
                                                void *context)
{
    (void)context;
    return is_message(field, 7) ? scan_node(scan, field->bytes) : SLIPWAY_OK;
}

struct model_parts {
    bool has_version, has_graph;
};

static enum slipway_status visit_model_field(struct scan *scan, const struct field *field,
                                             void *context)
{
    struct model_parts *parts = context;
    if (is_varint(field, 1)) parts->has_version = true;
    if (is_message(field, 25)) return each_field(scan, field->bytes, visit_function_field, NULL);
    if (!is_message(field, 7)) return SLIPWAY_OK;
    if (parts->has_graph) return refuse(scan, "it has two graphs");
    parts->has_graph = true;
    return scan_graph(scan, field->bytes);
}

enum slipway_status scan_model(const void *data, size_t size, scan_external_function *external,
                               const void *context, struct scan_result *ret_result,
                               struct slipway_error *error)
{
    *ret_result = (struct scan_result){0};
    struct scan scan = {
        .external = external, .context = context, .result = ret_result, .error = error};
    struct bytes message = {data, (const unsigned char *)data + size};
    struct model_parts parts = {0};
    TRY_ONNX(each_field(&scan, message, visit_model_field, &parts));
    if (!parts.has_version || !parts.has_graph) return refuse_damaged(&scan);
    return SLIPWAY_OK;
}

/* ---- External data ---- */

static bool has_parent_step(const char *location)
{
    for (const char *step = location;;) {
        size_t size = strcspn(step, "/");
        if (size == 2 && step[0] == '.' && step[1] == '.') return true;
        if (step[size] == '\0') return false;
        step += size + 1;
    }
}

static enum slipway_status fail_external(struct slipway_error *error, const char *location,
                                         const char *why)
{
    return onnx_fail(error, SLIPWAY_INVALID_ARGUMENT, "its external data '%.200s' %s", location,
                     why);
}

/* The real path of what stands beside the model; false with errno if it is not there. */
static bool resolve(const char *model_path, const char *location, char *ret_path)
{
    char path[PATH_MAX];
    const char *slash = strrchr(model_path, '/');
    const char *directory = slash ? model_path : ".";
    int directory_size = slash && slash != model_path ? (int)(slash - model_path) : 1;
    if (snprintf(path, sizeof path, "%.*s/%s", directory_size, directory, location) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return false;
    }
    return realpath(path, ret_path) != NULL;
}

enum slipway_status scan_external_inside(const void *context, const struct scan_external *external,
                                         struct slipway_error *error)
{
    const char *model_path = context, *location = external->location;
    if (location[0] == '/' || strchr(location, '\\') || has_parent_step(location))
        return fail_external(error, location, "is outside of the model's directory");
    char directory[PATH_MAX], path[PATH_MAX];
    if (!resolve(model_path, ".", directory) || !resolve(model_path, location, path))
        return onnx_fail(error, SLIPWAY_INVALID_ARGUMENT, "its external data '%.200s': %s",
                         location, strerror(errno));
    size_t size = strlen(directory);
    if (size > 1 && (strncmp(path, directory, size) != 0 || path[size] != '/'))
        return fail_external(error, location, "leads outside of the model's directory");
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return fail_external(error, location, "is not a regular file");
    uint64_t file_size = (uint64_t)status.st_size;
    if (external->offset > file_size || external->size > file_size - external->offset)
        return fail_external(error, location, "is shorter than its tensors");
    return SLIPWAY_OK;
}
