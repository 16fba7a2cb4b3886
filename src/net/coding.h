/*
 * Content codings: gzip and deflate, by zlib, with a ceiling on what comes out.
 *
 *   enum coding coding;
 *   if (!coding_find(STR("gzip"), &coding)) ...
 *   TRY(coding_decode(coding, body, limit, place, context, err));
 *
 * Pure but for memory; one thread per call.
 */
#ifndef NET_CODING_H
#define NET_CODING_H

#include "base/str.h"

enum coding { CODING_IDENTITY, CODING_GZIP, CODING_DEFLATE };

/* Of a Content-Encoding field: "gzip", "x-gzip", "deflate", "identity" or empty. False: unknown, or
 * several one after another. */
bool coding_find(struct str name, enum coding *ret_coding);

/* "gzip"; "identity". */
struct str coding_name(enum coding coding);

/*
 * The best coding that an Accept-Encoding field allows: highest q, gzip before deflate. IDENTITY if
 * it allows neither (also for a field that is not well formed).
 */
enum coding coding_negotiate(struct str accept);

/* Takes `size` decoded bytes; what it returns other than OK ends the decoding. */
typedef enum status coding_sink(void *context, const char *data, size_t size, struct error *err);

/*
 * Decodes all of `bytes`. INVALID_ARGUMENT if they are damaged, cut off or followed by others; what
 * the sink says if it refuses (that is where a limit belongs: it sees at most 32 KiB at a time).
 * "deflate" is read with and without zlib's wrapping, since both are sent under that name.
 */
enum status coding_decode(enum coding coding, struct str bytes, coding_sink *sink, void *context,
                          struct error *err) FALLIBLE;

/* Appends the parts, encoded, to `out`. False if its ceiling did not allow it. `level` 1 to 9. */
bool coding_encode(enum coding coding, int level, const struct str *parts, size_t part_count,
                   struct buffer *out) FALLIBLE;

#endif
