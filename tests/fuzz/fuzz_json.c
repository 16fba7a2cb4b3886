/* The JSON reader on any bytes; what it takes, the writer's copy of it is taken too and is equal.
 */
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Copies one value; false where the reader finds a fault. */
static bool copy_value(struct json_reader *reader, struct json_writer *writer)
{
    struct error err;
    struct str text;
    bool more = true, flag;
    enum json_kind kind = json_peek(reader);
    if (kind == JSON_STRING) {
        if (json_read_string(reader, &text, &err) != STATUS_OK) return false;
        json_add_string(writer, text);
        return true;
    }
    if (kind == JSON_BOOL) {
        if (json_read_bool(reader, &flag, &err) != STATUS_OK) return false;
        json_add_bool(writer, flag);
        return true;
    }
    if (kind != JSON_OBJECT && kind != JSON_ARRAY) {
        if (json_read_raw(reader, &text, &err) != STATUS_OK) return false;
        json_add_raw(writer, text);
        return true;
    }
    bool object = kind == JSON_OBJECT;
    enum status status = object ? json_open_object(reader, &err) : json_open_array(reader, &err);
    if (status != STATUS_OK) return false;
    object ? json_begin_object(writer) : json_begin_array(writer);
    for (;;) {
        status = object ? json_next_member(reader, &text, &more, &err)
                        : json_next_element(reader, &more, &err);
        if (status != STATUS_OK) return false;
        if (!more) break;
        if (object) json_add_name(writer, text);
        if (!copy_value(reader, writer)) return false;
    }
    object ? json_end_object(writer) : json_end_array(writer);
    return true;
}

static bool copy_text(struct str text, struct buffer *out)
{
    struct arena arena CLEANUP(arena_clear);
    struct json_reader reader;
    struct json_writer writer;
    struct error err;
    arena_init(&arena, 1 << 20);
    json_reader_init(&reader, text, &arena);
    json_writer_init(&writer, out);
    return copy_value(&reader, &writer) && json_end(&reader, &err) == STATUS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct json_reader reader;
    struct error err;
    struct buffer first CLEANUP(buffer_clear), second CLEANUP(buffer_clear);
    buffer_init(&first, 8 * size + 64);
    buffer_init(&second, 8 * size + 64);
    json_reader_init(&reader, text, NULL);
    bool skipped = json_skip(&reader, &err) == STATUS_OK && json_end(&reader, &err) == STATUS_OK;
    if (copy_text(text, &first) != skipped) abort();
    if (!skipped) return 0;
    if (!copy_text(buffer_view(&first), &second)) abort();
    if (!str_equal(buffer_view(&first), buffer_view(&second))) abort();
    return 0;
}
