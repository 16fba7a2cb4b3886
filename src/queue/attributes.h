/*
 * A message's attributes and trace header as one blob, for the implementations that keep them in a
 * column: small, and without a parser of its own. And their digest, as AWS has it. Pure.
 *
 *   u8 count, u16 size of the trace header, the trace header, then each: u16 name size, u16 type
 *   size, u32 value size, name, type, value. Integers little-endian.
 */
#ifndef QUEUE_ATTRIBUTES_H
#define QUEUE_ATTRIBUTES_H

#include "base/hash.h"
#include "queue/queue.h"

/* Appends. Attributes of a checked message fit the fields' sizes. */
void attributes_write(const struct queue_attribute *attributes, size_t count,
                      struct str trace_header, struct buffer *out);

/* What was written, as views of `blob` and an array in the arena; an empty blob is none at all.
 * DATA_LOSS if it was not written by attributes_write. */
enum status attributes_read(struct str blob, struct arena *arena,
                            struct queue_attribute **ret_attributes, size_t *ret_count,
                            struct str *ret_trace_header, struct error *err) FALLIBLE;

/*
 * MD5 as AWS computes it over attributes, which are in the order of their names: for each length
 * and bytes of name and type, the kind of transport, length and bytes of the value. False if
 * OpenSSL refuses MD5, or memory is short.
 */
bool attributes_md5(const struct queue_attribute *attributes, size_t count,
                    char ret_text[MD5_HEX_SIZE]) FALLIBLE;

/* True if the type is Binary or Binary.something. */
bool attribute_is_binary(struct str type);

#endif
