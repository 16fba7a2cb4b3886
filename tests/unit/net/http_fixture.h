/*
 * A server whose one connection is a socket pair, driven turn by turn, with a fake clock, and a
 * handler that does what the request's path says. For the HTTP tests and the fuzz target.
 */
#ifndef TESTS_NET_HTTP_FIXTURE_H
#define TESTS_NET_HTTP_FIXTURE_H

#include "base/mem.h"
#include "loop/loop.h"
#include "net/http.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
    struct clock_fake clock;
    struct loop *loop;
    struct http_server *server;
    int client;                    /* -1: closed */
    struct buffer received;        /* by the client */
    bool ended;                    /* the client read the end */
    struct http_exchange *pending; /* of /later, /held and streams */
    int heads, requests, aborts, rejects, releases, drains;
    int reject_status;
    struct buffer seen; /* what the handler saw of the last request */
    size_t alignment;   /* asked for in on_headers */
    size_t body_limit;
};

static void fixture_release(void *context)
{
    struct fixture *f = context;
    f->releases++;
}

static UNUSED void fixture_drained(void *context)
{
    struct fixture *f = context;
    f->drains++;
}

static void fixture_headers(void *context, struct http_exchange *exchange)
{
    struct fixture *f = context;
    f->heads++;
    if (f->alignment) exchange->body_alignment_offset = f->alignment;
    if (f->body_limit) exchange->body_size_max = f->body_limit;
    if (str_equal(exchange->path, STR("/refuse")))
        http_respond_error(exchange, 403, "not \"here\"");
}

static void fixture_look(struct fixture *f, struct http_exchange *exchange)
{
    buffer_reset(&f->seen);
    buffer_add_format(&f->seen, "%d %.*s?%.*s|", (int)exchange->method, STR_ARGS(exchange->path),
                      STR_ARGS(exchange->query));
    for (size_t i = 0; i < http_exchange_field_count(exchange); i++) {
        struct http_field field = http_exchange_field(exchange, i);
        buffer_add_format(&f->seen, "%.*s=%.*s;", STR_ARGS(field.name), STR_ARGS(field.value));
    }
    buffer_add(&f->seen, STR("|"));
    buffer_add(&f->seen, exchange->body);
}

static struct str fixture_large(size_t size)
{
    static char *large;
    if (!large) {
        large = mem_new((size_t)8 << 20);
        for (size_t i = 0; i < (size_t)8 << 20; i++) large[i] = (char)('a' + i % 23);
    }
    return (struct str){large, size};
}

static void fixture_respond_blobs(struct fixture *f, struct http_exchange *exchange)
{
    struct buffer *scratch = http_exchange_scratch(exchange);
    buffer_add(scratch, fixture_large(10000));
    struct str blobs[] = {STR("small"), fixture_large((size_t)3 << 20), STR(""), STR("end")};
    http_respond(exchange, &(struct http_response){.status = 200,
                                                   .content_type = STR("application/octet-stream"),
                                                   .body = buffer_view(scratch),
                                                   .blobs = blobs,
                                                   .blob_count = COUNT_OF(blobs),
                                                   .release = fixture_release,
                                                   .release_context = f});
}

static void fixture_request(void *context, struct http_exchange *exchange)
{
    struct fixture *f = context;
    f->requests++;
    fixture_look(f, exchange);
    if (str_equal(exchange->path, STR("/later"))) {
        f->pending = exchange;
    } else if (str_equal(exchange->path, STR("/held"))) {
        http_exchange_hold(exchange);
        f->pending = exchange;
    } else if (str_equal(exchange->path, STR("/stream"))) {
        f->pending = exchange;
        http_stream_start(
            exchange, &(struct http_response){.status = 200, .content_type = STR("text/plain")});
    } else if (str_equal(exchange->path, STR("/blobs"))) {
        fixture_respond_blobs(f, exchange);
    } else if (str_equal(exchange->path, STR("/large"))) {
        http_respond(exchange, &(struct http_response){.status = 200,
                                                       .content_type = STR("text/plain"),
                                                       .body = fixture_large(100000)});
    } else {
        http_respond_json(exchange, 200, exchange->body.size ? exchange->body : STR("{}"));
    }
}

static void fixture_abort(void *context, struct http_exchange *exchange)
{
    struct fixture *f = context;
    f->aborts++;
    if (f->pending == exchange && !exchange->holds) f->pending = NULL;
}

static void fixture_rejected(void *context, int status, const char *message UNUSED)
{
    struct fixture *f = context;
    f->rejects++;
    f->reject_status = status;
}

static const struct http_handler fixture_handler = {fixture_headers, fixture_request, fixture_abort,
                                                    fixture_rejected};

static void fixture_connect(struct fixture *f)
{
    int ends[2];
    struct error err;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) abort();
    if (http_server_adopt(f->server, ends[1], &err) != STATUS_OK) abort();
    f->client = ends[0];
    f->ended = false;
    buffer_reset(&f->received);
}

static void fixture_open(struct fixture *f, const struct http_server_options *options)
{
    struct error err;
    *f = (struct fixture){.client = -1};
    clock_fake_init(&f->clock, UINT64_C(784111777) * NS_PER_S);
    if (loop_new(&(struct loop_options){.clock = &f->clock.clock}, &f->loop, &err) != STATUS_OK)
        abort();
    if (http_server_new(f->loop, options, &fixture_handler, f, &f->server, &err) != STATUS_OK)
        abort();
    buffer_init(&f->received, (size_t)64 << 20);
    buffer_init(&f->seen, (size_t)64 << 20);
    fixture_connect(f);
}

/* Reads all that is there. */
static void fixture_receive(struct fixture *f)
{
    ssize_t size = 0;
    while (f->client >= 0 && !f->ended) {
        char *room = buffer_reserve(&f->received, 65536);
        if (!room) abort();
        size = recv(f->client, room, 65536, 0);
        if (size <= 0) break;
        buffer_commit(&f->received, (size_t)size);
    }
    if (size == 0 || (size < 0 && errno == ECONNRESET)) f->ended = true;
}

static void fixture_turns(struct fixture *f, int count)
{
    for (int i = 0; i < count; i++) {
        loop_turn(f->loop, 0);
        fixture_receive(f);
    }
}

static void fixture_send(struct fixture *f, struct str bytes)
{
    while (bytes.size && f->client >= 0) {
        ssize_t size = send(f->client, bytes.data, bytes.size, MSG_NOSIGNAL);
        if (size < 0 && errno != EAGAIN) return;
        if (size > 0) bytes = str_from(bytes, (size_t)size);
        fixture_turns(f, 1);
    }
}

static UNUSED void fixture_hang_up(struct fixture *f)
{
    if (f->client >= 0) (void)close(f->client);
    f->client = -1;
}

static void fixture_close(struct fixture *f)
{
    fixture_hang_up(f);
    http_server_free(f->server);
    loop_free(f->loop);
    buffer_clear(&f->received);
    buffer_clear(&f->seen);
}

/* Sends the text to a fresh connection and returns what came back, until nothing moves. */
static UNUSED const char *fixture_talk(struct fixture *f, struct str text)
{
    fixture_send(f, text);
    fixture_turns(f, 4);
    return buffer_text(&f->received);
}

#endif
