/* The V1 protocol. */
#include "protocol/v1.h"

#include "base/json.h"
#include "protocol/nested.h"

/* The one input that a value without a name is for. */
static enum status sole_input(const struct infer_spec *spec, size_t *ret_position,
                              struct error *err)
{
    size_t position = SIZE_MAX, required = 0;
    for (size_t i = 0; i < spec->input_count; i++) {
        if (spec->inputs[i].optional) continue;
        position = i;
        required++;
    }
    if (required == 0 && spec->input_count == 1) position = 0;
    if (position == SIZE_MAX || required > 1)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "model '%s' has %zu inputs: give each by its name", spec->name,
                    spec->input_count);
    *ret_position = position;
    return STATUS_OK;
}

static enum status find_input(const struct infer_spec *spec, struct str name, size_t *ret_position,
                              struct error *err)
{
    size_t position = infer_input_find(spec, name);
    if (position == SIZE_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "unexpected inference input '%.*s' for model '%s'", STR_ARGS(name), spec->name);
    *ret_position = position;
    return STATUS_OK;
}

/* Reads the value that stands next as that input, which must not have been read before. */
static enum status read_input(struct json_reader *reader, const struct infer_spec *spec,
                              size_t position, struct infer_request *request, struct error *err)
{
    const struct slipway_tensor_spec *input = &spec->inputs[position];
    struct str name = str_of(input->name);
    for (size_t i = 0; i < request->input_count; i++)
        if (str_equal(request->inputs[i].name, name))
            return fail(err, STATUS_INVALID_ARGUMENT, "input '%s' already exists in request",
                        input->name);
    struct nested_options options = {.dtype = (enum dtype)input->dtype, .base64_allowed = true};
    struct infer_tensor *tensor = &request->inputs[request->input_count];
    *tensor = (struct infer_tensor){.name = name};
    TRY(fail_while(err, nested_read(reader, &options, &tensor->tensor, err), "input '%s'",
                   input->name));
    request->input_count++;
    return STATUS_OK;
}

/* {"b64":...} is a value, any other object holds values by name. */
static bool is_named(struct json_reader reader)
{
    struct str key;
    bool more;
    struct error ignored;
    if (json_peek(&reader) != JSON_OBJECT) return false;
    if (json_open_object(&reader, &ignored) != STATUS_OK) return false;
    if (json_next_member(&reader, &key, &more, &ignored) != STATUS_OK) return false;
    return !more || !str_equal(key, STR("b64"));
}

/* {"inputs": value} or {"inputs": {name: value, ...}} */
static enum status read_columns(struct json_reader *reader, const struct infer_spec *spec,
                                struct infer_request *request, struct error *err)
{
    size_t position;
    if (!is_named(*reader)) {
        TRY(sole_input(spec, &position, err));
        return read_input(reader, spec, position, request, err);
    }
    TRY(json_open_object(reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) return STATUS_OK;
        TRY(find_input(spec, key, &position, err));
        TRY(read_input(reader, spec, position, request, err));
    }
}

/* One row's object: each value's text goes to the end of its input's column. */
static enum status read_named_row(struct json_reader *reader, const struct infer_spec *spec,
                                  struct buffer *columns, size_t row, struct error *err)
{
    TRY(json_open_object(reader, err));
    for (;;) {
        struct str key, value;
        bool more;
        size_t position;
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) return STATUS_OK;
        TRY(find_input(spec, key, &position, err));
        TRY(json_read_raw(reader, &value, err));
        struct buffer *column = &columns[position];
        if ((column->size == 0) != (row == 0))
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "row %zu has a value for '%s', which the first row does not have, or has "
                        "two",
                        row, spec->inputs[position].name);
        buffer_add_byte(column, column->size ? ',' : '[');
        buffer_add(column, value);
    }
}

static enum status check_columns(const struct infer_spec *spec, const size_t *sizes,
                                 const struct buffer *columns, size_t row, struct error *err)
{
    for (size_t i = 0; i < spec->input_count; i++) {
        if (buffer_failed(&columns[i]))
            return fail(err, STATUS_EXHAUSTED, "no memory for the values of '%s'",
                        spec->inputs[i].name);
        if (row && columns[i].size && columns[i].size == sizes[i])
            return fail(err, STATUS_INVALID_ARGUMENT, "row %zu has no value for '%s'", row,
                        spec->inputs[i].name);
    }
    return STATUS_OK;
}

static enum status gather_rows(struct json_reader *reader, const struct infer_spec *spec,
                               struct buffer *columns, size_t *sizes, struct error *err)
{
    TRY(json_open_array(reader, err));
    for (size_t row = 0;; row++) {
        bool more;
        TRY(json_next_element(reader, &more, err));
        if (!more) return STATUS_OK;
        for (size_t i = 0; i < spec->input_count; i++) sizes[i] = columns[i].size;
        TRY(read_named_row(reader, spec, columns, row, err));
        TRY(check_columns(spec, sizes, columns, row, err));
    }
}

static void clear_columns(void *context)
{
    buffer_clear(context);
}

/* Rows by name become one array of text per input, which is then read like any other. */
static enum status read_named_rows(struct json_reader *reader, const struct infer_spec *spec,
                                   struct infer_request *request, struct error *err)
{
    struct arena *arena = request->arena;
    struct buffer *columns = ARENA_TRY_ARRAY(arena, struct buffer, spec->input_count + 1);
    size_t *sizes = ARENA_TRY_ARRAY(arena, size_t, spec->input_count + 1);
    if (!columns || !sizes) return fail(err, STATUS_EXHAUSTED, "no memory for the request");
    size_t ceiling = (size_t)(reader->end - reader->start) + 2;
    for (size_t i = 0; i < spec->input_count; i++) {
        buffer_init(&columns[i], ceiling);
        if (!arena_try_hook(arena, clear_columns, &columns[i]))
            return fail(err, STATUS_EXHAUSTED, "no memory for the request");
    }
    TRY(gather_rows(reader, spec, columns, sizes, err));
    for (size_t i = 0; i < spec->input_count; i++) {
        if (columns[i].size == 0) continue;
        buffer_add_byte(&columns[i], ']');
        struct json_reader column;
        json_reader_init(&column, buffer_view(&columns[i]), arena);
        column.nonfinite_allowed = true;
        TRY(read_input(&column, spec, i, request, err));
    }
    return STATUS_OK;
}

/* {"instances": [value, ...]} or {"instances": [{name: value, ...}, ...]} */
static enum status read_rows(struct json_reader *reader, const struct infer_spec *spec,
                             struct infer_request *request, struct error *err)
{
    struct json_reader first = *reader;
    bool more;
    size_t position;
    if (json_peek(reader) != JSON_ARRAY)
        return json_fail(reader, "'instances' must be an array", err);
    TRY(json_open_array(&first, err));
    TRY(json_next_element(&first, &more, err));
    if (more && is_named(first)) return read_named_rows(reader, spec, request, err);
    TRY(sole_input(spec, &position, err));
    return read_input(reader, spec, position, request, err);
}

static enum status read_body(struct json_reader *reader, const struct infer_spec *spec,
                             struct infer_request *request, bool *ret_columnar, struct error *err)
{
    unsigned forms = 0;
    TRY(json_open_object(reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) break;
        bool rows = str_equal(key, STR("instances")), columns = str_equal(key, STR("inputs"));
        forms += rows || columns;
        if (forms > 1)
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "the request must have one of 'instances' and 'inputs', once");
        if (rows)
            TRY(read_rows(reader, spec, request, err));
        else if (columns)
            TRY(read_columns(reader, spec, request, err));
        else
            TRY(json_skip(reader, err));
        if (columns) *ret_columnar = true;
    }
    if (forms == 0)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "the request must have one of 'instances' and 'inputs'");
    return json_end(reader, err);
}

enum status v1_read(struct str body, const struct infer_spec *spec, struct infer_request *request,
                    bool *ret_columnar, struct error *err)
{
    struct json_reader reader;
    bool columnar = false;
    json_reader_init(&reader, body, request->arena);
    reader.nonfinite_allowed = true;
    request->input_count = 0;
    request->inputs = ARENA_TRY_ARRAY(request->arena, struct infer_tensor, spec->input_count + 1);
    if (!request->inputs) return fail(err, STATUS_EXHAUSTED, "no memory for the request");
    TRY(read_body(&reader, spec, request, &columnar, err));
    *ret_columnar = columnar;
    return STATUS_OK;
}

static enum status write_columns(const struct infer_reply *reply, struct buffer *out,
                                 struct error *err)
{
    buffer_add(out, STR("{\"outputs\":"));
    if (reply->output_count == 1) {
        TRY(nested_write(&reply->outputs[0].tensor, out, err));
        buffer_add_byte(out, '}');
        return STATUS_OK;
    }
    for (size_t i = 0; i < reply->output_count; i++) {
        buffer_add_byte(out, i ? ',' : '{');
        json_print_string(out, reply->outputs[i].name);
        buffer_add_byte(out, ':');
        TRY(nested_write(&reply->outputs[i].tensor, out, err));
    }
    buffer_add(out, STR("}}"));
    return STATUS_OK;
}

static enum status write_named_row(const struct infer_reply *reply, int64_t row, struct buffer *out,
                                   struct error *err)
{
    for (size_t i = 0; i < reply->output_count; i++) {
        buffer_add_byte(out, i ? ',' : '{');
        json_print_string(out, reply->outputs[i].name);
        buffer_add_byte(out, ':');
        TRY(nested_write_row(&reply->outputs[i].tensor, row, out, err));
    }
    buffer_add_byte(out, '}');
    return STATUS_OK;
}

/* Rows by name need a first dimension that all outputs share. */
static enum status write_named_rows(const struct infer_reply *reply, struct buffer *out,
                                    struct error *err)
{
    const struct slipway_tensor *first = &reply->outputs[0].tensor;
    for (size_t i = 0; i < reply->output_count; i++) {
        const struct slipway_tensor *tensor = &reply->outputs[i].tensor;
        if (tensor->rank == 0 || first->rank == 0 || tensor->dims[0] != first->dims[0])
            return fail(
                err, STATUS_INVALID_ARGUMENT,
                "output '%.*s' has other rows than output '%.*s': ask with 'inputs' instead "
                "of 'instances'",
                STR_ARGS(reply->outputs[i].name), STR_ARGS(reply->outputs[0].name));
    }
    buffer_add_byte(out, '[');
    for (int64_t row = 0; row < first->dims[0]; row++) {
        if (row) buffer_add_byte(out, ',');
        TRY(write_named_row(reply, row, out, err));
    }
    buffer_add_byte(out, ']');
    return STATUS_OK;
}

static enum status write_rows(const struct infer_reply *reply, struct buffer *out,
                              struct error *err)
{
    buffer_add(out, STR("{\"predictions\":"));
    if (reply->output_count == 1)
        TRY(nested_write(&reply->outputs[0].tensor, out, err));
    else if (reply->output_count)
        TRY(write_named_rows(reply, out, err));
    else
        buffer_add(out, STR("[]"));
    buffer_add_byte(out, '}');
    return STATUS_OK;
}

enum status v1_write(const struct infer_reply *reply, bool columnar, struct buffer *out,
                     struct error *err)
{
    TRY(columnar ? write_columns(reply, out, err) : write_rows(reply, out, err));
    if (buffer_failed(out))
        return fail(err, STATUS_EXHAUSTED, "the message is larger than its limit of %zu bytes",
                    out->ceiling);
    return STATUS_OK;
}
