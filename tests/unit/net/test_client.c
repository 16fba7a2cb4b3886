/* The client against our own server, and against servers that are wrong. */
#include "loop/loop.h"
#include "net/client.c"
#include "net/http.h"
#include "test.h"

#include <pthread.h>

struct peer {
    struct loop *loop;
    struct http_server *server;
    uint16_t port;
    pthread_t thread;
    const char *canned; /* raw: what a wrong server sends to everyone */
    int listener;
    _Atomic bool ending;
};

static void answer(void *context UNUSED, struct http_exchange *exchange)
{
    if (str_equal(exchange->path, STR("/large"))) {
        struct buffer *scratch = http_exchange_scratch(exchange);
        for (int i = 0; i < 30000; i++) buffer_add(scratch, STR("0123456789"));
        http_respond_json(exchange, 200, buffer_view(scratch));
    } else if (str_equal(exchange->path, STR("/stream"))) {
        http_stream_start(exchange, &(struct http_response){.status = 201});
        (void)http_stream_write(exchange, STR("a"));
        (void)http_stream_write(exchange, STR("bc"));
        http_stream_end(exchange);
    } else if (str_equal(exchange->path, STR("/close"))) {
        http_respond(exchange, &(struct http_response){.status = 200, .close = true});
    } else {
        http_respond_json(exchange, 200, exchange->body);
    }
}

static const struct http_handler handler = {.on_request = answer};

static void *run_peer(void *context)
{
    loop_run(((struct peer *)context)->loop);
    return NULL;
}

static void start_peer(struct peer *peer)
{
    struct error err;
    *peer = (struct peer){0};
    if (loop_new(&(struct loop_options){0}, &peer->loop, &err) != STATUS_OK ||
        http_server_new(peer->loop, &(struct http_server_options){.compression_size_min = 1000},
                        &handler, peer, &peer->server, &err) != STATUS_OK ||
        http_server_listen(peer->server, &(struct tcp_listen_options){.host = "127.0.0.1"},
                           &peer->port, &err) != STATUS_OK ||
        pthread_create(&peer->thread, NULL, run_peer, peer) != 0)
        abort();
}

static void stop_peer(struct peer *peer)
{
    loop_stop(peer->loop);
    (void)pthread_join(peer->thread, NULL);
    http_server_free(peer->server);
    loop_free(peer->loop);
}

static struct client *new_client(uint16_t port, size_t body_size_max)
{
    struct error err;
    struct client *client = NULL;
    struct client_options options = {.host = "127.0.0.1",
                                     .port = port,
                                     .timeout_ns = 5 * NS_PER_S,
                                     .body_size_max = body_size_max};
    if (client_new(&options, &client, &err) != STATUS_OK) abort();
    return client;
}

TEST(requests_are_answered_on_one_connection)
{
    struct peer peer;
    struct error err;
    struct client_response response;
    start_peer(&peer);
    struct client *client = new_client(peer.port, 0);
    struct client_field field = {STR("X-A"), STR("b")};
    for (int i = 0; i < 3; i++) {
        struct client_request request = {.method = "POST",
                                         .path = "/echo",
                                         .content_type = "text/plain",
                                         .fields = &field,
                                         .field_count = 1,
                                         .body = STR("hello")};
        EXPECT_STATUS(client_request(client, &request, &response, &err), STATUS_OK, err);
        EXPECT_INT(response.status, 200);
        EXPECT_STR(response.body, STR("hello"));
        EXPECT_STR(client_response_field(&response, STR("content-TYPE")), STR("application/json"));
    }
    struct client_request head = {.method = "HEAD", .path = "/large"};
    EXPECT_STATUS(client_request(client, &head, &response, &err), STATUS_OK, err);
    EXPECT_INT(response.body.size, 0);
    client_free(client);
    stop_peer(&peer);
    EXPECT_INT(http_status_text(200)[0], 'O');
}

TEST(large_compressed_and_chunked_answers_are_read)
{
    struct peer peer;
    struct error err;
    struct client_response response;
    start_peer(&peer);
    struct client *client = new_client(peer.port, 0);
    for (int i = 0; i < 2; i++) {
        struct client_request large = {.path = "/large", .accept_compressed = i == 1};
        EXPECT_STATUS(client_request(client, &large, &response, &err), STATUS_OK, err);
        EXPECT_INT(response.body.size, 300000);
        EXPECT(str_starts_with(response.body, STR("0123456789012")));
        EXPECT((client_response_field(&response, STR("content-encoding")).data != NULL) ==
               (i == 1));
    }
    EXPECT_STATUS(
        client_request(client, &(struct client_request){.path = "/stream"}, &response, &err),
        STATUS_OK, err);
    EXPECT_INT(response.status, 201);
    EXPECT_STR(response.body, STR("abc"));
    client_free(client);
    client = new_client(peer.port, 1000);
    struct client_request large = {.path = "/large", .accept_compressed = true};
    EXPECT_STATUS(client_request(client, &large, &response, &err), STATUS_EXHAUSTED, err);
    large.accept_compressed = false;
    EXPECT_STATUS(client_request(client, &large, &response, &err), STATUS_EXHAUSTED, err);
    client_free(client);
    stop_peer(&peer);
}

/* 300,000 bytes in pieces, or fails after `left` of them. */
struct pieces {
    size_t left;
    bool fails;
    bool told_failure;
};

static enum status next_piece(void *context, struct str *ret_piece, struct error *err)
{
    static char zeros[10000];
    struct pieces *pieces = context;
    if (pieces->left == 0 && pieces->fails) return fail(err, STATUS_ABORTED, "no more of it");
    *ret_piece = (struct str){zeros, pieces->left ? sizeof zeros : 0};
    memset(zeros, '0', sizeof zeros);
    if (pieces->left > 0) pieces->left--;
    return STATUS_OK;
}

static void trail(void *context, const struct error *failure, struct buffer *out)
{
    struct pieces *pieces = context;
    pieces->told_failure = failure != NULL;
    buffer_add(out, STR("X-Behind: it\r\n"));
}

TEST(bodies_come_from_a_source)
{
    struct peer peer;
    struct error err;
    struct client_response response;
    start_peer(&peer);
    struct client *client = new_client(peer.port, 0);
    for (int i = 0; i < 6; i++) {
        struct pieces pieces = {.left = i < 2 ? 30 : (size_t)i - 2, .fails = i % 2};
        const struct client_source source = {next_piece, i < 4 ? trail : NULL, &pieces};
        struct client_request request = {.method = "POST", .path = "/echo", .source = &source};
        size_t size = pieces.left * 10000;
        EXPECT_STATUS(client_request(client, &request, &response, &err), STATUS_OK, err);
        EXPECT_INT(response.body.size, size);
        EXPECT_INT(pieces.left, 0);
        EXPECT(pieces.told_failure == (i < 4 && pieces.fails));
        EXPECT(client->descriptor < 0);
    }
    client_free(client);
    stop_peer(&peer);
}

TEST(answers_are_read_in_pieces)
{
    static const char *const paths[] = {"/large", "/stream", "/close", "/large"};
    static const size_t sizes[] = {300000, 3, 0, 300000};
    struct peer peer;
    struct error err;
    struct client_response response;
    struct str piece;
    start_peer(&peer);
    struct client *client = new_client(peer.port, 2 * RECEIVE_SIZE); /* less than the whole */
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        size_t size = 0;
        EXPECT_STATUS(
            client_begin(client, &(struct client_request){.path = paths[i]}, &response, &err),
            STATUS_OK, err);
        EXPECT_INT(response.body.size, 0);
        EXPECT(response.status / 100 == 2);
        do {
            EXPECT_STATUS(client_read(client, &piece, &err), STATUS_OK, err);
            EXPECT(piece.size <= 2 * RECEIVE_SIZE);
            size += piece.size;
        } while (piece.size > 0);
        EXPECT_INT(size, sizes[i]);
        EXPECT_STATUS(client_read(client, &piece, &err), STATUS_OK, err);
        EXPECT_INT(piece.size, 0);
    }
    /* One that is left in the middle is not mistaken for the next one's answer. */
    EXPECT_STATUS(client_begin(client, &(struct client_request){.path = "/large"}, &response, &err),
                  STATUS_OK, err);
    EXPECT_STATUS(client_read(client, &piece, &err), STATUS_OK, err);
    EXPECT_STATUS(
        client_request(client, &(struct client_request){.path = "/stream"}, &response, &err),
        STATUS_OK, err);
    EXPECT_STR(response.body, STR("abc"));
    client_free(client);
    stop_peer(&peer);
}

TEST(a_closed_connection_is_opened_anew)
{
    struct peer peer;
    struct error err;
    struct client_response response;
    start_peer(&peer);
    struct client *client = new_client(peer.port, 0);
    for (int i = 0; i < 3; i++)
        EXPECT_STATUS(
            client_request(client, &(struct client_request){.path = "/close"}, &response, &err),
            STATUS_OK, err);
    EXPECT_STATUS(client_request(client, &(struct client_request){.path = "/"}, &response, &err),
                  STATUS_OK, err);
    stop_peer(&peer); /* the kept connection is closed behind the client's back */
    EXPECT_STATUS(client_request(client, &(struct client_request){.path = "/"}, &response, &err),
                  STATUS_UNAVAILABLE, err);
    client_free(client);
}

/* --- servers that are wrong ---------------------------------------------------------------------
 */

static void *run_canned(void *context)
{
    struct peer *peer = context;
    while (!atomic_load(&peer->ending)) {
        struct error err;
        if (tcp_wait(peer->listener, POLLIN, clock_monotonic_ns() + NS_PER_S / 20, &err)) continue;
        int descriptor = accept(peer->listener, NULL, NULL);
        if (descriptor < 0) continue;
        char request[4096];
        (void)!recv(descriptor, request, sizeof request, 0);
        (void)!send(descriptor, peer->canned, strlen(peer->canned), MSG_NOSIGNAL);
        (void)close(descriptor);
    }
    return NULL;
}

static enum status read_pieces(struct client *client, struct buffer *out, struct error *err)
{
    struct client_response response;
    struct str piece;
    TRY(client_begin(client, &(struct client_request){.path = "/"}, &response, err));
    do {
        TRY(client_read(client, &piece, err));
        buffer_add(out, piece);
    } while (piece.size > 0);
    return STATUS_OK;
}

static void expect_canned(const char *canned, enum status status, struct str body)
{
    struct peer peer = {.canned = canned};
    struct error err;
    struct client_response response = {0};
    EXPECT_STATUS(tcp_listen(&(struct tcp_listen_options){.host = "127.0.0.1"}, &peer.listener,
                             &peer.port, &err),
                  STATUS_OK, err);
    REQUIRE(pthread_create(&peer.thread, NULL, run_canned, &peer) == 0);
    struct client *client = new_client(peer.port, 0);
    EXPECT_STATUS(client_request(client, &(struct client_request){.path = "/"}, &response, &err),
                  status, err);
    if (status == STATUS_OK) EXPECT_STR(response.body, body);
    struct buffer whole;
    buffer_init(&whole, 1000);
    /* What is no HTTP is none in pieces either; what is encoded is not decoded then. */
    if (status != STATUS_DATA_LOSS) EXPECT_STATUS(read_pieces(client, &whole, &err), status, err);
    if (status == STATUS_OK) EXPECT_STR(buffer_view(&whole), body);
    buffer_clear(&whole);
    atomic_store(&peer.ending, true);
    (void)pthread_join(peer.thread, NULL);
    (void)close(peer.listener);
    client_free(client);
}

TEST(wrong_answers_are_told_apart)
{
    expect_canned("HTTP/1.1 200 OK\r\n\r\nuntil the end", STATUS_OK, STR("until the end"));
    expect_canned("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                  STATUS_OK, STR("x"));
    expect_canned("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx", STATUS_UNAVAILABLE, STR(""));
    expect_canned("", STATUS_UNAVAILABLE, STR(""));
    expect_canned("SSH-2.0-x\r\n", STATUS_DATA_LOSS, STR(""));
    expect_canned("HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx",
                  STATUS_DATA_LOSS, STR(""));
}

TEST(nobody_there_is_unavailable)
{
    struct error err;
    struct client_response response;
    struct peer peer;
    start_peer(&peer);
    stop_peer(&peer);
    struct client *client = new_client(peer.port, 0);
    EXPECT_STATUS(client_request(client, &(struct client_request){.path = "/"}, &response, &err),
                  STATUS_UNAVAILABLE, err);
    EXPECT(strstr(err.message, "127.0.0.1"));
    client_free(client);
}

TEST(a_silent_server_is_given_up)
{
    struct error err;
    struct client_response response;
    struct client *client = NULL;
    int listener;
    uint16_t port;
    EXPECT_STATUS(
        tcp_listen(&(struct tcp_listen_options){.host = "127.0.0.1"}, &listener, &port, &err),
        STATUS_OK, err);
    struct client_options options = {
        .host = "127.0.0.1", .port = port, .timeout_ns = 20 * NS_PER_MS};
    EXPECT_STATUS(client_new(&options, &client, &err), STATUS_OK, err);
    EXPECT_STATUS(client_request(client, &(struct client_request){.path = "/"}, &response, &err),
                  STATUS_DEADLINE_EXCEEDED, err);
    client_free(client);
    (void)close(listener);
}

TEST(fields_cannot_smuggle_lines)
{
    struct error err;
    struct client_response response;
    struct client *client = new_client(1, 0);
    struct client_field field = {STR("X"), STR("a\r\nY: b")};
    struct client_request request = {.path = "/", .fields = &field, .field_count = 1};
    EXPECT_STATUS(client_request(client, &request, &response, &err), STATUS_INVALID_ARGUMENT, err);
    client_free(client);
}

TEST(urls_are_taken_apart)
{
    static const struct {
        const char *url, *host;
        uint16_t port;
        const char *path;
    } cases[] = {{"http://h", "h", 80, ""},
                 {"http://h:8000/a?b", "h", 8000, "/a?b"},
                 {"http://[::1]:1/", "::1", 1, "/"},
                 {"http://[::1]", "::1", 80, ""}};
    struct error err;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char *host CLEANUP(mem_freep) = NULL;
        uint16_t port = 0;
        struct str path = STR_EMPTY;
        EXPECT_STATUS(client_parse_url(cases[i].url, &host, &port, &path, &err), STATUS_OK, err);
        EXPECT_TEXT(host, cases[i].host);
        EXPECT_INT(port, cases[i].port);
        EXPECT_STR(path, str_of(cases[i].path));
    }
    static const char *wrong[] = {"https://h",  "h:80",           "http://",    "http://:80",
                                  "http://h:0", "http://h:65536", "http://h:x", "http://[::1"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        char *host = NULL;
        uint16_t port;
        struct str path;
        EXPECT_STATUS(client_parse_url(wrong[i], &host, &port, &path, &err),
                      STATUS_INVALID_ARGUMENT, err);
    }
}
