/* From a tree into a struct, by the tables. */
#include "config/schema.h"

#include "base/num.h"

size_t schema_element_size(const struct schema_field *field)
{
    switch (field->kind) {
    case SCHEMA_BOOL: return sizeof(bool);
    case SCHEMA_INT32:
    case SCHEMA_UINT32:
    case SCHEMA_ENUM: return sizeof(int32_t);
    case SCHEMA_INT64:
    case SCHEMA_UINT64:
    case SCHEMA_DURATION:
    case SCHEMA_SIZE: return sizeof(int64_t);
    case SCHEMA_TEXT: return sizeof(const char *);
    case SCHEMA_MESSAGE:
    case SCHEMA_INLINE: return field->message->size;
    }
    return 0;
}

/* The items' pointer is of another type each time: its bytes are what all have in common. */
struct schema_list schema_list_get(const void *object, const struct schema_field *field)
{
    struct schema_list list;
    const char *place = (const char *)object + field->offset;
    memcpy(&list.items, place, sizeof list.items);
    memcpy(&list.count, place + sizeof list.items, sizeof list.count);
    return list;
}

void schema_list_set(void *object, const struct schema_field *field, struct schema_list list)
{
    char *place = (char *)object + field->offset;
    memcpy(place, &list.items, sizeof list.items);
    memcpy(place + sizeof list.items, &list.count, sizeof list.count);
}

void schema_prepare(const struct schema_message *message, void *object)
{
    for (size_t i = 0; i < message->field_count; i++) {
        const struct schema_field *field = &message->fields[i];
        if (field->use == SCHEMA_UNUSED || field->use == SCHEMA_REFUSED) continue;
        if (field->shape != SCHEMA_ONE) continue;
        void *place = (char *)object + field->offset;
        if (field->kind == SCHEMA_TEXT) *(const char **)place = "";
        if (field->kind == SCHEMA_INLINE) schema_prepare(field->message, place);
    }
}

static enum status fail_memory(const struct schema_reader *reader, struct error *err)
{
    return fail(err, STATUS_EXHAUSTED, "%s: the configuration takes too much memory",
                reader->tree->name);
}

/* --- scalars ---------------------------------------------------------------------------------- */

static enum status fail_value(const struct schema_reader *reader, const struct schema_field *field,
                              const struct tree_node *node, const char *what, struct error *err)
{
    return tree_fail(reader->tree, node, err, "%s: %s%.*s%s is not %s", field->name,
                     node->quoted ? "\"" : "'", (int)MIN(node->text.size, 100), node->text.data,
                     node->quoted ? "\"" : "'", what);
}

static enum status read_bool(const struct schema_reader *reader, const struct schema_field *field,
                             const struct tree_node *node, bool *ret_value, struct error *err)
{
    static const char *const words[] = {"false", "true", "False", "True", "f", "t", "0", "1"};
    size_t allowed = reader->tree->strict ? COUNT_OF(words) : 4;
    for (size_t i = 0; i < allowed && !node->quoted; i++) {
        if (!str_equal(node->text, str_of(words[i]))) continue;
        *ret_value = i % 2 == 1;
        return STATUS_OK;
    }
    return fail_value(reader, field, node, "true or false", err);
}

static const char *integer_wanted(enum schema_kind kind)
{
    return kind == SCHEMA_INT32    ? "a whole number of 32 bits"
           : kind == SCHEMA_UINT32 ? "a whole number of 0 to 4294967295"
           : kind == SCHEMA_INT64  ? "a whole number of 64 bits"
                                   : "a whole number of 0 or more";
}

static enum status read_integer(const struct schema_reader *reader,
                                const struct schema_field *field, const struct tree_node *node,
                                void *place, struct error *err)
{
    int64_t value = 0;
    uint64_t large = 0;
    bool good = !(reader->tree->strict && node->quoted);
    if (field->kind == SCHEMA_UINT64)
        good = good && num_read_u64(node->text, &large);
    else
        good = good && num_read_i64(node->text, &value);
    if (field->kind == SCHEMA_INT32) good = good && value >= INT32_MIN && value <= INT32_MAX;
    if (field->kind == SCHEMA_UINT32) good = good && value >= 0 && value <= UINT32_MAX;
    if (!good) return fail_value(reader, field, node, integer_wanted(field->kind), err);
    if (field->kind == SCHEMA_INT32)
        *(int32_t *)place = (int32_t)value;
    else if (field->kind == SCHEMA_UINT32)
        *(uint32_t *)place = (uint32_t)value;
    else if (field->kind == SCHEMA_INT64)
        *(int64_t *)place = value;
    else
        *(uint64_t *)place = large;
    return STATUS_OK;
}

/* "TYPE_FP32"; outside protobuf text also "type_fp32" and "FP32". */
static bool choice_matches(const struct schema_reader *reader, struct str choice, struct str text)
{
    if (str_equal(choice, text)) return true;
    if (reader->tree->strict) return false;
    if (str_equal_ignoring_case(choice, text)) return true;
    size_t start = str_find(choice, '_');
    return start != SIZE_MAX && str_equal_ignoring_case(str_from(choice, start + 1), text);
}

static enum status read_enum(const struct schema_reader *reader, const struct schema_field *field,
                             const struct tree_node *node, int32_t *ret_value, struct error *err)
{
    uint64_t number;
    bool is_number = !node->quoted && num_read_u64(node->text, &number);
    const char *nearest = NULL;
    size_t best = 5;
    for (int32_t i = 0; field->choices[i]; i++) {
        struct str choice = str_of(field->choices[i]);
        if ((is_number && number == (uint64_t)i) || (!(reader->tree->strict && node->quoted) &&
                                                     choice_matches(reader, choice, node->text))) {
            *ret_value = i;
            return STATUS_OK;
        }
        size_t far = str_distance(choice, node->text);
        if (far >= best) continue;
        best = far;
        nearest = field->choices[i];
    }
    char what[200];
    if (nearest)
        (void)snprintf(what, sizeof what, "known, did you mean '%s'", nearest);
    else
        (void)snprintf(what, sizeof what, "a value it can have, like '%s'", field->choices[0]);
    return fail_value(reader, field, node, what, err);
}

static enum status read_text(const struct schema_reader *reader, const struct schema_field *field,
                             const struct tree_node *node, const char **ret_text, struct error *err)
{
    if (reader->tree->strict && !node->quoted)
        return fail_value(reader, field, node, "a text in quotes", err);
    if (str_find(node->text, '\0') != SIZE_MAX || !str_is_utf8(node->text))
        return tree_fail(reader->tree, node, err, "%s: the text is not UTF-8", field->name);
    struct str copy = arena_try_copy(reader->arena, node->text);
    if (!copy.data) return fail_memory(reader, err);
    *ret_text = copy.data;
    return STATUS_OK;
}

static enum status read_scalar(struct schema_reader *reader, const struct schema_field *field,
                               const struct tree_node *node, void *place, struct error *err)
{
    if (node->kind != TREE_SCALAR)
        return tree_fail(reader->tree, node, err, "%s: a single value is expected", field->name);
    switch (field->kind) {
    case SCHEMA_BOOL: return read_bool(reader, field, node, place, err);
    case SCHEMA_INT32:
    case SCHEMA_UINT32:
    case SCHEMA_INT64:
    case SCHEMA_UINT64: return read_integer(reader, field, node, place, err);
    case SCHEMA_DURATION:
        if (num_read_duration(node->text, place)) return STATUS_OK;
        return fail_value(reader, field, node, "a duration like 250us, 5ms or 2s", err);
    case SCHEMA_SIZE:
        if (num_read_size(node->text, place)) return STATUS_OK;
        return fail_value(reader, field, node, "a size like 512, 64KiB or 1GiB", err);
    case SCHEMA_TEXT: return read_text(reader, field, node, place, err);
    case SCHEMA_ENUM: return read_enum(reader, field, node, place, err);
    case SCHEMA_MESSAGE:
    case SCHEMA_INLINE: break;
    }
    return STATUS_OK;
}

/* --- messages --------------------------------------------------------------------------------- */

/* A message from a map; outside protobuf text a single value stands for its first field. */
static enum status read_inline(struct schema_reader *reader, const struct schema_field *field,
                               const struct tree_node *node, void *place, struct error *err)
{
    schema_prepare(field->message, place);
    if (node->kind == TREE_SCALAR && !reader->tree->strict && field->kind == SCHEMA_INLINE)
        return read_scalar(reader, &field->message->fields[0], node,
                           (char *)place + field->message->fields[0].offset, err);
    return schema_read(reader, field->message, node, place, err);
}

static enum status read_one(struct schema_reader *reader, const struct schema_field *field,
                            const struct tree_node *node, void *place, struct error *err)
{
    if (field->kind == SCHEMA_INLINE) return read_inline(reader, field, node, place, err);
    if (field->kind != SCHEMA_MESSAGE) return read_scalar(reader, field, node, place, err);
    /* One byte at least: an empty message that is there is not NULL. */
    void *object = arena_try_zeroed(reader->arena, 1, MAX(field->message->size, 1));
    if (!object) return fail_memory(reader, err);
    TRY(read_inline(reader, field, node, object, err));
    memcpy(place, &object, sizeof object);
    return STATUS_OK;
}

/* Room for one more element, zeroed; the list grows by doubling. */
static enum status grow(struct schema_reader *reader, const struct schema_field *field,
                        const struct tree_node *node, void *object, void **ret_element,
                        struct error *err)
{
    struct schema_list list = schema_list_get(object, field);
    size_t size = schema_element_size(field);
    if (list.count >= field->limit)
        return tree_fail(reader->tree, node, err, "%s: more than %u entries", field->name,
                         field->limit);
    if ((list.count & (list.count - 1)) == 0) {
        void *items = arena_try_zeroed(reader->arena, list.count ? list.count * 2 : 1, size);
        if (!items) return fail_memory(reader, err);
        if (list.count) memcpy(items, list.items, list.count * size);
        list.items = items;
    }
    *ret_element = (char *)list.items + list.count * size;
    list.count++;
    schema_list_set(object, field, list);
    return STATUS_OK;
}

static enum status read_element(struct schema_reader *reader, const struct schema_field *field,
                                const struct tree_node *node, void *object, struct error *err)
{
    void *element = NULL;
    TRY(grow(reader, field, node, object, &element, err));
    if (field->kind == SCHEMA_MESSAGE || field->kind == SCHEMA_INLINE)
        return read_inline(reader, field, node, element, err);
    return read_scalar(reader, field, node, element, err);
}

/* {name: value, ...}, as YAML and JSON write a map. */
static enum status read_map(struct schema_reader *reader, const struct schema_field *field,
                            const struct tree_node *node, void *object, struct error *err)
{
    const struct schema_field *key = &field->message->fields[0];
    const struct schema_field *value = &field->message->fields[1];
    if (node->kind != TREE_MAP)
        return tree_fail(reader->tree, node, err, "%s: `name: value` pairs are expected",
                         field->name);
    TREE_EACH(child, node)
    {
        void *element = NULL;
        TRY(grow(reader, field, child, object, &element, err));
        schema_prepare(field->message, element);
        struct tree_node name = *child;
        name.kind = TREE_SCALAR;
        name.text = child->key;
        TRY(read_scalar(reader, key, &name, (char *)element + key->offset, err));
        TRY(read_one(reader, value, child, (char *)element + value->offset, err));
    }
    return STATUS_OK;
}

static enum status read_shaped(struct schema_reader *reader, const struct schema_field *field,
                               const struct tree_node *node, void *object, struct error *err)
{
    if (field->shape == SCHEMA_ONE)
        return read_one(reader, field, node, (char *)object + field->offset, err);
    if (field->shape == SCHEMA_MAP && !reader->tree->strict)
        return read_map(reader, field, node, object, err);
    if (node->kind != TREE_LIST) return read_element(reader, field, node, object, err);
    TREE_EACH(item, node) TRY(read_element(reader, field, item, object, err));
    return STATUS_OK;
}

/* --- fields ----------------------------------------------------------------------------------- */

static enum status fail_unknown(const struct schema_reader *reader,
                                const struct schema_message *message, const struct tree_node *node,
                                struct error *err)
{
    const char *nearest = NULL;
    size_t best = MIN(node->key.size / 2, 4) + 1;
    for (size_t i = 0; i < message->field_count; i++) {
        if (reader->tree->strict && message->fields[i].use == SCHEMA_OURS) continue;
        size_t far = str_distance(str_of(message->fields[i].name), node->key);
        if (far >= best) continue;
        best = far;
        nearest = message->fields[i].name;
    }
    return tree_fail(reader->tree, node, err, "unknown field '%.*s' in %s%s%s%s",
                     (int)MIN(node->key.size, 100), node->key.data, message->name,
                     nearest ? ", did you mean '" : "", nearest ? nearest : "", nearest ? "'" : "");
}

static void warn_unused(const struct schema_reader *reader, const struct schema_message *message,
                        const struct tree_node *node)
{
    char text[300];
    (void)snprintf(text, sizeof text, "%.100s:%u: '%.*s' in %s has no effect here",
                   reader->tree->name, node->line, (int)MIN(node->key.size, 100), node->key.data,
                   message->name);
    reader->warn(reader->context, text);
}

static const struct schema_field *find_field(const struct schema_message *message, struct str name,
                                             bool strict)
{
    for (size_t i = 0; i < message->field_count; i++) {
        const struct schema_field *field = &message->fields[i];
        if (strict && field->use == SCHEMA_OURS) continue;
        if (str_equal(str_of(field->name), name)) return field;
    }
    return NULL;
}

static enum status read_field(struct schema_reader *reader, const struct schema_message *message,
                              const struct tree_node *node, void *object, uint64_t *seen,
                              struct error *err)
{
    const struct schema_field *field = find_field(message, node->key, reader->tree->strict);
    /* An extension or Any in brackets is nobody's field, but valid. */
    bool bracketed = reader->tree->strict && node->key.size > 0 && node->key.data[0] == '[';
    if (!field && !bracketed) return fail_unknown(reader, message, node, err);
    bool empty = node->kind == TREE_SCALAR ? node->text.size == 0 : node->count == 0;
    bool refused = field && field->use == SCHEMA_REFUSED && !(empty && node->kind == TREE_LIST);
    if (empty && field && field->use != SCHEMA_USED && field->use != SCHEMA_OURS && !refused)
        return STATUS_OK;
    if (!field || field->use == SCHEMA_UNUSED) {
        warn_unused(reader, message, node);
        return STATUS_OK;
    }
    if (refused) {
        (void)tree_fail(reader->tree, node, err, "'%s' is not supported", field->name);
        return err->status = STATUS_UNIMPLEMENTED;
    }
    uint64_t bit = UINT64_C(1) << (field - message->fields);
    if ((*seen & bit) && (field->shape == SCHEMA_ONE || !reader->tree->strict))
        return tree_fail(reader->tree, node, err, "'%s' was given before", field->name);
    *seen |= bit;
    return read_shaped(reader, field, node, object, err);
}

/* `all:` in YAML, null in JSON: a message without fields. */
static bool is_null(const struct schema_reader *reader, const struct tree_node *node)
{
    return !reader->tree->strict && node->kind == TREE_SCALAR && !node->quoted &&
           (node->text.size == 0 || str_equal(node->text, STR("null")));
}

enum status schema_read(struct schema_reader *reader, const struct schema_message *message,
                        const struct tree_node *node, void *object, struct error *err)
{
    assert(message->field_count <= SCHEMA_FIELDS_MAX && reader->depth < SCHEMA_DEPTH_MAX);
    if (is_null(reader, node)) return STATUS_OK;
    if (node->kind != TREE_MAP)
        return tree_fail(reader->tree, node, err, "the fields of %s are expected", message->name);
    uint64_t seen = 0;
    reader->depth++;
    TREE_EACH(child, node) TRY(read_field(reader, message, child, object, &seen, err));
    reader->depth--;
    return STATUS_OK;
}
