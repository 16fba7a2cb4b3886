/* Any bytes as an event: the same bytes have the same shape; and, whatever its shape, the HTTP
 * request that may be in it, and the trace. */
#include "lambda/event.h"
#include "lambda/http_event.h"
#include "lambda/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What goes on to the server is one request of HTTP/1.1, never two. */
static void read_http(struct str text, enum lambda_shape shape, struct arena *arena)
{
    static struct lambda_http_request request;
    struct error err;
    if (lambda_http_read(text, shape, arena, &request, &err) != STATUS_OK) return;
    assert(request.target[0] == '/');
    for (const char *at = request.target; *at; at++) assert(*at > ' ' && *at < 0x7F);
    assert(!strpbrk(request.method, " \r\n"));
    for (size_t i = 0; i < request.field_count; i++) {
        assert(str_find(request.fields[i].name, ':') == SIZE_MAX);
        assert(str_find(request.fields[i].value, '\n') == SIZE_MAX);
        assert(str_find(request.fields[i].value, '\r') == SIZE_MAX);
    }
}

static void read_trace(struct str text)
{
    char parent[LAMBDA_TRACEPARENT_SIZE + 1];
    struct lambda_trace trace;
    lambda_trace_read(text, &trace);
    lambda_trace_parent(&trace, parent);
    assert(!*parent || strlen(parent) == LAMBDA_TRACEPARENT_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena CLEANUP(arena_clear);
    struct error err;
    struct lambda_event first, second;
    struct str text = {(const char *)data, size};
    arena_init(&arena, 1 << 20);
    read_trace(text);
    if (lambda_event_read(text, &arena, &first, &err) != STATUS_OK) return 0;
    assert(lambda_event_read(text, &arena, &second, &err) == STATUS_OK);
    assert(first.shape == second.shape && strcmp(first.what, second.what) == 0);
    assert(*first.what != '\0');
    read_http(text, LAMBDA_HTTP_V1, &arena);
    read_http(text, LAMBDA_HTTP_V2, &arena);
    return 0;
}
