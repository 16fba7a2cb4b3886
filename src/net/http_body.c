/* Where a body lies: behind its header, or in memory of its own. */
#include "net/coding.h"
#include "net/http_private.h"

#define REJECT(status, message) ((struct rejection){(status), (message)})
#define ACCEPT ((struct rejection){0, NULL})

enum { BODY_CAPACITY_FIRST = 16 * 1024 };

/* Bytes to leave free in front, so that the exchange's offset falls on a boundary. */
static size_t shift_for(const struct http_exchange *exchange)
{
    size_t offset = exchange->body_alignment_offset;
    return offset == SIZE_MAX ? 0 : (0 - offset) % BODY_ALIGNMENT;
}

void body_clear(struct http_work *work)
{
    struct http_body *body = &work->body;
    if (body->memory) {
        work->exchange.server->body_memory -= body->capacity;
        mem_free(body->memory);
    }
    *body = (struct http_body){0};
}

struct rejection body_too_large(const struct http_work *work)
{
    struct http_server *server = work->exchange.server;
    (void)snprintf(server->rejection_text, sizeof server->rejection_text,
                   "the request's body exceeds the maximum allowed input size of %zu bytes. Use "
                   "--http-body-bytes-max to increase the limit.",
                   work->exchange.body_size_max);
    return REJECT(413, server->rejection_text);
}

/* A body of that capacity which takes over the content of the one that is. */
static struct rejection body_resize(struct http_work *work, size_t capacity)
{
    struct http_server *server = work->exchange.server;
    struct http_body *old = &work->body;
    if (capacity > server->options.body_memory_max ||
        server->body_memory > server->options.body_memory_max - capacity)
        return REJECT(503, "too many bytes of requests are in flight, try again later");
    char *memory = mem_try_new_aligned(BODY_ALIGNMENT, capacity + ALLOCATED_BODY_SLACK);
    if (!memory) return REJECT(503, "no memory for the request's body, try again later");
    struct http_body body = {.memory = memory,
                             .data = memory + shift_for(&work->exchange),
                             .capacity = capacity,
                             .size = old->size};
    if (old->size) memcpy(body.data, old->data, old->size);
    body_clear(work);
    server->body_memory += capacity;
    work->body = body;
    return ACCEPT;
}

struct rejection body_allocate(struct http_work *work, size_t size)
{
    assert(!work->body.memory && size <= work->exchange.body_size_max);
    return body_resize(work, size);
}

struct rejection body_append(struct http_work *work, const char *data, size_t size)
{
    struct http_body *body = &work->body;
    size_t limit = work->exchange.body_size_max;
    if (size > limit || body->size > limit - size) return body_too_large(work);
    size_t needed = body->size + size;
    if (needed > body->capacity) {
        size_t capacity = MAX(MIN(body->capacity * 2, limit), needed);
        capacity = MAX(capacity, MIN((size_t)BODY_CAPACITY_FIRST, limit));
        struct rejection rejection = body_resize(work, capacity);
        if (rejection.status) return rejection;
    }
    if (size) memcpy(body->data + body->size, data, size);
    body->size += size;
    return ACCEPT;
}

/* --- Content-Encoding ------------------------------------------------------------------------- */

struct decoding {
    struct http_work *work;
    struct rejection rejection;
};

static enum status decoded(void *context, const char *data, size_t size, struct error *err)
{
    struct decoding *decoding = context;
    decoding->rejection = body_append(decoding->work, data, size);
    if (!decoding->rejection.status) return STATUS_OK;
    return fail(err, STATUS_EXHAUSTED, "%s", decoding->rejection.message);
}

/* The decoded body takes the place of the encoded one, which is freed afterwards. */
static struct rejection body_decode(struct http_work *work, enum coding coding)
{
    struct http_body encoded = work->body;
    struct str bytes = work->exchange.body;
    struct decoding decoding = {.work = work};
    struct error err;
    work->body = (struct http_body){0};
    enum status status = coding_decode(coding, bytes, decoded, &decoding, &err);
    if (encoded.memory) {
        work->exchange.server->body_memory -= encoded.capacity;
        mem_free(encoded.memory);
    }
    if (decoding.rejection.status) return decoding.rejection;
    if (status != STATUS_OK)
        return REJECT(400, "the request's body is not what its Content-Encoding says");
    work->exchange.body = (struct str){work->body.data ? work->body.data : "", work->body.size};
    return ACCEPT;
}

/* --- alignment -------------------------------------------------------------------------------- */

/* A body behind its header lies where it fell: moves it up onto the boundary if nothing follows it
 * (the input block has room for that), else out. */
static struct rejection body_align(struct http_work *work)
{
    struct http_exchange *exchange = &work->exchange;
    size_t offset = exchange->body_alignment_offset;
    if (offset >= exchange->body.size) return ACCEPT;
    size_t past = ((uintptr_t)exchange->body.data + offset) % BODY_ALIGNMENT;
    if (past == 0) return ACCEPT;
    if (work->message_end == work->end) {
        char *body = work->input + work->head_end;
        assert(exchange->body.data == body);
        exchange->body.data = memmove(body + BODY_ALIGNMENT - past, body, exchange->body.size);
        return ACCEPT;
    }
    struct str bytes = exchange->body;
    struct rejection rejection = body_append(work, bytes.data, bytes.size);
    if (rejection.status) return rejection;
    exchange->body = (struct str){work->body.data, work->body.size};
    return ACCEPT;
}

struct rejection body_finish(struct http_work *work)
{
    struct str name = header_value(work, HTTP_HEADER_CONTENT_ENCODING);
    enum coding coding = CODING_IDENTITY;
    if (UNLIKELY(name.data)) {
        bool known = coding_find(name, &coding);
        assert(known); /* unknown ones were refused with the header */
    }
    if (coding != CODING_IDENTITY) {
        struct rejection rejection = body_decode(work, coding);
        if (rejection.status) return rejection;
    }
    if (LIKELY(work->body.memory || work->exchange.body_alignment_offset == SIZE_MAX))
        return ACCEPT;
    return body_align(work);
}
