/*
 * Base64 (RFC 4648, section 4): the standard alphabet, padded. Pure.
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/arena.h"

/* Bytes that base64_encode appends for `size` bytes. */
static inline size_t base64_encoded_size(size_t size)
{
    return (size + 2) / 3 * 4;
}

void base64_encode(struct buffer *out, struct str bytes);

/*
 * Decodes into the arena: INVALID_ARGUMENT for a foreign byte, wrong padding, or bits that should
 * be zero and are not; EXHAUSTED if the arena has no room.
 */
enum status base64_decode(struct str text, struct arena *arena, struct str *ret_bytes,
                          struct error *err) FALLIBLE;

#endif
