/* Writing the Open Inference Protocol's JSON: the reply's path is short on purpose. */
#include "base/json.h"
#include "base/num_array.h"
#include "protocol/oip_json.h"
#include "protocol/values.h"

/* Where the tensors of a message go, and which of them do not go as JSON. */
struct tensor_writer {
    struct buffer *out;
    const uint64_t *blob_sizes;         /* NULL: everything is JSON */
    const struct oip_json_texts *texts; /* NULL: none are prepared */
    bool request;
};

/* Room that a string needs at worst: every byte an escape, and the quotes. */
static inline size_t string_room(struct str text)
{
    return 6 * text.size + 2;
}

/* Copies, into room for 16 bytes at least, without a call where there are few. */
static inline char *put(char *at, struct str text)
{
    const char *from = text.data;
    size_t size = text.size;
    if (size > 16) {
        memcpy(at, from, size);
    } else if (size >= 8) {
        memcpy(at, from, 8);
        memcpy(at + size - 8, from + size - 8, 8);
    } else if (size >= 4) {
        memcpy(at, from, 4);
        memcpy(at + size - 4, from + size - 4, 4);
    } else if (size) {
        at[0] = from[0];
        at[size / 2] = from[size / 2];
        at[size - 1] = from[size - 1];
    }
    return at + size;
}

static char *put_escaped(char *at, struct str text)
{
    struct buffer scratch CLEANUP(buffer_clear);
    buffer_init(&scratch, string_room(text));
    json_print_string(&scratch, text);
    memcpy(at, buffer_text(&scratch), scratch.size);
    return at + scratch.size;
}

/* Needs string_room. */
static inline char *put_string(char *at, struct str text)
{
    const char *end = text.data + text.size;
    if (UNLIKELY(json_find_special(text.data, end) != end)) return put_escaped(at, text);
    *at = '"';
    at = put(at + 1, text);
    *at = '"';
    return at + 1;
}

#define PUT(at, literal) (memcpy((at), "" literal, sizeof literal - 1), (at) + sizeof literal - 1)

static void add_parameter_value(struct json_writer *writer, const struct infer_parameter *parameter)
{
    switch (parameter->kind) {
    case INFER_PARAMETER_BOOL: json_add_bool(writer, parameter->value.boolean); return;
    case INFER_PARAMETER_INT64: json_add_i64(writer, parameter->value.int64); return;
    case INFER_PARAMETER_UINT64: json_add_u64(writer, parameter->value.uint64); return;
    case INFER_PARAMETER_DOUBLE: json_add_double(writer, parameter->value.real); return;
    case INFER_PARAMETER_STRING: json_add_string(writer, parameter->value.string); return;
    }
}

static void add_parameters(struct json_writer *writer, const struct infer_parameters *parameters)
{
    for (size_t i = 0; i < parameters->count; i++) {
        json_add_name(writer, parameters->items[i].name);
        add_parameter_value(writer, &parameters->items[i]);
    }
}

/* `"parameters":{...},` if there are any. */
static void write_tensor_parameters(const struct infer_parameters *parameters,
                                    const uint64_t *blob_size, struct buffer *out)
{
    if (LIKELY(parameters->count == 0 && !blob_size)) return;
    struct json_writer writer;
    buffer_add(out, STR(",\"parameters\":"));
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    if (blob_size) json_put_u64(&writer, STR("binary_data_size"), *blob_size);
    add_parameters(&writer, parameters);
    json_end_object(&writer);
}

static const struct str dtype_texts[] = {
#define X(name, value, width) [value] = {#name, sizeof #name - 1},
    SLIPWAY_DTYPE_TABLE(X)
#undef X
};

enum {
    DIM_TEXT_MAX = 21,
    TENSOR_TEXT_MAX = 128,
    MESSAGE_TEXT_MAX = 128,
    PREPARED_TEXT_MAX = 1 << 20,
};

/* Needs TENSOR_TEXT_MAX and string_room. */
static char *put_description(char *at, struct str name, enum dtype dtype)
{
    at = put_string(PUT(at, "{\"name\":"), name);
    at = put(PUT(at, ",\"datatype\":\""), dtype_texts[dtype]);
    return PUT(at, "\",\"shape\":[");
}

/* What was prepared for the output, if it is what it was then; NULL if not. */
static inline const struct oip_json_description *
find_prepared(const struct tensor_writer *writer, const struct infer_tensor *tensor, size_t index)
{
    if (!writer->texts || index >= writer->texts->count) return NULL;
    const struct oip_json_description *found = &writer->texts->descriptions[index];
    return found->name == tensor->name.data && found->dtype == tensor->tensor.dtype ? found : NULL;
}

/* All that comes before a tensor's parameters and data. */
static inline void write_description(const struct infer_tensor *tensor,
                                     const struct oip_json_description *prepared,
                                     struct buffer *out)
{
    const struct slipway_tensor *view = &tensor->tensor;
    size_t text_size = prepared ? prepared->text.size : string_room(tensor->name);
    char *room = buffer_reserve(out, TENSOR_TEXT_MAX + text_size + view->rank * DIM_TEXT_MAX);
    if (UNLIKELY(!room)) return;
    char *at = LIKELY(prepared) ? put(room, prepared->text)
                                : put_description(room, tensor->name, (enum dtype)view->dtype);
    for (uint32_t i = 0; i < view->rank; i++) at = num_array_put_integer(at, view->dims[i]);
    at -= view->rank > 0; /* the last comma */
    *at++ = ']';
    out->size += (size_t)(at - room);
}

static enum status write_tensor(const struct tensor_writer *writer,
                                const struct infer_tensor *tensor, size_t index, struct error *err)
{
    struct buffer *out = writer->out;
    const uint64_t *blob_size =
        writer->blob_sizes && tensor->binary ? &writer->blob_sizes[index] : NULL;
    enum dtype dtype = (enum dtype)tensor->tensor.dtype;
    write_description(tensor, find_prepared(writer, tensor, index), out);
    write_tensor_parameters(&tensor->parameters, blob_size, out);
    if (blob_size) {
        buffer_add_byte(out, '}');
        return STATUS_OK;
    }
    if (UNLIKELY(!values_have_json(dtype)))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "sending %s data via JSON is not supported. Please use the binary data format "
                    "for %s %.*s",
                    dtype_name(dtype), writer->request ? "input" : "output",
                    STR_ARGS(tensor->name));
    buffer_add(out, STR(",\"data\":["));
    values_write(dtype, tensor->tensor.data, tensor->tensor.byte_size / dtype_width(dtype), out);
    buffer_add(out, STR("]}"));
    return STATUS_OK;
}

static enum status write_tensors(const struct tensor_writer *writer,
                                 const struct infer_tensor *tensors, size_t count,
                                 struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (i) buffer_add_byte(writer->out, ',');
        TRY(write_tensor(writer, &tensors[i], i, err));
    }
    return STATUS_OK;
}

static enum status check_room(const struct buffer *out, struct error *err)
{
    if (LIKELY(!buffer_failed(out))) return STATUS_OK;
    return fail(err, STATUS_EXHAUSTED, "the message is larger than its limit of %zu bytes",
                out->ceiling);
}

static void write_head(struct str name, struct str version, struct buffer *out)
{
    size_t worst = MESSAGE_TEXT_MAX + string_room(name) + string_room(version);
    char *room = buffer_reserve(out, worst), *at = room;
    if (UNLIKELY(!room)) return;
    at = put_string(PUT(at, "{\"model_name\":"), name);
    if (version.size) at = put_string(PUT(at, ",\"model_version\":"), version);
    out->size += (size_t)(at - room);
}

static void write_id(struct str id, struct buffer *out)
{
    char *room = buffer_reserve(out, MESSAGE_TEXT_MAX + string_room(id));
    if (UNLIKELY(!room)) return;
    out->size += (size_t)(put_string(PUT(room, ",\"id\":"), id) - room);
}

static inline enum status write_reply(const struct tensor_writer *writer,
                                      const struct infer_reply *reply, struct error *err)
{
    struct buffer *out = writer->out;
    if (LIKELY(writer->texts))
        buffer_add(out, writer->texts->head);
    else
        write_head(reply->model_name, reply->model_version, out);
    if (reply->id.size) write_id(reply->id, out);
    write_tensor_parameters(&reply->parameters, NULL, out);
    buffer_add(out, STR(",\"outputs\":["));
    TRY(write_tensors(writer, reply->outputs, reply->output_count, err));
    buffer_add(out, STR("]}"));
    return check_room(out, err);
}

enum status oip_json_write_header(const struct infer_reply *reply, const uint64_t *blob_sizes,
                                  struct buffer *out, struct error *err)
{
    const struct tensor_writer writer = {.out = out, .blob_sizes = blob_sizes};
    return write_reply(&writer, reply, err);
}

enum status oip_json_write_prepared(const struct infer_reply *reply,
                                    const struct oip_json_texts *texts, struct buffer *out,
                                    struct error *err)
{
    const struct tensor_writer writer = {.out = out, .texts = texts};
    return write_reply(&writer, reply, err);
}

/* The buffer's text as it is now, in the arena; the buffer is empty then. data NULL: no room. */
static struct str keep_text(struct buffer *text, struct arena *arena)
{
    if (buffer_failed(text)) return (struct str){NULL, 0};
    struct str kept = arena_try_copy(arena, buffer_view(text));
    buffer_reset(text);
    return kept;
}

enum status oip_json_prepare(const struct infer_spec *spec, struct str version, struct arena *arena,
                             struct oip_json_texts *ret_texts, struct error *err)
{
    struct buffer text CLEANUP(buffer_clear);
    buffer_init(&text, PREPARED_TEXT_MAX);
    write_head(str_of(spec->name), version, &text);
    struct oip_json_texts texts = {.head = keep_text(&text, arena), .count = spec->output_count};
    struct oip_json_description *descriptions =
        ARENA_TRY_ARRAY(arena, struct oip_json_description, texts.count + 1);
    bool kept = texts.head.data && descriptions;
    for (size_t i = 0; kept && i < texts.count; i++) {
        const char *name = spec->outputs[i].name;
        enum dtype dtype = (enum dtype)spec->outputs[i].dtype;
        char *room = buffer_reserve(&text, TENSOR_TEXT_MAX + string_room(str_of(name)));
        if (room) buffer_commit(&text, (size_t)(put_description(room, str_of(name), dtype) - room));
        descriptions[i] = (struct oip_json_description){name, dtype, keep_text(&text, arena)};
        kept = descriptions[i].text.data != NULL;
    }
    if (!kept)
        return fail(err, STATUS_EXHAUSTED, "no memory for the texts of model '%s'", spec->name);
    texts.descriptions = descriptions;
    *ret_texts = texts;
    return STATUS_OK;
}

enum status oip_json_write(const struct infer_reply *reply, struct buffer *out, struct error *err)
{
    return oip_json_write_header(reply, NULL, out, err);
}

static void write_wanted_outputs(const struct infer_request *request, struct json_writer *writer)
{
    if (request->output_count == 0) return;
    json_add_name(writer, STR("outputs"));
    json_begin_array(writer);
    for (size_t i = 0; i < request->output_count; i++) {
        const struct infer_wanted_output *output = &request->outputs[i];
        json_begin_object(writer);
        json_put_string(writer, STR("name"), output->name);
        json_add_name(writer, STR("parameters"));
        json_begin_object(writer);
        json_put_bool(writer, STR("binary_data"), output->binary);
        if (output->classification)
            json_put_u64(writer, STR("classification"), output->classification);
        add_parameters(writer, &output->parameters);
        json_end_object(writer);
        json_end_object(writer);
    }
    json_end_array(writer);
}

/* Also those that have a member of their own in the struct. */
static void write_request_parameters(const struct infer_request *request,
                                     struct json_writer *writer)
{
    json_add_name(writer, STR("parameters"));
    json_begin_object(writer);
    if (request->binary_output_default)
        json_put_bool(writer, STR("binary_data_output"), request->binary_output_default);
    if (request->priority) json_put_u64(writer, STR("priority"), request->priority);
    if (request->timeout_us) json_put_u64(writer, STR("timeout"), request->timeout_us);
    if (request->sequence_id.size)
        json_put_string(writer, STR("sequence_id"), request->sequence_id);
    if (request->sequence_start) json_put_bool(writer, STR("sequence_start"), true);
    if (request->sequence_end) json_put_bool(writer, STR("sequence_end"), true);
    add_parameters(writer, &request->parameters);
    json_end_object(writer);
}

enum status oip_json_write_request_header(const struct infer_request *request,
                                          const uint64_t *blob_sizes, struct buffer *out,
                                          struct error *err)
{
    struct tensor_writer tensors = {.out = out, .blob_sizes = blob_sizes, .request = true};
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    if (request->id.size) json_put_string(&writer, STR("id"), request->id);
    write_request_parameters(request, &writer);
    json_add_name(&writer, STR("inputs"));
    json_begin_array(&writer);
    TRY(write_tensors(&tensors, request->inputs, request->input_count, err));
    json_end_array(&writer);
    write_wanted_outputs(request, &writer);
    json_end_object(&writer);
    return check_room(out, err);
}

enum status oip_json_write_request(const struct infer_request *request, struct buffer *out,
                                   struct error *err)
{
    return oip_json_write_request_header(request, NULL, out, err);
}
