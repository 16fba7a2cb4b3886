/* Base64, strict. */
#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buffer *out, struct str bytes)
{
    char *room = buffer_reserve(out, base64_encoded_size(bytes.size));
    if (!room) return;
    const unsigned char *in = (const unsigned char *)bytes.data;
    size_t written = 0;
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t group = (uint32_t)in[i] << 16;
        if (left > 1) group |= (uint32_t)in[i + 1] << 8;
        if (left > 2) group |= in[i + 2];
        room[written++] = alphabet[group >> 18];
        room[written++] = alphabet[group >> 12 & 63];
        room[written++] = left > 1 ? alphabet[group >> 6 & 63] : '=';
        room[written++] = left > 2 ? alphabet[group & 63] : '=';
    }
    buffer_commit(out, written);
}

/* The value of a digit, 64 for a byte that is none. */
static unsigned digit_value(char byte)
{
    if (byte >= 'A' && byte <= 'Z') return (unsigned)(byte - 'A');
    if (byte >= 'a' && byte <= 'z') return (unsigned)(byte - 'a') + 26;
    if (byte >= '0' && byte <= '9') return (unsigned)(byte - '0') + 52;
    if (byte == '+') return 62;
    return byte == '/' ? 63 : 64;
}

/* Four digits, of which `padding` are '=', to 3 - padding bytes. */
static bool decode_group(const char *digits, size_t padding, char *to)
{
    uint32_t group = 0;
    for (size_t i = 0; i < 4; i++) {
        unsigned value = i < 4 - padding ? digit_value(digits[i]) : 0;
        if (value > 63) return false;
        group = group << 6 | value;
    }
    if (padding && (group & (padding == 1 ? 0xFFU : 0xFFFFU))) return false;
    to[0] = (char)(group >> 16 & 0xFF);
    if (padding < 2) to[1] = (char)(group >> 8 & 0xFF);
    if (padding < 1) to[2] = (char)(group & 0xFF);
    return true;
}

enum status base64_decode(struct str text, struct arena *arena, struct str *ret_bytes,
                          struct error *err)
{
    if (text.size % 4 != 0)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "base64 text of %zu bytes is cut: its size is no multiple of 4", text.size);
    size_t padding = 0;
    while (padding < 2 && padding < text.size && text.data[text.size - 1 - padding] == '=')
        padding++;
    size_t size = text.size / 4 * 3 - padding;
    char *bytes = arena_try_new(arena, size + 1);
    if (!bytes) return fail(err, STATUS_EXHAUSTED, "no memory for %zu decoded bytes", size);
    for (size_t i = 0; i < text.size; i += 4) {
        bool last = i + 4 == text.size;
        if (!decode_group(text.data + i, last ? padding : 0, bytes + i / 4 * 3))
            return fail(err, STATUS_INVALID_ARGUMENT, "byte %zu begins no base64", i);
    }
    *ret_bytes = (struct str){bytes, size};
    return STATUS_OK;
}
