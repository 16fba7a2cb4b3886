/* Reading the Open Inference Protocol's JSON. oip_json_write.c has the other way. */
#include "protocol/oip_json.h"

#include "base/json.h"
#include "protocol/oip_binary.h"
#include "protocol/values.h"

enum {
    LIST_FIRST = 2, /* entries that a list begins with */
    USUAL_DIM_DIGITS = 9,
    USUAL_DIM_BYTES = USUAL_DIM_DIGITS + 2,
    STRINGS_PER_BYTE_MIN = 2 /* an element of `data` takes at least this many bytes of text */
};

/* Members of a tensor, in the order of enum member, and what was done with them, as bits. */
enum {
    HAS_NAME = 1,
    HAS_SHAPE = 2,
    HAS_DATATYPE = 4,
    HAS_DATA = 8,
    HAS_PARAMETERS = 16,
    HAS_BLOB = 32,
    HAS_SHARED = 64,
    IS_DECODED = 128,
};

/* What reading carries along. */
struct oip_reader {
    struct json_reader json;
    struct str blobs;      /* not yet given to a tensor */
    struct str model_name; /* for messages */
    const char *what;      /* "input" or "output" */
};

/* A tensor while its members are read. */
struct draft {
    struct infer_tensor *tensor;
    const char *data_at; /* the value of `data`, if it could not be decoded yet */
    uint64_t blob_size;
    uint32_t rank;
    unsigned seen;
    int64_t dims[SHAPE_RANK_MAX];
};

static enum status fail_memory(struct error *err)
{
    return fail(err, STATUS_EXHAUSTED, "the request needs more memory than its limit allows");
}

/* "Unable to parse 'shape': attempt to access JSON non-array as array" and its like. */
static enum status fail_member(const char *member, const char *kind, struct error *err)
{
    return fail(err, STATUS_INVALID_ARGUMENT,
                "Unable to parse '%s': attempt to access JSON non-%s as %s", member, kind, kind);
}

static enum status fail_missing(const char *member, struct error *err)
{
    return fail(err, STATUS_INVALID_ARGUMENT,
                "Unable to parse '%s': attempt to access non-existing object member '%s'", member,
                member);
}

/* White space is consumed. */
static inline bool stands_next(struct oip_reader *reader, char byte)
{
    json_skip_space(&reader->json);
    return reader->json.at < reader->json.end && *reader->json.at == byte;
}

static inline enum status read_string(struct oip_reader *reader, const char *member,
                                      struct str *ret_text, struct error *err)
{
    if (UNLIKELY(!stands_next(reader, '"'))) return fail_member(member, "string", err);
    return json_read_string(&reader->json, ret_text, err);
}

static enum status read_unsigned(struct oip_reader *reader, const char *member, uint64_t *ret_value,
                                 struct error *err)
{
    struct error ignored;
    if (json_peek(&reader->json) != JSON_NUMBER ||
        json_read_u64(&reader->json, ret_value, &ignored) != STATUS_OK)
        return fail_member(member, "unsigned-integer", err);
    return STATUS_OK;
}

static enum status read_flag(struct oip_reader *reader, const char *member, bool *ret_value,
                             struct error *err)
{
    if (json_peek(&reader->json) != JSON_BOOL) return fail_member(member, "boolean", err);
    return json_read_bool(&reader->json, ret_value, err);
}

/* A dimension: digits, nothing else. */
static inline enum status read_dim(struct json_reader *json, int64_t *ret_dim, struct error *err)
{
    json_skip_space(json);
    const char *at = json->at, *end = json->end;
    uint64_t value = 0;
    while (at < end && (unsigned char)(*at - '0') <= 9 && value <= ((uint64_t)INT64_MAX - 9) / 10)
        value = value * 10 + (uint64_t)(*at++ - '0');
    bool digits = at > json->at && !(*json->at == '0' && at - json->at > 1);
    if (UNLIKELY(!digits || at == end || (*at != ',' && *at != ']' && !json_is_space(*at))))
        return fail_member("shape", "unsigned-integer", err);
    json->at = at;
    *ret_dim = (int64_t)value;
    return STATUS_OK;
}

static enum status read_shape(struct oip_reader *reader, struct draft *draft, struct error *err)
{
    struct json_reader *json = &reader->json;
    if (UNLIKELY(!stands_next(reader, '['))) return fail_member("shape", "array", err);
    TRY(json_open_array(json, err));
    for (uint32_t rank = 0;; rank++) {
        bool more;
        TRY(json_next_element(json, &more, err));
        draft->rank = rank;
        if (!more) return STATUS_OK;
        if (UNLIKELY(rank == SHAPE_RANK_MAX))
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "Unable to parse 'shape': more than %d dimensions", SHAPE_RANK_MAX);
        TRY(read_dim(json, &draft->dims[rank], err));
    }
}

/* A datatype's name as the bytes of a word, which compare at once. */
#define WORD_CHAR(text, i) ((uint64_t)(i < sizeof text - 1 ? (unsigned char)text[i] : 0) << (8 * i))
#define WORD(text)                                                                                 \
    (WORD_CHAR(text, 0) | WORD_CHAR(text, 1) | WORD_CHAR(text, 2) | WORD_CHAR(text, 3) |           \
     WORD_CHAR(text, 4) | WORD_CHAR(text, 5))

static inline enum dtype datatype_of(uint64_t word)
{
    enum dtype dtype = DTYPE_ANY;
#define X(name, value, width)                                                                      \
    if (word == WORD(#name)) dtype = DTYPE_##name;
    SLIPWAY_DTYPE_TABLE(X)
#undef X
    return dtype;
}

/* The string that stands next if it names a datatype and eight bytes can be looked at at once. */
static inline bool take_datatype(struct json_reader *json, enum dtype *ret_dtype)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t eight;
    if (UNLIKELY(json->end - json->at < 16 || *json->at != '"')) return false;
    memcpy(&eight, json->at + 1, 8);
    uint64_t quotes = ((eight ^ ones * '"') - ones) & ~(eight ^ ones * '"') & ones * 0x80;
    if (UNLIKELY(!quotes)) return false;
    int size = __builtin_ctzll(quotes) >> 3;
    *ret_dtype = datatype_of(eight & ((UINT64_C(1) << (8 * size)) - 1));
    if (UNLIKELY(*ret_dtype == DTYPE_ANY)) return false;
    json->at += size + 2;
    return true;
}

/* The slow way, which also says what is wrong. "ANY" and "TYPE_FP32" are no names here. */
static enum status read_datatype_slow(struct oip_reader *reader, struct draft *draft,
                                      struct error *err)
{
    struct str name;
    enum dtype dtype;
    TRY(read_string(reader, "datatype", &name, err));
    if (name.size > 6 || !dtype_find(name, &dtype))
        return fail(err, STATUS_INVALID_ARGUMENT, "invalid datatype '%.*s' for %s '%.*s'",
                    (int)MIN(name.size, (size_t)64), name.data, reader->what,
                    STR_ARGS(draft->tensor->name));
    draft->tensor->tensor.dtype = dtype;
    return STATUS_OK;
}

static inline enum status read_datatype(struct oip_reader *reader, struct draft *draft,
                                        struct error *err)
{
    enum dtype dtype;
    json_skip_space(&reader->json);
    if (UNLIKELY(!take_datatype(&reader->json, &dtype)))
        return read_datatype_slow(reader, draft, err);
    draft->tensor->tensor.dtype = dtype;
    return STATUS_OK;
}

static enum status fail_json_type(struct oip_reader *reader, const struct infer_tensor *tensor,
                                  struct error *err)
{
    return fail(err, STATUS_INVALID_ARGUMENT,
                "receiving %s data via JSON is not supported. Please use the binary data format "
                "for %s %.*s",
                dtype_name((enum dtype)tensor->tensor.dtype), reader->what, STR_ARGS(tensor->name));
}

/* The number of elements and bytes, and the shape's copy in the arena. */
static enum status settle_shape(struct oip_reader *reader, struct draft *draft, uint64_t *ret_count,
                                struct error *err)
{
    struct infer_tensor *tensor = draft->tensor;
    int64_t count;
    uint64_t bytes;
    if (UNLIKELY(!shape_element_count(draft->dims, draft->rank, &count)))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "shape of %s '%.*s' causes total element count to exceed maximum size of "
                    "9223372036854775807",
                    reader->what, STR_ARGS(tensor->name));
    size_t width = dtype_width((enum dtype)tensor->tensor.dtype);
    if (UNLIKELY(__builtin_mul_overflow((uint64_t)count, width, &bytes) || bytes > INT64_MAX))
        return fail(err, STATUS_INVALID_ARGUMENT, "byte size overflow for %s '%.*s'", reader->what,
                    STR_ARGS(tensor->name));
    size_t dims_size = draft->rank * sizeof(int64_t);
    int64_t *dims = arena_try_aligned(reader->json.arena, dims_size, sizeof(int64_t));
    if (UNLIKELY(!dims)) return fail_memory(err);
    for (uint32_t i = 0; i < draft->rank; i++) dims[i] = draft->dims[i];
    tensor->tensor.rank = draft->rank;
    tensor->tensor.dims = dims;
    tensor->tensor.byte_size = bytes;
    *ret_count = (uint64_t)count;
    return STATUS_OK;
}

/* Decodes the value of `data` that stands next; type and shape are known. */
static enum status decode_data(struct oip_reader *reader, struct draft *draft, struct error *err)
{
    struct infer_tensor *tensor = draft->tensor;
    enum dtype dtype = (enum dtype)tensor->tensor.dtype;
    struct values values = {.dtype = dtype, .name = tensor->name};
    TRY(settle_shape(reader, draft, &values.count, err));
    if (UNLIKELY(!values_have_json(dtype))) return fail_json_type(reader, tensor, err);
    if (UNLIKELY(!stands_next(reader, '['))) return fail_member("data", "array", err);
    /* No shape makes us take memory for more elements than the text can hold. */
    uint64_t text_left = (uint64_t)(reader->json.end - reader->json.at);
    if (UNLIKELY(values.count > text_left / STRINGS_PER_BYTE_MIN))
        return fail(err, STATUS_INTERNAL,
                    "Failed to parse 'data' field: shape does not match true shape");
    if (values.count) {
        values.data = arena_try_new(reader->json.arena, tensor->tensor.byte_size);
        if (UNLIKELY(!values.data)) return fail_memory(err);
    }
    TRY(values_read(&reader->json, &values, err));
    tensor->tensor.data = values.data;
    draft->seen |= IS_DECODED;
    return STATUS_OK;
}

static enum status read_data(struct oip_reader *reader, struct draft *draft, struct error *err)
{
    const unsigned needed = HAS_SHAPE | HAS_DATATYPE;
    if (LIKELY((draft->seen & needed) == needed)) return decode_data(reader, draft, err);
    json_skip_space(&reader->json);
    draft->data_at = reader->json.at;
    return json_skip(&reader->json, err);
}

/* Room for one more in an array in the arena that doubles; NULL if there is none. */
static void *list_grow(struct arena *arena, void *items, size_t count, size_t width)
{
    bool full = count == 0 || (count >= LIST_FIRST && (count & (count - 1)) == 0);
    if (LIKELY(!full)) return items;
    size_t capacity = count ? count * 2 : LIST_FIRST;
    char *grown = arena_try_new(arena, capacity * width);
    if (grown && count) memcpy(grown, items, count * width);
    return grown;
}

static enum status read_parameter_value(struct oip_reader *reader,
                                        struct infer_parameter *parameter, struct error *err)
{
    struct json_reader *json = &reader->json;
    struct json_reader before = *json;
    struct error ignored;
    switch (json_peek(json)) {
    case JSON_STRING:
        parameter->kind = INFER_PARAMETER_STRING;
        return json_read_string(json, &parameter->value.string, err);
    case JSON_BOOL:
        parameter->kind = INFER_PARAMETER_BOOL;
        return json_read_bool(json, &parameter->value.boolean, err);
    case JSON_NUMBER:
        parameter->kind = INFER_PARAMETER_INT64;
        if (json_read_i64(json, &parameter->value.int64, &ignored) == STATUS_OK) return STATUS_OK;
        *json = before;
        parameter->kind = INFER_PARAMETER_UINT64;
        if (json_read_u64(json, &parameter->value.uint64, &ignored) == STATUS_OK) return STATUS_OK;
        *json = before;
        parameter->kind = INFER_PARAMETER_DOUBLE;
        return json_read_double(json, &parameter->value.real, err);
    case JSON_END:
    case JSON_NULL:
    case JSON_ARRAY:
    case JSON_OBJECT:
    case JSON_WRONG: break;
    }
    return fail(
        err, STATUS_INVALID_ARGUMENT,
        "parameter '%.*s' has invalid type. It should be either 'int', 'bool', or 'string'.",
        STR_ARGS(parameter->name));
}

/* A parameter that only the model knows: kept. */
static enum status keep_parameter(struct oip_reader *reader, struct str name,
                                  struct infer_parameters *parameters, struct error *err)
{
    if (parameters->count == INFER_PARAMETERS_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "more than %d parameters", INFER_PARAMETERS_MAX);
    struct infer_parameter *items =
        list_grow(reader->json.arena, parameters->items, parameters->count, sizeof *items);
    if (!items) return fail_memory(err);
    struct infer_parameter parameter = {.name = name};
    TRY(read_parameter_value(reader, &parameter, err));
    items[parameters->count++] = parameter;
    parameters->items = items;
    return STATUS_OK;
}

static enum status open_parameters(struct oip_reader *reader, struct error *err)
{
    if (json_peek(&reader->json) != JSON_OBJECT) return fail_member("parameters", "object", err);
    return json_open_object(&reader->json, err);
}

static enum status fail_shared_memory(struct error *err)
{
    return fail(err, STATUS_INVALID_ARGUMENT,
                "Client shared memory is disabled. Send the tensor in the request's body instead");
}

static enum status read_tensor_parameters(struct oip_reader *reader, struct draft *draft,
                                          struct error *err)
{
    struct infer_parameters *parameters = &draft->tensor->parameters;
    TRY(open_parameters(reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(&reader->json, &key, &more, err));
        if (!more) return STATUS_OK;
        if (str_equal(key, STR("binary_data_size"))) {
            TRY(read_unsigned(reader, "binary_data_size", &draft->blob_size, err));
            draft->seen |= HAS_BLOB;
        } else if (str_starts_with(key, STR("shared_memory_"))) {
            TRY(json_skip(&reader->json, err));
            draft->seen |= HAS_SHARED;
        } else {
            TRY(keep_parameter(reader, key, parameters, err));
        }
    }
}

/* The members of a tensor that the protocol knows. */
enum member {
    MEMBER_NAME,
    MEMBER_SHAPE,
    MEMBER_DATATYPE,
    MEMBER_DATA,
    MEMBER_PARAMETERS,
    MEMBER_OTHER
};

static inline enum member member_of(struct str key)
{
    if (str_equal(STR("name"), key)) return MEMBER_NAME;
    if (str_equal(STR("shape"), key)) return MEMBER_SHAPE;
    if (str_equal(STR("datatype"), key)) return MEMBER_DATATYPE;
    if (str_equal(STR("data"), key)) return MEMBER_DATA;
    if (str_equal(STR("parameters"), key)) return MEMBER_PARAMETERS;
    return MEMBER_OTHER;
}

/* The first bytes of a key with its quotes and colon, as a word. */
#define KEY_WORD(text) (WORD(text) | WORD_CHAR(text, 6) | WORD_CHAR(text, 7))
#define SEVEN_BYTES UINT64_C(0x00FFFFFFFFFFFFFF)

/*
 * The key that stands next, if it is one of ours and written as machines write it: compared where
 * it stands, which is several times cheaper than finding its end first. False: look properly.
 */
static inline bool take_known_key(struct json_reader *json, enum member *ret_member)
{
    const char *at = json->at;
    uint64_t word;
    if (UNLIKELY(json->end - at < 16)) return false;
    if (!json->fresh && *at++ != ',') return false;
    at += *at == ' ';
    memcpy(&word, at, sizeof word);
    if ((word & SEVEN_BYTES) == KEY_WORD("\"name\":"))
        *ret_member = MEMBER_NAME, at += 7;
    else if (word == KEY_WORD("\"shape\":"))
        *ret_member = MEMBER_SHAPE, at += 8;
    else if (word == KEY_WORD("\"datatyp") && memcmp(at + 8, "e\":", 3) == 0)
        *ret_member = MEMBER_DATATYPE, at += 11;
    else if ((word & SEVEN_BYTES) == KEY_WORD("\"data\":"))
        *ret_member = MEMBER_DATA, at += 7;
    else
        return false;
    json->at = at;
    json->fresh = false;
    return true;
}

/* Goes to the next member; *ret_more is false where the tensor ends. */
static inline enum status next_tensor_member(struct json_reader *json, enum member *ret_member,
                                             bool *ret_more, struct error *err)
{
    *ret_more = true;
    if (LIKELY(take_known_key(json, ret_member))) return STATUS_OK;
    struct str key;
    TRY(json_next_member(json, &key, ret_more, err));
    if (*ret_more) *ret_member = member_of(key);
    return STATUS_OK;
}

static inline enum status read_tensor_member(struct oip_reader *reader, struct draft *draft,
                                             enum member member, struct error *err)
{
    if (UNLIKELY(member == MEMBER_OTHER)) return json_skip(&reader->json, err);
    unsigned bit = 1U << member;
    if (UNLIKELY(draft->seen & bit)) return json_fail(&reader->json, "a member is repeated", err);
    draft->seen |= bit;
    switch (member) {
    case MEMBER_NAME: return read_string(reader, "name", &draft->tensor->name, err);
    case MEMBER_SHAPE: return read_shape(reader, draft, err);
    case MEMBER_DATATYPE: return read_datatype(reader, draft, err);
    case MEMBER_DATA: return read_data(reader, draft, err);
    case MEMBER_PARAMETERS: return read_tensor_parameters(reader, draft, err);
    case MEMBER_OTHER: break;
    }
    return STATUS_OK;
}

/* The tensor's bytes are the next of the binary section. */
static enum status take_blob(struct oip_reader *reader, struct draft *draft, struct error *err)
{
    struct infer_tensor *tensor = draft->tensor;
    uint64_t count;
    TRY(settle_shape(reader, draft, &count, err));
    if (draft->blob_size > reader->blobs.size)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "unexpected size for %s '%.*s', expecting %llu additional bytes for model "
                    "'%.*s'",
                    reader->what, STR_ARGS(tensor->name),
                    (unsigned long long)(draft->blob_size - reader->blobs.size),
                    STR_ARGS(reader->model_name));
    struct str blob = {reader->blobs.data, (size_t)draft->blob_size};
    reader->blobs = str_from(reader->blobs, blob.size);
    return oip_binary_read_tensor(blob, reader->model_name, tensor, reader->json.arena, err);
}

static enum status check_fields(const struct oip_reader *reader, unsigned seen, struct error *err)
{
    unsigned sources = seen & (HAS_DATA | HAS_BLOB | HAS_SHARED);
    if (LIKELY(sources && (sources & (sources - 1)) == 0)) return STATUS_OK;
    const char *title = *reader->what == 'i' ? "Input" : "Output";
    return fail(err, STATUS_INVALID_ARGUMENT,
                "%s must set only one of the following fields: 'data', 'binary_data_size' in "
                "'parameters', 'shared_memory_region' in 'parameters'. But %s%s%s%s",
                title, sources ? "set" : "no field is set", seen & HAS_DATA ? " 'data'" : "",
                seen & HAS_BLOB ? " 'binary_data_size'" : "",
                seen & HAS_SHARED ? " 'shared_memory_region'" : "");
}

static enum status finish_tensor(struct oip_reader *reader, struct draft *draft, struct error *err)
{
    unsigned seen = draft->seen;
    if (UNLIKELY(!(seen & HAS_NAME))) return fail_missing("name", err);
    if (UNLIKELY(!(seen & HAS_SHAPE))) return fail_missing("shape", err);
    if (UNLIKELY(!(seen & HAS_DATATYPE))) return fail_missing("datatype", err);
    TRY(check_fields(reader, seen, err));
    if (LIKELY(seen & IS_DECODED)) return STATUS_OK;
    if (seen & HAS_SHARED) return fail_shared_memory(err);
    if (seen & HAS_BLOB) return take_blob(reader, draft, err);
    struct json_reader behind = reader->json;
    reader->json.at = draft->data_at;
    TRY(decode_data(reader, draft, err));
    reader->json = behind;
    return STATUS_OK;
}

/* Dimensions of up to nine digits up to the bracket that closes them; NULL if otherwise. */
static inline const char *usual_shape(const char *at, const char *end, struct draft *draft)
{
    for (uint32_t rank = 0; rank < SHAPE_RANK_MAX && end - at >= USUAL_DIM_BYTES;) {
        const char *first = at;
        int64_t value = 0;
        while ((unsigned char)(*at - '0') <= 9 && at - first < USUAL_DIM_DIGITS)
            value = value * 10 + (*at++ - '0');
        if (at == first || (*first == '0' && at - first > 1)) return NULL;
        draft->dims[rank++] = value;
        draft->rank = rank;
        if (*at == ']') return at;
        if (*at++ != ',') return NULL;
    }
    return NULL;
}

/*
 * A tensor up to the value of its `data`, if it is written without spaces and in the order that
 * clients have from the protocol's examples. False, nothing consumed: the general way decides.
 */
static inline bool take_usual_head(struct json_reader *json, struct draft *draft)
{
    const char *at = json->at, *end = json->end;
    enum dtype dtype;
    if (end - at < 16 || memcmp(at, "{\"name\":\"", 9) != 0) return false;
    if (json->depth >= json->depth_max || json->depth >= JSON_DEPTH_MAX) return false;
    const char *quote = json_find_special(at += 9, end);
    if (end - quote < 16 || memcmp(quote, "\",\"shape\":[", 11) != 0) return false;
    const char *shape_end = usual_shape(quote + 11, end, draft);
    if (!shape_end || end - shape_end < 40) return false;
    if (memcmp(shape_end, "],\"datatype\":", 13) != 0) return false;
    struct json_reader ahead = *json;
    ahead.at = shape_end + 13;
    if (!take_datatype(&ahead, &dtype) || end - ahead.at < 8) return false;
    if (memcmp(ahead.at, ",\"data\":", 8) != 0) return false;
    draft->tensor->name = (struct str){at, (size_t)(quote - at)};
    draft->tensor->tensor.dtype = dtype;
    draft->seen = HAS_NAME | HAS_SHAPE | HAS_DATATYPE | HAS_DATA;
    json->at = ahead.at + 8;
    json->depth++;
    json->fresh = false;
    return true;
}

static enum status read_tensor(struct oip_reader *reader, struct infer_tensor *tensor,
                               struct error *err)
{
    struct draft draft;
    draft.tensor = tensor;
    draft.rank = 0;
    draft.seen = 0;
    *tensor = (struct infer_tensor){.name = STR_EMPTY};
    if (LIKELY(take_usual_head(&reader->json, &draft)))
        TRY(decode_data(reader, &draft, err));
    else
        TRY(json_open_object(&reader->json, err));
    for (;;) {
        enum member member = MEMBER_OTHER;
        bool more;
        TRY(next_tensor_member(&reader->json, &member, &more, err));
        if (!more) return finish_tensor(reader, &draft, err);
        TRY(read_tensor_member(reader, &draft, member, err));
    }
}

/* The array `inputs` of a request, or `outputs` of a reply. */
static enum status read_tensors(struct oip_reader *reader, const char *member,
                                struct infer_tensor **ret_items, size_t *ret_count,
                                struct error *err)
{
    struct infer_tensor *items = NULL;
    if (UNLIKELY(!stands_next(reader, '['))) return fail_member(member, "array", err);
    TRY(json_open_array(&reader->json, err));
    for (size_t count = 0;; count++) {
        bool more;
        TRY(json_next_element(&reader->json, &more, err));
        if (!more) {
            *ret_items = items;
            *ret_count = count;
            return STATUS_OK;
        }
        if (count == INFER_TENSORS_MAX)
            return fail(err, STATUS_INVALID_ARGUMENT, "more than %d %s", INFER_TENSORS_MAX, member);
        items = list_grow(reader->json.arena, items, count, sizeof *items);
        if (UNLIKELY(!items)) return fail_memory(err);
        TRY(read_tensor(reader, &items[count], err));
    }
}

/* An entry of a request's `outputs` and what its parameters said of binary form. */
struct wanted_draft {
    struct infer_wanted_output output;
    bool named;
    bool binary_given;
    bool shared;
};

static enum status read_classification(struct oip_reader *reader,
                                       struct infer_wanted_output *output, struct error *err)
{
    uint64_t top_k;
    TRY(read_unsigned(reader, "classification", &top_k, err));
    if (top_k == 0 || top_k > UINT32_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "classification of output '%.*s' must be from 1 to %u", STR_ARGS(output->name),
                    UINT32_MAX);
    output->classification = (uint32_t)top_k;
    return STATUS_OK;
}

static enum status read_output_parameters(struct oip_reader *reader, struct wanted_draft *draft,
                                          struct error *err)
{
    struct infer_wanted_output *output = &draft->output;
    TRY(open_parameters(reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(&reader->json, &key, &more, err));
        if (!more) break;
        if (str_equal(key, STR("classification"))) {
            TRY(read_classification(reader, output, err));
        } else if (str_equal(key, STR("binary_data"))) {
            TRY(read_flag(reader, "binary_data", &output->binary, err));
            draft->binary_given = true;
        } else if (str_starts_with(key, STR("shared_memory_"))) {
            TRY(json_skip(&reader->json, err));
            draft->shared = true;
        } else {
            TRY(keep_parameter(reader, key, &output->parameters, err));
        }
    }
    if (!draft->shared) return STATUS_OK;
    if (!output->classification && !draft->binary_given) return fail_shared_memory(err);
    return fail(err, STATUS_INVALID_ARGUMENT,
                "Output can't set both 'shared_memory_region' and '%s'",
                output->classification ? "classification" : "binary_data");
}

static enum status read_wanted_output(struct oip_reader *reader, struct wanted_draft *draft,
                                      struct error *err)
{
    TRY(json_open_object(&reader->json, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(&reader->json, &key, &more, err));
        if (!more) return draft->named ? STATUS_OK : fail_missing("name", err);
        if (str_equal(key, STR("name"))) {
            TRY(read_string(reader, "name", &draft->output.name, err));
            draft->named = true;
        } else if (str_equal(key, STR("parameters"))) {
            TRY(read_output_parameters(reader, draft, err));
        } else {
            TRY(json_skip(&reader->json, err));
        }
    }
}

/*
 * The array `outputs` of a request. Whether an output is binary may depend on a parameter of the
 * request that comes later: *ret_binary_given has one byte per output that said so itself.
 */
static enum status read_wanted_outputs(struct oip_reader *reader, struct infer_request *request,
                                       uint8_t **ret_binary_given, struct error *err)
{
    struct infer_wanted_output *items = NULL;
    uint8_t *given = NULL;
    struct arena *arena = reader->json.arena;
    if (json_peek(&reader->json) != JSON_ARRAY) return fail_member("outputs", "array", err);
    TRY(json_open_array(&reader->json, err));
    for (size_t count = 0;; count++) {
        bool more;
        TRY(json_next_element(&reader->json, &more, err));
        if (!more) {
            request->outputs = items;
            request->output_count = count;
            *ret_binary_given = given;
            return STATUS_OK;
        }
        if (count == INFER_TENSORS_MAX)
            return fail(err, STATUS_INVALID_ARGUMENT, "more than %d outputs", INFER_TENSORS_MAX);
        items = list_grow(arena, items, count, sizeof *items);
        given = list_grow(arena, given, count, sizeof *given);
        if (!items || !given) return fail_memory(err);
        struct wanted_draft draft = {.output = {.name = STR_EMPTY}};
        TRY(read_wanted_output(reader, &draft, err));
        items[count] = draft.output;
        given[count] = draft.binary_given;
    }
}

/* A number is a sequence's id, and so is a string; 0 and "" are none. */
static enum status read_sequence_id(struct oip_reader *reader, struct str *ret_id,
                                    struct error *err)
{
    if (json_peek(&reader->json) == JSON_STRING)
        return json_read_string(&reader->json, ret_id, err);
    json_skip_space(&reader->json);
    const char *start = reader->json.at;
    uint64_t value;
    TRY(read_unsigned(reader, "sequence_id", &value, err));
    *ret_id = value ? (struct str){start, (size_t)(reader->json.at - start)} : STR_EMPTY;
    return STATUS_OK;
}

static enum status read_priority(struct oip_reader *reader, uint32_t *ret_priority,
                                 struct error *err)
{
    uint64_t value;
    TRY(read_unsigned(reader, "priority", &value, err));
    *ret_priority = (uint32_t)MIN(value, (uint64_t)UINT32_MAX);
    return STATUS_OK;
}

static enum status read_request_parameter(struct oip_reader *reader, struct infer_request *request,
                                          struct str key, struct error *err)
{
    if (str_equal(key, STR("binary_data_output")))
        return read_flag(reader, "binary_data_output", &request->binary_output_default, err);
    if (str_equal(key, STR("priority"))) return read_priority(reader, &request->priority, err);
    if (str_equal(key, STR("timeout")))
        return read_unsigned(reader, "timeout", &request->timeout_us, err);
    if (str_equal(key, STR("sequence_id")))
        return read_sequence_id(reader, &request->sequence_id, err);
    if (str_equal(key, STR("sequence_start")))
        return read_flag(reader, "sequence_start", &request->sequence_start, err);
    if (str_equal(key, STR("sequence_end")))
        return read_flag(reader, "sequence_end", &request->sequence_end, err);
    if (str_starts_with(key, STR("triton_")))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "parameter keys starting with 'triton_' are reserved for Triton usage and "
                    "should not be specified.");
    return keep_parameter(reader, key, &request->parameters, err);
}

static enum status read_request_parameters(struct oip_reader *reader, struct infer_request *request,
                                           struct error *err)
{
    TRY(open_parameters(reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(&reader->json, &key, &more, err));
        if (!more) return STATUS_OK;
        TRY(read_request_parameter(reader, request, key, err));
    }
}

/* What a request held from an earlier use, except the model it is for. */
static inline void forget(struct infer_request *request)
{
    request->id = STR_EMPTY;
    request->inputs = NULL;
    request->input_count = 0;
    request->outputs = NULL;
    request->output_count = 0;
    request->parameters = (struct infer_parameters){NULL, 0};
    request->binary_output_default = false;
    request->priority = 0;
    request->timeout_us = 0;
    request->sequence_id = STR_EMPTY;
    request->sequence_start = false;
    request->sequence_end = false;
}

/* The key of the member that most requests consist of. */
static inline bool take_inputs_key(struct json_reader *json)
{
    if (UNLIKELY(!json->fresh || json->end - json->at < 16)) return false;
    if (memcmp(json->at, "\"inputs\":", 9) != 0) return false;
    json->at += 9;
    json->fresh = false;
    return true;
}

static inline enum status read_request_member(struct oip_reader *reader,
                                              struct infer_request *request, struct str key,
                                              uint8_t **binary_given, struct error *err)
{
    if (str_equal(STR("inputs"), key))
        return read_tensors(reader, "inputs", &request->inputs, &request->input_count, err);
    if (str_equal(STR("id"), key)) return read_string(reader, "id", &request->id, err);
    if (str_equal(STR("outputs"), key)) {
        if (request->outputs) return json_fail(&reader->json, "'outputs' is repeated", err);
        return read_wanted_outputs(reader, request, binary_given, err);
    }
    if (str_equal(STR("parameters"), key)) return read_request_parameters(reader, request, err);
    return json_skip(&reader->json, err);
}

static enum status read_request(struct oip_reader *reader, struct infer_request *request,
                                struct error *err)
{
    uint8_t *binary_given = NULL;
    TRY(json_open_object(&reader->json, err));
    bool inputs = take_inputs_key(&reader->json);
    if (LIKELY(inputs))
        TRY(read_tensors(reader, "inputs", &request->inputs, &request->input_count, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(&reader->json, &key, &more, err));
        if (!more) break;
        if (inputs && str_equal(STR("inputs"), key))
            return json_fail(&reader->json, "'inputs' is repeated", err);
        TRY(read_request_member(reader, request, key, &binary_given, err));
        inputs |= str_equal(STR("inputs"), key);
    }
    TRY(json_end(&reader->json, err));
    if (UNLIKELY(!inputs)) return fail_missing("inputs", err);
    for (size_t i = 0; i < request->output_count; i++)
        if (!binary_given[i]) request->outputs[i].binary = request->binary_output_default;
    if (UNLIKELY(reader->blobs.size))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "unexpected additional input data for model '%.*s'",
                    STR_ARGS(request->model_name));
    return STATUS_OK;
}

/* Failures of the JSON itself say that the body is not JSON; others speak for themselves. */
static enum status name_failure(enum status status, struct error *err)
{
    if (LIKELY(status == STATUS_OK) || strncmp(err->message, "invalid JSON", 12) != 0)
        return status;
    return fail_while(err, status, "failed to parse the request JSON buffer");
}

enum status oip_json_read(struct str json, struct str blobs, struct infer_request *request,
                          struct error *err)
{
    struct oip_reader reader = {.blobs = blobs, .model_name = request->model_name, .what = "input"};
    json_reader_init(&reader.json, json, request->arena);
    reader.json.nonfinite_allowed = true;
    forget(request);
    return name_failure(read_request(&reader, request, err), err);
}

static enum status read_reply_member(struct oip_reader *reader, struct infer_reply *reply,
                                     struct str key, struct error *err)
{
    if (str_equal(STR("model_name"), key))
        return read_string(reader, "model_name", &reply->model_name, err);
    if (str_equal(STR("model_version"), key))
        return read_string(reader, "model_version", &reply->model_version, err);
    if (str_equal(STR("id"), key)) return read_string(reader, "id", &reply->id, err);
    if (str_equal(STR("outputs"), key))
        return read_tensors(reader, "outputs", &reply->outputs, &reply->output_count, err);
    if (!str_equal(STR("parameters"), key)) return json_skip(&reader->json, err);
    TRY(open_parameters(reader, err));
    for (;;) {
        bool more;
        TRY(json_next_member(&reader->json, &key, &more, err));
        if (!more) return STATUS_OK;
        TRY(keep_parameter(reader, key, &reply->parameters, err));
    }
}

static enum status read_reply(struct oip_reader *reader, struct infer_reply *reply,
                              struct error *err)
{
    TRY(json_open_object(&reader->json, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(&reader->json, &key, &more, err));
        if (!more) break;
        TRY(read_reply_member(reader, reply, key, err));
    }
    TRY(json_end(&reader->json, err));
    if (reader->blobs.size)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "unexpected additional output data of model '%.*s'",
                    STR_ARGS(reply->model_name));
    return STATUS_OK;
}

enum status oip_json_read_reply(struct str json, struct str blobs, struct arena *arena,
                                struct infer_reply *ret_reply, struct error *err)
{
    struct oip_reader reader = {.blobs = blobs, .model_name = STR_EMPTY, .what = "output"};
    struct infer_reply reply = {
        .model_name = STR_EMPTY, .model_version = STR_EMPTY, .id = STR_EMPTY};
    json_reader_init(&reader.json, json, arena);
    reader.json.nonfinite_allowed = true;
    TRY(fail_while(err, read_reply(&reader, &reply, err), "failed to parse the reply"));
    *ret_reply = reply;
    return STATUS_OK;
}
