/* Values whose nesting is their shape. */
#include "protocol/nested.h"

#include "base/mem.h"
#include "protocol/values.h"

/* What a first pass over the text finds. */
struct survey {
    int64_t dims[SHAPE_RANK_MAX];
    bool counted[SHAPE_RANK_MAX + 1]; /* dims[i] is known from the first array of that depth */
    int64_t counts[SHAPE_RANK_MAX];
    uint32_t rank;
    bool leaf_seen;
    bool base64_allowed;
    bool fraction; /* a number that is not a whole one of 64 bits */
    bool kinds[JSON_WRONG + 1];
    uint64_t values;
};

static enum status fail_irregular(const struct json_reader *reader, struct error *err)
{
    return fail(err, STATUS_INVALID_ARGUMENT,
                "the array is not regular: at byte %zu its nesting or length differs from before",
                (size_t)(reader->at - reader->start));
}

static enum status survey_scalar(struct json_reader *reader, struct survey *survey, uint32_t depth,
                                 struct error *err)
{
    enum json_kind kind = json_peek(reader);
    if (kind == JSON_OBJECT && survey->base64_allowed) kind = JSON_STRING;
    bool known = survey->leaf_seen ? survey->rank == depth : !survey->counted[depth];
    if (!known) return fail_irregular(reader, err);
    if (kind != JSON_NUMBER && kind != JSON_BOOL && kind != JSON_STRING)
        return json_fail(reader, "a number, string, bool or array is expected here", err);
    survey->kinds[kind] = true;
    survey->leaf_seen = true;
    survey->rank = depth;
    survey->values++;
    if (kind != JSON_NUMBER) return json_skip(reader, err);
    struct json_reader before = *reader;
    struct error ignored;
    int64_t value;
    if (!survey->fraction && json_read_i64(reader, &value, &ignored) == STATUS_OK) return STATUS_OK;
    *reader = before;
    survey->fraction = true;
    return json_skip(reader, err);
}

/* The array at `depth` ends: its length must be that of the others there. */
static bool note_length(struct survey *survey, uint32_t depth)
{
    if (survey->counted[depth] && survey->dims[depth] != survey->counts[depth]) return false;
    survey->counted[depth] = true;
    survey->dims[depth] = survey->counts[depth];
    survey->counts[depth] = 0;
    return true;
}

/*
 * One pass over the value: its shape, and which kinds of values it holds. `depth` is how many
 * arrays are open. An array without elements has no depth below it.
 */
static enum status survey_value(struct json_reader *reader, struct survey *survey,
                                struct error *err)
{
    uint32_t depth = 0;
    do {
        bool more = true;
        if (json_peek(reader) == JSON_ARRAY) {
            if (depth == SHAPE_RANK_MAX)
                return fail(err, STATUS_INVALID_ARGUMENT, "the array has more than %d dimensions",
                            SHAPE_RANK_MAX);
            if (survey->leaf_seen && depth >= survey->rank) return fail_irregular(reader, err);
            TRY(json_open_array(reader, err));
            survey->counts[depth++] = 0;
        } else {
            TRY(survey_scalar(reader, survey, depth, err));
        }
        while (depth > 0) {
            TRY(json_next_element(reader, &more, err));
            if (more) break;
            if (!note_length(survey, --depth)) return fail_irregular(reader, err);
        }
        if (depth > 0) survey->counts[depth - 1]++;
    } while (depth > 0);
    return STATUS_OK;
}

/* The rank of an array without values: down to the first that is empty. */
static void settle_rank(struct survey *survey)
{
    if (survey->leaf_seen) return;
    survey->rank = 0;
    while (survey->rank < SHAPE_RANK_MAX && survey->counted[survey->rank]) survey->rank++;
}

static enum status choose_dtype(const struct survey *survey, enum dtype *ret_dtype,
                                struct error *err)
{
    int kinds = survey->kinds[JSON_NUMBER] + survey->kinds[JSON_BOOL] + survey->kinds[JSON_STRING];
    if (kinds > 1)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "the array mixes numbers, strings and bools; a tensor has one type");
    if (survey->kinds[JSON_BOOL])
        *ret_dtype = DTYPE_BOOL;
    else if (survey->kinds[JSON_STRING])
        *ret_dtype = DTYPE_BYTES;
    else
        *ret_dtype = survey->fraction || !survey->leaf_seen ? DTYPE_FP32 : DTYPE_INT64;
    return STATUS_OK;
}

/* A scalar is read as the array it would be alone in. */
static enum status read_values(struct json_reader *reader, bool scalar, struct values *values,
                               struct error *err)
{
    uint64_t got;
    if (scalar) return values_read_run(reader, values, &got, err);
    return values_read(reader, values, err);
}

enum status nested_read(struct json_reader *reader, const struct nested_options *options,
                        struct slipway_tensor *ret_tensor, struct error *err)
{
    struct survey survey = {.base64_allowed = options->base64_allowed};
    struct json_reader second = *reader;
    enum dtype dtype = options->dtype;
    TRY(survey_value(reader, &survey, err));
    settle_rank(&survey);
    if (dtype == DTYPE_ANY) TRY(choose_dtype(&survey, &dtype, err));
    if (!values_have_json(dtype))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "%s data via JSON is not supported. Please use the binary data format",
                    dtype_name(dtype));
    struct values values = {
        .dtype = dtype,
        .count = survey.values,
        .name = STR("the array"),
        .base64_allowed = options->base64_allowed,
    };
    size_t size = survey.values * dtype_width(dtype); /* each value took a byte of text at least */
    int64_t *dims = arena_try_new(reader->arena, (survey.rank + 1) * sizeof(int64_t));
    values.data = arena_try_new(reader->arena, size + 1);
    if (!dims || !values.data)
        return fail(err, STATUS_EXHAUSTED, "no memory for an array of %zu bytes", size);
    memcpy(dims, survey.dims, survey.rank * sizeof *dims);
    TRY(read_values(&second, survey.rank == 0, &values, err));
    *ret_tensor = (struct slipway_tensor){dtype, survey.rank, dims, values.data, size};
    return STATUS_OK;
}

/* Brackets that open before and close behind element `index`, from the innermost dimension out. */
static uint32_t edges(const int64_t *dims, uint32_t rank, uint64_t index)
{
    uint32_t count = 0;
    uint64_t block = 1;
    for (uint32_t i = rank; i-- > 0;) {
        block *= (uint64_t)dims[i];
        if (index % block) break;
        count++;
    }
    return count;
}

static void add_bytes(struct buffer *out, char byte, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) buffer_add_byte(out, byte);
}

/* Arrays with a dimension of 0: the dimensions before it are there, and then nothing. */
static void write_empty(const int64_t *dims, uint32_t rank, struct buffer *out)
{
    uint32_t depth = 0;
    uint64_t arrays = 1;
    while (depth < rank && dims[depth] != 0) arrays *= (uint64_t)dims[depth++];
    for (uint64_t i = 0; i < arrays && !buffer_failed(out); i++) {
        uint32_t opened = i == 0 ? depth : edges(dims, depth, i);
        if (i) buffer_add_byte(out, ',');
        add_bytes(out, '[', opened);
        buffer_add(out, STR("[]"));
        add_bytes(out, ']', edges(dims, depth, i + 1));
    }
}

static void write_nested(const struct slipway_tensor *tensor, const int64_t *dims, uint32_t rank,
                         uint64_t first, struct buffer *out)
{
    enum dtype dtype = (enum dtype)tensor->dtype;
    const char *data = tensor->data;
    uint64_t count = 1, width = dtype_width(dtype);
    for (uint32_t i = 0; i < rank; i++) count *= (uint64_t)dims[i];
    if (count == 0) {
        write_empty(dims, rank, out);
        return;
    }
    uint64_t run = rank ? (uint64_t)dims[rank - 1] : 1;
    for (uint64_t i = 0; i < count && !buffer_failed(out); i += run) {
        if (i) buffer_add_byte(out, ',');
        add_bytes(out, '[', i == 0 ? rank : edges(dims, rank, i));
        values_write(dtype, data + (first + i) * width, run, out);
        add_bytes(out, ']', edges(dims, rank, i + run));
    }
}

static enum status check_written(const struct slipway_tensor *tensor, const struct buffer *out,
                                 struct error *err)
{
    if (!values_have_json((enum dtype)tensor->dtype))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "sending %s data via JSON is not supported. Please use the binary data format",
                    dtype_name((enum dtype)tensor->dtype));
    if (buffer_failed(out))
        return fail(err, STATUS_EXHAUSTED, "the message is larger than its limit of %zu bytes",
                    out->ceiling);
    return STATUS_OK;
}

enum status nested_write(const struct slipway_tensor *tensor, struct buffer *out, struct error *err)
{
    TRY(check_written(tensor, out, err));
    write_nested(tensor, tensor->dims, tensor->rank, 0, out);
    return check_written(tensor, out, err);
}

enum status nested_write_row(const struct slipway_tensor *tensor, int64_t row, struct buffer *out,
                             struct error *err)
{
    assert(tensor->rank > 0 && row >= 0 && row < tensor->dims[0]);
    uint64_t width = 1;
    TRY(check_written(tensor, out, err));
    for (uint32_t i = 1; i < tensor->rank; i++) width *= (uint64_t)tensor->dims[i];
    write_nested(tensor, tensor->dims + 1, tensor->rank - 1, (uint64_t)row * width, out);
    return check_written(tensor, out, err);
}
