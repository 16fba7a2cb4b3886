#include "cli/load.c"
#include "test.h"

#include <pthread.h>

static void expect_head(const char *text, bool whole, size_t size, uint64_t body, int status)
{
    size_t head_size = 0;
    uint64_t body_size = 0;
    int got = 0;
    EXPECT_INT(load_parse_head(str_of(text), &head_size, &body_size, &got), whole);
    if (!whole) return;
    EXPECT_INT(head_size, size);
    EXPECT_INT(got, status);
    if (got) EXPECT_INT(body_size, body);
}

TEST(heads_of_answers)
{
    expect_head("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true, 38, 5, 200);
    expect_head("HTTP/1.1 503 X\r\ncontent-length:0\r\nA: b\r\n\r\n", true, 42, 0, 503);
    expect_head("HTTP/1.1 204 No Content\r\n\r\n", true, 27, 0, 204);
    expect_head("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", false, 0, 0, 0);
    expect_head("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true, 47, 0, 0);
    expect_head("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", true, 38, 0, 0);
    expect_head("SSH-2.0-x\r\n\r\n", true, 13, 0, 0);
    expect_head("", false, 0, 0, 0);
}

/* A server that answers what it is asked, and may fall silent for a while once. */
struct fake_server {
    int listener;
    uint16_t port;
    uint64_t stall_ns;
    pthread_t thread;
};

static const char fake_answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

static void *serve_one(void *context)
{
    struct fake_server *server = context;
    int client = accept(server->listener, NULL, NULL);
    char byte[4096];
    for (uint64_t count = 0;; count++) {
        ssize_t got = recv(client, byte, sizeof byte, 0);
        if (got <= 0) break;
        if (count == 10 && server->stall_ns) {
            struct timespec pause = {(time_t)(server->stall_ns / NS_PER_S),
                                     (long)(server->stall_ns % NS_PER_S)};
            (void)nanosleep(&pause, NULL);
        }
        if (send(client, fake_answer, sizeof fake_answer - 1, MSG_NOSIGNAL) < 0) break;
    }
    close(client);
    return NULL;
}

static void fake_start(struct fake_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(bind(server->listener, (struct sockaddr *)&address, size) == 0);
    EXPECT(getsockname(server->listener, (struct sockaddr *)&address, &size) == 0);
    EXPECT(listen(server->listener, 16) == 0);
    server->port = ntohs(address.sin_port);
    EXPECT(pthread_create(&server->thread, NULL, serve_one, server) == 0);
}

static void fake_stop(struct fake_server *server)
{
    pthread_join(server->thread, NULL);
    close(server->listener);
}

static struct load_options options_for(const struct fake_server *server)
{
    return (struct load_options){.host = "127.0.0.1",
                                 .port = server->port,
                                 .request = STR("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
                                 .connections = 1,
                                 .duration_ns = 300 * NS_PER_MS};
}

TEST(closed_loop_counts_answers)
{
    struct fake_server server = {.stall_ns = 0};
    fake_start(&server);
    struct load_options options = options_for(&server);
    struct load_result result;
    struct error err;
    EXPECT_STATUS(load_run(&options, &result, &err), STATUS_OK, err);
    EXPECT(result.answers > 20);
    EXPECT_INT(result.answers, result.latency->count);
    EXPECT_INT(result.broken, 0);
    load_result_clear(&result);
    fake_stop(&server);
}

/* With a rate, a stall of 750 ms delays all requests that were due within it, and each of them
 * shows: half of the requests of 1.5 s. A closed loop would show one. So long that a busy machine
 * gets to the stall and past it. */
TEST(a_stall_shows_in_every_request_it_delays)
{
    struct fake_server server = {.stall_ns = 750 * NS_PER_MS};
    fake_start(&server);
    struct load_options options = options_for(&server);
    options.duration_ns = 1500 * NS_PER_MS;
    options.rate = 1000;
    struct load_result result;
    struct error err;
    EXPECT_STATUS(load_run(&options, &result, &err), STATUS_OK, err);
    EXPECT(result.answers > 100);
    uint64_t slow_ns = 50 * NS_PER_MS;
    EXPECT(latency_quantile_ns(result.latency, 0.80) > slow_ns);
    EXPECT(result.latency->max_ns >= 700 * NS_PER_MS);
    load_result_clear(&result);
    fake_stop(&server);
}

TEST(nobody_there_is_told)
{
    struct load_options options = {.host = "127.0.0.1",
                                   .port = 1,
                                   .request = STR("x"),
                                   .connections = 1,
                                   .duration_ns = NS_PER_MS};
    struct load_result result;
    struct error err = {0};
    EXPECT(load_run(&options, &result, &err) != STATUS_OK);
    EXPECT(strstr(err.message, "is the server running") != NULL);
}
