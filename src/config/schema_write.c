/* From a struct to JSON, and to another struct, by the tables. */
#include "base/json.h"
#include "config/schema.h"

static const void *place_of(const void *object, const struct schema_field *field)
{
    return (const char *)object + field->offset;
}

static void write_scalar(struct json_writer *writer, const struct schema_field *field,
                         const void *place)
{
    switch (field->kind) {
    case SCHEMA_BOOL: json_add_bool(writer, *(const bool *)place); break;
    case SCHEMA_INT32: json_add_i64(writer, *(const int32_t *)place); break;
    case SCHEMA_UINT32: json_add_u64(writer, *(const uint32_t *)place); break;
    case SCHEMA_INT64: json_add_i64(writer, *(const int64_t *)place); break;
    case SCHEMA_UINT64:
    case SCHEMA_DURATION:
    case SCHEMA_SIZE: json_add_u64(writer, *(const uint64_t *)place); break;
    case SCHEMA_TEXT: json_add_string(writer, str_of(*(const char *const *)place)); break;
    case SCHEMA_ENUM:
        json_add_string(writer, str_of(field->choices[*(const int32_t *)place]));
        break;
    case SCHEMA_MESSAGE:
    case SCHEMA_INLINE: schema_write_json(writer, field->message, place); break;
    }
}

static void write_list(struct json_writer *writer, const struct schema_field *field,
                       struct schema_list list)
{
    size_t size = schema_element_size(field);
    json_begin_array(writer);
    for (size_t i = 0; i < list.count; i++)
        write_scalar(writer, field, (const char *)list.items + i * size);
    json_end_array(writer);
}

static void add_key(struct json_writer *writer, const struct schema_field *key, const void *place)
{
    if (key->kind == SCHEMA_TEXT) {
        json_add_name(writer, str_of(*(const char *const *)place));
        return;
    }
    char digits[24];
    int size =
        snprintf(digits, sizeof digits, "%llu", (unsigned long long)*(const uint64_t *)place);
    json_add_name(writer, (struct str){digits, (size_t)size});
}

static void write_map(struct json_writer *writer, const struct schema_field *field,
                      struct schema_list list)
{
    const struct schema_field *key = &field->message->fields[0];
    const struct schema_field *value = &field->message->fields[1];
    json_begin_object(writer);
    for (size_t i = 0; i < list.count; i++) {
        const char *element = (const char *)list.items + i * field->message->size;
        add_key(writer, key, element + key->offset);
        write_scalar(writer, value, element + value->offset);
    }
    json_end_object(writer);
}

/* True for what a one-of holds nothing of. */
static bool is_unset(const struct schema_field *field, const void *place)
{
    if (field->kind == SCHEMA_TEXT) return **(const char *const *)place == '\0';
    return field->kind == SCHEMA_BOOL && !*(const bool *)place;
}

static void write_field(struct json_writer *writer, const struct schema_field *field,
                        const void *object)
{
    const struct str name = str_of(field->name);
    const void *place = place_of(object, field);
    if (field->shape != SCHEMA_ONE) {
        struct schema_list list = schema_list_get(object, field);
        json_add_name(writer, name);
        if (field->shape == SCHEMA_MAP)
            write_map(writer, field, list);
        else
            write_list(writer, field, list);
        return;
    }
    if (field->kind == SCHEMA_MESSAGE) {
        const void *message;
        memcpy(&message, place, sizeof message);
        if (!message) return;
        place = message;
    }
    if (field->one_of && is_unset(field, place)) return;
    json_add_name(writer, name);
    write_scalar(writer, field, place);
}

void schema_write_json(struct json_writer *writer, const struct schema_message *message,
                       const void *object)
{
    json_begin_object(writer);
    for (size_t i = 0; i < message->field_count; i++) {
        const struct schema_field *field = &message->fields[i];
        if (field->json) {
            json_add_name(writer, str_of(field->name));
            json_add_raw(writer, str_of(field->json));
        } else if (field->use == SCHEMA_USED) {
            write_field(writer, field, object);
        }
    }
    json_end_object(writer);
}

/* --- copies ----------------------------------------------------------------------------------- */

static enum status fail_memory(struct error *err)
{
    return fail(err, STATUS_EXHAUSTED, "a model's configuration takes too much memory");
}

/* `place` holds a shallow copy already: what it points to is replaced by copies. */
static enum status copy_scalar(struct arena *arena, const struct schema_field *field, void *place,
                               struct error *err)
{
    if (field->kind == SCHEMA_INLINE || field->kind == SCHEMA_MESSAGE)
        return schema_copy(arena, field->message, place, place, err);
    if (field->kind != SCHEMA_TEXT) return STATUS_OK;
    struct str text = arena_try_copy(arena, str_of(*(const char **)place));
    if (!text.data) return fail_memory(err);
    *(const char **)place = text.data;
    return STATUS_OK;
}

static enum status copy_list(struct arena *arena, const struct schema_field *field, void *object,
                             struct error *err)
{
    struct schema_list list = schema_list_get(object, field);
    if (list.count == 0) return STATUS_OK;
    size_t size = schema_element_size(field);
    char *items = arena_try_zeroed(arena, list.count, size);
    if (!items) return fail_memory(err);
    memcpy(items, list.items, list.count * size);
    for (size_t i = 0; i < list.count; i++) TRY(copy_scalar(arena, field, items + i * size, err));
    list.items = items;
    schema_list_set(object, field, list);
    return STATUS_OK;
}

static enum status copy_message(struct arena *arena, const struct schema_field *field, void *place,
                                struct error *err)
{
    void *from;
    memcpy(&from, place, sizeof from);
    if (!from) return STATUS_OK;
    void *to = arena_try_zeroed(arena, 1, MAX(field->message->size, 1));
    if (!to) return fail_memory(err);
    TRY(schema_copy(arena, field->message, from, to, err));
    memcpy(place, &to, sizeof to);
    return STATUS_OK;
}

enum status schema_copy(struct arena *arena, const struct schema_message *message,
                        const void *object, void *copy, struct error *err)
{
    if (copy != object && message->size > 0) memcpy(copy, object, message->size);
    for (size_t i = 0; i < message->field_count; i++) {
        const struct schema_field *field = &message->fields[i];
        if (field->use == SCHEMA_UNUSED || field->use == SCHEMA_REFUSED) continue;
        void *place = (char *)copy + field->offset;
        if (field->shape != SCHEMA_ONE)
            TRY(copy_list(arena, field, copy, err));
        else if (field->kind == SCHEMA_MESSAGE)
            TRY(copy_message(arena, field, place, err));
        else
            TRY(copy_scalar(arena, field, place, err));
    }
    return STATUS_OK;
}
