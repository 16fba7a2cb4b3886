/* Listening and accepting, over the loopback. */
#include "http_fixture.h"
#include "net/http_server.c"
#include "test.h"

#include <sys/resource.h>

static uint16_t listen_somewhere(struct fixture *f)
{
    struct error err;
    uint16_t port = 0;
    EXPECT_STATUS(http_server_listen(f->server, &(struct tcp_listen_options){.host = "127.0.0.1"},
                                     &port, &err),
                  STATUS_OK, err);
    return port;
}

static int connect_there(uint16_t port)
{
    struct error err;
    int descriptor = -1;
    EXPECT_STATUS(
        tcp_connect("127.0.0.1", port, clock_monotonic_ns() + NS_PER_S, &descriptor, &err),
        STATUS_OK, err);
    return descriptor;
}

/* What arrives at a descriptor until it ends or nothing moves. */
static void become_client(struct fixture *f, int descriptor)
{
    fixture_hang_up(f);
    f->client = descriptor;
    f->ended = false;
    buffer_reset(&f->received);
}

TEST(connections_are_accepted_and_answered)
{
    struct fixture f;
    char address[TCP_ADDRESS_SIZE];
    fixture_open(&f, &(struct http_server_options){0});
    uint16_t port = listen_somewhere(&f);
    EXPECT(port != 0);
    become_client(&f, connect_there(port));
    EXPECT(strstr(fixture_talk(&f, STR("GET /later HTTP/1.1\r\nHost: h\r\n\r\n")), "") != NULL);
    REQUIRE(f.pending);
    http_exchange_peer(f.pending, address);
    EXPECT(str_starts_with(str_of(address), STR("127.0.0.1:")));
    http_respond_json(f.pending, 200, STR("{}"));
    fixture_turns(&f, 2);
    EXPECT(strstr(buffer_text(&f.received), "200 OK"));
    fixture_close(&f);
}

TEST(too_many_connections_are_told_so)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){.connection_count_max = 1});
    uint16_t port = listen_somewhere(&f);
    int second = connect_there(port); /* the fixture's own is the first */
    loop_turn(f.loop, 0);
    EXPECT_INT(counter_get(&f.server->counters.connections_refused), 1);
    become_client(&f, second);
    fixture_turns(&f, 2);
    EXPECT(strstr(buffer_text(&f.received), "HTTP/1.1 503 "));
    EXPECT(strstr(buffer_text(&f.received), "{\"error\":\"too many connections\"}"));
    EXPECT(f.ended);
    fixture_close(&f);
}

/* Leaves this process without a free descriptor. */
static struct rlimit use_up_descriptors(void)
{
    struct rlimit before, now;
    (void)getrlimit(RLIMIT_NOFILE, &before);
    int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)close(lowest);
    now = before;
    now.rlim_cur = (rlim_t)lowest;
    (void)setrlimit(RLIMIT_NOFILE, &now);
    return before;
}

TEST(without_descriptors_connections_are_refused_politely)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    uint16_t port = listen_somewhere(&f);
    int clients[3];
    for (int i = 0; i < 3; i++) clients[i] = connect_there(port);
    struct rlimit before = use_up_descriptors();
    loop_turn(f.loop, 0);
    (void)setrlimit(RLIMIT_NOFILE, &before);
    EXPECT_INT(counter_get(&f.server->counters.connections_refused), 3);
    EXPECT(f.server->spare_descriptor >= 0);
    for (int i = 0; i < 3; i++) {
        become_client(&f, clients[i]);
        fixture_turns(&f, 2);
        EXPECT(strstr(buffer_text(&f.received), "HTTP/1.1 503 "));
    }
    become_client(&f, connect_there(port));
    EXPECT(strstr(fixture_talk(&f, STR("GET / HTTP/1.1\r\nHost: h\r\n\r\n")), "200 OK"));
    fixture_close(&f);
}

TEST(without_even_a_spare_one_the_loop_rests)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    uint16_t port = listen_somewhere(&f);
    int client = connect_there(port);
    (void)close(f.server->spare_descriptor);
    f.server->spare_descriptor = -1;
    struct rlimit before = use_up_descriptors();
    for (int i = 0; i < 3; i++) loop_turn(f.loop, 0);
    (void)setrlimit(RLIMIT_NOFILE, &before);
    EXPECT(loop_timer_is_started(&f.server->accept_timer));
    EXPECT_INT(counter_get(&f.server->counters.connections_accepted), 1);
    become_client(&f, client);
    clock_fake_advance(&f.clock, ACCEPT_PAUSE_MS * NS_PER_MS);
    fixture_turns(&f, 2);
    EXPECT(strstr(fixture_talk(&f, STR("GET / HTTP/1.1\r\nHost: h\r\n\r\n")), "200 OK"));
    EXPECT(f.server->spare_descriptor >= 0);
    fixture_close(&f);
}

TEST(draining_takes_those_who_were_waiting_at_the_door)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    uint16_t port = listen_somewhere(&f);
    int late = connect_there(port);
    EXPECT(send(late, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 27, MSG_NOSIGNAL) == 27);
    http_server_drain(f.server, fixture_drained, &f);
    become_client(&f, late);
    fixture_turns(&f, 3);
    EXPECT(strstr(buffer_text(&f.received), "200 OK"));
    EXPECT(strstr(buffer_text(&f.received), "\r\nConnection: close\r\n"));
    struct error err;
    int refused;
    EXPECT(tcp_connect("127.0.0.1", port, clock_monotonic_ns() + NS_PER_S / 10, &refused, &err) !=
           STATUS_OK);
    EXPECT_INT(f.drains, 0);
    clock_fake_advance(&f.clock, NS_PER_S);
    fixture_turns(&f, 3);
    EXPECT_INT(f.drains, 1);
    EXPECT_INT(tcp_connect("127.0.0.1", port, clock_monotonic_ns() + NS_PER_S, &refused, &err),
               STATUS_UNAVAILABLE);
    fixture_close(&f);
}
