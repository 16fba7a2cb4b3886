/* Attributes to bytes and back, and to a digest. */
#include "queue/attributes.h"

#include "base/error.h"
#include "base/mem.h"

static void add_u16(struct buffer *out, size_t value)
{
    assert(value <= UINT16_MAX);
    buffer_add_byte(out, (char)(value & 0xff));
    buffer_add_byte(out, (char)(value >> 8));
}

void attributes_write(const struct queue_attribute *attributes, size_t count,
                      struct str trace_header, struct buffer *out)
{
    assert(count <= UINT8_MAX);
    buffer_add_byte(out, (char)count);
    add_u16(out, trace_header.size);
    buffer_add(out, trace_header);
    for (size_t i = 0; i < count; i++) {
        add_u16(out, attributes[i].name.size);
        add_u16(out, attributes[i].type.size);
        add_u16(out, attributes[i].value.size & 0xffff);
        add_u16(out, attributes[i].value.size >> 16);
        buffer_add(out, attributes[i].name);
        buffer_add(out, attributes[i].type);
        buffer_add(out, attributes[i].value);
    }
}

static bool take(struct str *rest, size_t size, struct str *ret_part)
{
    if (rest->size < size) return false;
    *ret_part = (struct str){rest->data, size};
    *rest = str_from(*rest, size);
    return true;
}

static bool take_number(struct str *rest, size_t bytes, size_t *ret_value)
{
    struct str part;
    if (!take(rest, bytes, &part)) return false;
    *ret_value = 0;
    for (size_t i = bytes; i > 0; i--) *ret_value = *ret_value << 8 | (uint8_t)part.data[i - 1];
    return true;
}

static bool take_attribute(struct str *rest, struct queue_attribute *attribute)
{
    size_t name, type, value;
    return take_number(rest, 2, &name) && take_number(rest, 2, &type) &&
           take_number(rest, 4, &value) && take(rest, name, &attribute->name) &&
           take(rest, type, &attribute->type) && take(rest, value, &attribute->value);
}

static enum status refuse(struct error *err)
{
    return fail(err, STATUS_DATA_LOSS, "a stored message's attributes are damaged");
}

enum status attributes_read(struct str blob, struct arena *arena,
                            struct queue_attribute **ret_attributes, size_t *ret_count,
                            struct str *ret_trace_header, struct error *err)
{
    size_t count = 0, trace_size = 0;
    struct str trace = STR_EMPTY;
    struct queue_attribute *attributes = NULL;
    if (blob.size > 0 && (!take_number(&blob, 1, &count) || !take_number(&blob, 2, &trace_size) ||
                          !take(&blob, trace_size, &trace)))
        return refuse(err);
    if (count > 0 && !(attributes = arena_try_zeroed(arena, count, sizeof *attributes)))
        return fail(err, STATUS_EXHAUSTED, "no memory for a message's attributes");
    for (size_t i = 0; i < count; i++)
        if (!take_attribute(&blob, &attributes[i])) return refuse(err);
    if (blob.size > 0) return refuse(err);
    *ret_attributes = attributes;
    *ret_count = count;
    *ret_trace_header = trace;
    return STATUS_OK;
}

bool attribute_is_binary(struct str type)
{
    struct str binary = STR("Binary");
    return str_starts_with(type, binary) &&
           (type.size == binary.size || type.data[binary.size] == '.');
}

bool attributes_md5(const struct queue_attribute *attributes, size_t count,
                    char ret_text[MD5_HEX_SIZE])
{
    struct buffer bytes CLEANUP(buffer_clear);
    buffer_init(&bytes, 2 * QUEUE_MESSAGE_SIZE_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct str parts[] = {attributes[i].name, attributes[i].type, attributes[i].value};
        for (size_t part = 0; part < COUNT_OF(parts); part++) {
            if (part == 2) buffer_add_byte(&bytes, attribute_is_binary(parts[1]) ? 2 : 1);
            uint32_t size = (uint32_t)parts[part].size;
            const char length[] = {(char)(size >> 24), (char)(size >> 16), (char)(size >> 8),
                                   (char)size};
            buffer_add(&bytes, (struct str){length, sizeof length});
            buffer_add(&bytes, parts[part]);
        }
    }
    return !buffer_failed(&bytes) && md5_hex(buffer_view(&bytes), ret_text);
}
