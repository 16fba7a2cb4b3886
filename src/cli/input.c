/* Inputs as a person gives them. */
#include "cli/input.h"

#include "base/json.h"
#include "base/num.h"
#include "protocol/bare.h"
#include "protocol/nested.h"
#include "protocol/oip_json.h"

enum { JSON_SIZE_MAX = 1024 * 1024 * 1024 };

/* --- flags ------------------------------------------------------------------------------------ */

/* The parts of "name:TYPE[dims]=values". */
struct flag {
    struct str name;
    struct str type; /* empty: not given */
    struct str dims; /* without brackets; data NULL: not given */
    struct str values;
};

static enum status split_flag(const char *text, struct flag *ret_flag, struct error *err)
{
    struct str rest = str_of(text);
    struct str head = str_cut(&rest, '=');
    struct flag flag = {.name = head, .type = STR_EMPTY, .values = rest};
    if (!rest.data || head.size == 0)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%s' is no input; write NAME=VALUES, as in --input x=1,2,3", text);
    size_t bracket = str_find(head, '[');
    if (bracket != SIZE_MAX) {
        if (head.data[head.size - 1] != ']')
            return fail(err, STATUS_INVALID_ARGUMENT, "'%s': the shape has no ']'", text);
        flag.dims = (struct str){head.data + bracket + 1, head.size - bracket - 2};
        flag.name.size = bracket;
    }
    size_t colon = str_find(flag.name, ':');
    if (colon != SIZE_MAX) {
        flag.type = str_from(flag.name, colon + 1);
        flag.name.size = colon;
    }
    *ret_flag = flag;
    return STATUS_OK;
}

static enum status choose_type(const struct flag *flag, const struct slipway_tensor_spec *input,
                               enum dtype *ret_dtype, struct error *err)
{
    *ret_dtype = input ? (enum dtype)input->dtype : DTYPE_ANY;
    if (flag->type.size == 0 || dtype_find(flag->type, ret_dtype)) return STATUS_OK;
    return fail(err, STATUS_INVALID_ARGUMENT,
                "input '%.*s': there is no type '%.*s'; types are FP32, INT64, BYTES and so on",
                STR_ARGS(flag->name), STR_ARGS(flag->type));
}

/* Values as a JSON array. Strings need no quotes on a command line. */
static void add_json(struct buffer *out, struct str values, enum dtype dtype)
{
    struct str text = str_trim(values);
    if (text.size > 0 && (*text.data == '[' || *text.data == '"')) {
        if (*text.data == '"') buffer_add_byte(out, '[');
        buffer_add(out, text);
        if (*text.data == '"') buffer_add_byte(out, ']');
        return;
    }
    buffer_add_byte(out, '[');
    if (dtype == DTYPE_BYTES)
        json_print_string(out, values); /* one string: commas are part of a sentence */
    else
        buffer_add(out, text);
    buffer_add_byte(out, ']');
}

static enum status read_dims(const struct flag *flag, struct arena *arena,
                             struct slipway_tensor *tensor, struct error *err)
{
    int64_t *dims = ARENA_TRY_ARRAY(arena, int64_t, SHAPE_RANK_MAX);
    if (!dims) return fail(err, STATUS_EXHAUSTED, "no memory for the input");
    uint32_t rank = 0;
    struct str rest = flag->dims;
    while (rest.data && flag->dims.size > 0) {
        struct str part = str_trim(str_cut(&rest, ','));
        if (rank == SHAPE_RANK_MAX || !num_read_i64(part, &dims[rank]) || dims[rank] < 0)
            return fail(err, STATUS_INVALID_ARGUMENT, "input '%.*s': '[%.*s]' is no shape",
                        STR_ARGS(flag->name), STR_ARGS(flag->dims));
        rank++;
    }
    tensor->dims = dims;
    tensor->rank = rank;
    return STATUS_OK;
}

/* The model's shape if it is known up to one dimension, which the number of values then gives. */
static void infer_dims(const struct slipway_tensor_spec *input, struct arena *arena,
                       struct slipway_tensor *tensor)
{
    int64_t count, known = 1;
    int32_t open = -1;
    if (!input || input->rank < 0 || tensor->rank != 1 || input->rank == 1) return;
    if (!shape_element_count(tensor->dims, tensor->rank, &count)) return;
    int64_t *dims = ARENA_TRY_ARRAY(arena, int64_t, SHAPE_RANK_MAX);
    if (!dims) return;
    for (int32_t i = 0; i < input->rank; i++) {
        dims[i] = input->dims[i];
        if (dims[i] < 0 && open >= 0) dims[i] = 1; /* of several, the first one takes the rest */
        if (dims[i] < 0)
            open = i;
        else if (__builtin_mul_overflow(known, dims[i], &known))
            return;
    }
    if (open >= 0 && known > 0) dims[open] = count / known;
    int64_t total = open >= 0 ? known * dims[open] : known;
    if (total != count) return; /* the model says what is wrong */
    tensor->dims = dims;
    tensor->rank = (uint32_t)input->rank;
}

static enum status check_count(const struct flag *flag, const struct slipway_tensor *tensor,
                               int64_t given, struct error *err)
{
    int64_t count;
    if (shape_element_count(tensor->dims, tensor->rank, &count) && count == given) return STATUS_OK;
    return fail(err, STATUS_INVALID_ARGUMENT,
                "input '%.*s' has %lld values, which is not what the shape [%.*s] holds",
                STR_ARGS(flag->name), (long long)given, STR_ARGS(flag->dims));
}

static enum status read_values(const struct flag *flag, enum dtype dtype, struct arena *arena,
                               struct slipway_tensor *ret_tensor, struct error *err)
{
    struct buffer json;
    buffer_init(&json, JSON_SIZE_MAX);
    add_json(&json, flag->values, dtype);
    struct str text = arena_try_copy(arena, buffer_view(&json));
    bool failed = buffer_failed(&json) || !text.data;
    buffer_clear(&json);
    if (failed)
        return fail(err, STATUS_EXHAUSTED, "no memory for input '%.*s'", STR_ARGS(flag->name));
    struct json_reader reader;
    json_reader_init(&reader, text, arena);
    reader.nonfinite_allowed = true;
    struct nested_options options = {.dtype = dtype};
    TRY(nested_read(&reader, &options, ret_tensor, err));
    return json_end(&reader, err);
}

enum status input_read_flag(const char *text, const struct infer_spec *spec,
                            struct infer_request *request, struct error *err)
{
    struct flag flag;
    TRY(split_flag(text, &flag, err));
    size_t index = infer_input_find(spec, flag.name);
    const struct slipway_tensor_spec *input = index == SIZE_MAX ? NULL : &spec->inputs[index];
    enum dtype dtype;
    TRY(choose_type(&flag, input, &dtype, err));
    if (request->input_count == INFER_TENSORS_MAX)
        return fail(err, STATUS_EXHAUSTED, "more than %d inputs", INFER_TENSORS_MAX);
    struct slipway_tensor tensor;
    TRY(fail_while(err, read_values(&flag, dtype, request->arena, &tensor, err), "input '%.*s'",
                   STR_ARGS(flag.name)));
    int64_t given;
    if (flag.dims.data && shape_element_count(tensor.dims, tensor.rank, &given)) {
        TRY(read_dims(&flag, request->arena, &tensor, err));
        TRY(check_count(&flag, &tensor, given, err));
    } else {
        infer_dims(input, request->arena, &tensor);
    }
    if (!request->inputs)
        request->inputs = ARENA_TRY_ARRAY(request->arena, struct infer_tensor, INFER_TENSORS_MAX);
    if (!request->inputs) return fail(err, STATUS_EXHAUSTED, "no memory for the inputs");
    request->inputs[request->input_count++] =
        (struct infer_tensor){.name = flag.name, .tensor = tensor};
    return STATUS_OK;
}

/* --- files ------------------------------------------------------------------------------------ */

static bool is_number(struct str cell)
{
    double value;
    return num_read_double(cell, &value);
}

/* One line of cells, all numbers or (the head of a table) all not. */
static enum status add_row(struct buffer *json, struct str line, size_t number, bool *ret_is_head,
                           struct error *err)
{
    size_t cells = 0, numbers = 0;
    struct str rest = line;
    buffer_add_byte(json, '[');
    while (rest.data) {
        struct str cell = str_trim(str_cut(&rest, ','));
        if (cells++ > 0) buffer_add_byte(json, ',');
        numbers += is_number(cell);
        buffer_add(json, cell);
    }
    buffer_add_byte(json, ']');
    *ret_is_head = numbers == 0 && number == 1;
    if (*ret_is_head || numbers == cells) return STATUS_OK;
    return fail(err, STATUS_INVALID_ARGUMENT, "line %zu holds something that is no number", number);
}

/* Rows of numbers to nested JSON; a single row for a model of rank 1 is that row. */
static enum status csv_to_json(struct str text, bool flat, struct buffer *json, struct error *err)
{
    size_t number = 0, rows = 0;
    struct str rest = text;
    if (!flat) buffer_add_byte(json, '[');
    while (rest.data) {
        struct str line = str_cut(&rest, '\n');
        if (str_ends_with(line, STR("\r"))) line.size--;
        number++;
        if (str_trim(line).size == 0) continue;
        size_t before = json->size;
        bool head;
        if (rows > 0) buffer_add_byte(json, ',');
        TRY(add_row(json, line, number, &head, err));
        if (head)
            json->size = before;
        else
            rows++;
    }
    if (!flat) buffer_add_byte(json, ']');
    if (rows == 0 || (flat && rows > 1))
        return fail(err, STATUS_INVALID_ARGUMENT, "%zu rows, but the model takes one vector", rows);
    return STATUS_OK;
}

static enum status read_csv(struct str text, const struct infer_spec *spec,
                            struct infer_request *request, struct error *err)
{
    struct buffer json;
    buffer_init(&json, JSON_SIZE_MAX);
    bool flat = spec->input_count > 0 && spec->inputs[0].rank == 1;
    enum status status = csv_to_json(text, flat, &json, err);
    struct str copy = {NULL, 0};
    if (status == STATUS_OK) copy = arena_try_copy(request->arena, buffer_view(&json));
    bool failed = buffer_failed(&json);
    buffer_clear(&json);
    TRY(fail_while(err, status, "reading rows of numbers"));
    if (failed || !copy.data) return fail(err, STATUS_EXHAUSTED, "no memory for the rows");
    return bare_read(copy, spec, request, err);
}

static enum input_format format_of(struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (json_is_space(text.data[i])) continue;
        return text.data[i] == '{'   ? INPUT_FORMAT_OIP
               : text.data[i] == '[' ? INPUT_FORMAT_ARRAY
                                     : INPUT_FORMAT_CSV;
    }
    return INPUT_FORMAT_CSV;
}

enum status input_read_text(struct str text, enum input_format format,
                            const struct infer_spec *spec, struct infer_request *request,
                            struct error *err)
{
    switch (format == INPUT_FORMAT_AUTO ? format_of(text) : format) {
    case INPUT_FORMAT_OIP: return oip_json_read(text, STR_EMPTY, request, err);
    case INPUT_FORMAT_ARRAY: return bare_read(text, spec, request, err);
    case INPUT_FORMAT_AUTO:
    case INPUT_FORMAT_CSV:
    default: return read_csv(text, spec, request, err);
    }
}
