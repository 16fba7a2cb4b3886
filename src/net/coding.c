/* zlib, bounded. */
#include "net/coding.h"

#include "base/mem.h"

#include <zlib.h>

enum {
    WINDOW_ZLIB = 15,
    WINDOW_GZIP = 15 + 16, /* zlib's way to say "with a gzip wrapper" */
    WINDOW_RAW = -15,
    DECODE_STEP = 32 * 1024,
    INPUT_STEP_MAX = 1 << 30, /* zlib counts in unsigned int */
    CODINGS_MAX = 32,         /* entries of an Accept-Encoding field that are looked at */
};

static const struct {
    struct str name;
    enum coding coding;
} names[] = {
    {{"identity", 8}, CODING_IDENTITY}, {{"gzip", 4}, CODING_GZIP},
    {{"deflate", 7}, CODING_DEFLATE},   {{"x-gzip", 6}, CODING_GZIP},
    {{"", 0}, CODING_IDENTITY},
};

bool coding_find(struct str name, enum coding *ret_coding)
{
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_equal_ignoring_case(name, names[i].name)) {
            *ret_coding = names[i].coding;
            return true;
        }
    return false;
}

struct str coding_name(enum coding coding)
{
    return names[coding].name;
}

/* --- Accept-Encoding (RFC 9110, 12.5.3) ------------------------------------------------------- */

/* "0.5" -> 500; -1 if it is not a qvalue: 0 or 1 with up to three decimals. */
static int parse_quality(struct str text)
{
    if (text.size == 0 || text.size > 5 || (text.data[0] != '0' && text.data[0] != '1')) return -1;
    int value = (text.data[0] - '0') * 1000;
    if (text.size > 1 && text.data[1] != '.') return -1;
    int scale = 100;
    for (size_t i = 2; i < text.size; i++, scale /= 10) {
        if (text.data[i] < '0' || text.data[i] > '9') return -1;
        value += (text.data[i] - '0') * scale;
    }
    return value <= 1000 ? value : -1;
}

/* The quality of "gzip;q=0.5", with *entry cut down to "gzip". */
static int take_quality(struct str *entry)
{
    struct str rest = *entry;
    *entry = str_trim(str_cut(&rest, ';'));
    if (!rest.data) return 1000;
    rest = str_trim(rest);
    if (rest.size < 2 || (rest.data[0] | 0x20) != 'q' || rest.data[1] != '=') return -1;
    return parse_quality(str_from(rest, 2));
}

enum coding coding_negotiate(struct str accept)
{
    int quality[] = {[CODING_IDENTITY] = -1, [CODING_GZIP] = -1, [CODING_DEFLATE] = -1};
    int star = -1;
    struct str rest = accept;
    for (int i = 0; i < CODINGS_MAX && rest.data; i++) {
        struct str entry = str_trim(str_cut(&rest, ','));
        int value = take_quality(&entry);
        enum coding coding;
        if (value < 0 || entry.size == 0) continue;
        if (str_equal(entry, STR("*")))
            star = value;
        else if (coding_find(entry, &coding))
            quality[coding] = value;
    }
    for (size_t i = CODING_GZIP; i < COUNT_OF(quality); i++)
        if (quality[i] < 0) quality[i] = star;
    enum coding best =
        quality[CODING_DEFLATE] > quality[CODING_GZIP] ? CODING_DEFLATE : CODING_GZIP;
    if (quality[best] <= 0 || quality[best] < quality[CODING_IDENTITY]) return CODING_IDENTITY;
    return best;
}

/* --- decoding --------------------------------------------------------------------------------- */

static int decode_window(enum coding coding, struct str bytes)
{
    if (coding == CODING_GZIP) return WINDOW_GZIP;
    /* A zlib header: method 8, and the two bytes divide by 31 (RFC 1950). */
    if (bytes.size < 2) return WINDOW_ZLIB;
    unsigned first = (unsigned char)bytes.data[0], second = (unsigned char)bytes.data[1];
    return (first & 15) == 8 && (first * 256 + second) % 31 == 0 ? WINDOW_ZLIB : WINDOW_RAW;
}

static void feed(z_stream *stream, struct str *bytes)
{
    if (stream->avail_in || !bytes->size) return;
    size_t part = MIN(bytes->size, (size_t)INPUT_STEP_MAX);
    stream->next_in = (z_const Bytef *)(uintptr_t)bytes->data;
    stream->avail_in = (uInt)part;
    *bytes = str_from(*bytes, part);
}

static enum status decode(z_stream *stream, struct str bytes, coding_sink *sink, void *context,
                          struct error *err)
{
    char *step CLEANUP(mem_freep) = mem_new(DECODE_STEP);
    for (;;) {
        feed(stream, &bytes);
        stream->next_out = (Bytef *)step;
        stream->avail_out = DECODE_STEP;
        int result = inflate(stream, Z_NO_FLUSH);
        if (result != Z_OK && result != Z_STREAM_END)
            return fail(err, STATUS_INVALID_ARGUMENT, "the compressed body is damaged or cut off");
        size_t size = DECODE_STEP - stream->avail_out;
        if (size) TRY(sink(context, step, size, err));
        if (result == Z_STREAM_END) break;
    }
    if (stream->avail_in || bytes.size)
        return fail(err, STATUS_INVALID_ARGUMENT, "the compressed body is followed by other bytes");
    return STATUS_OK;
}

enum status coding_decode(enum coding coding, struct str bytes, coding_sink *sink, void *context,
                          struct error *err)
{
    if (coding == CODING_IDENTITY) return sink(context, bytes.data, bytes.size, err);
    z_stream stream = {0};
    if (inflateInit2(&stream, decode_window(coding, bytes)) != Z_OK)
        return fail(err, STATUS_EXHAUSTED, "no memory for decompressing");
    enum status status = decode(&stream, bytes, sink, context, err);
    (void)inflateEnd(&stream);
    return status;
}

/* --- encoding --------------------------------------------------------------------------------- */

static bool encode_part(z_stream *stream, struct str bytes, int flush, struct buffer *out)
{
    do {
        feed(stream, &bytes);
        size_t step = MIN((size_t)DECODE_STEP, out->ceiling - out->size);
        char *room = step ? buffer_reserve(out, step) : NULL;
        if (!room) return false;
        stream->next_out = (Bytef *)room;
        stream->avail_out = (uInt)step;
        (void)deflate(stream, bytes.size ? Z_NO_FLUSH : flush);
        buffer_commit(out, step - stream->avail_out);
    } while (stream->avail_in || bytes.size || stream->avail_out == 0);
    return true;
}

bool coding_encode(enum coding coding, int level, const struct str *parts, size_t part_count,
                   struct buffer *out)
{
    z_stream stream = {0};
    int window = coding == CODING_GZIP ? WINDOW_GZIP : WINDOW_ZLIB;
    assert(coding != CODING_IDENTITY && part_count > 0);
    if (deflateInit2(&stream, level, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    bool done = true;
    for (size_t i = 0; i < part_count && done; i++)
        done = encode_part(&stream, parts[i], i + 1 == part_count ? Z_FINISH : Z_NO_FLUSH, out);
    (void)deflateEnd(&stream);
    return done;
}
