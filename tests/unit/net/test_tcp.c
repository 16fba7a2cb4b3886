#include "base/clock.h"
#include "net/tcp.c"
#include "test.h"

static struct error err;

static uint64_t soon(void)
{
    return clock_monotonic_ns() + 5 * NS_PER_S;
}

static bool has_ipv6(void)
{
    struct tcp_listen_options options = {.host = "::1"};
    uint16_t port;
    int listening;
    if (tcp_listen(&options, &listening, &port, &err) != STATUS_OK) return false;
    (void)close(listening);
    return true;
}

/* What either end says of the other after `client` reached a listener on `host`. */
static void expect_peers(const char *host, const char *client, const char *prefix)
{
    struct tcp_listen_options options = {.host = host};
    uint16_t port = 0;
    int listening = -1, connected = -1;
    char text[TCP_ADDRESS_SIZE], expected[TCP_ADDRESS_SIZE];
    EXPECT_STATUS(tcp_listen(&options, &listening, &port, &err), STATUS_OK, err);
    EXPECT(port != 0);
    EXPECT_STATUS(tcp_connect(client, port, soon(), &connected, &err), STATUS_OK, err);
    EXPECT_STATUS(tcp_wait(listening, POLLIN, soon(), &err), STATUS_OK, err);
    int accepted = accept(listening, NULL, NULL);
    EXPECT(accepted >= 0);
    tcp_peer_address(connected, text);
    (void)snprintf(expected, sizeof expected, "%s:%u", prefix, port);
    EXPECT_TEXT(text, expected);
    tcp_peer_address(accepted, text);
    (void)snprintf(expected, sizeof expected, "%s:%u", prefix, bound_port(connected));
    EXPECT_TEXT(text, expected);
    (void)close(accepted);
    (void)close(connected);
    (void)close(listening);
}

TEST(addresses_of_both_families_are_told)
{
    expect_peers("127.0.0.1", "127.0.0.1", "127.0.0.1");
    expect_peers(NULL, "127.0.0.1", "127.0.0.1"); /* by a socket for both */
    expect_peers("", "127.0.0.1", "127.0.0.1");
    if (!has_ipv6()) return;
    expect_peers("::1", "::1", "[::1]");
    expect_peers(NULL, "::1", "[::1]");
}

TEST(no_peer_is_unknown)
{
    char text[TCP_ADDRESS_SIZE];
    tcp_peer_address(-1, text);
    EXPECT_TEXT(text, "unknown");
    tcp_peer_address(STDIN_FILENO, text);
    EXPECT_TEXT(text, "unknown");
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    tcp_peer_address(pair[0], text);
    EXPECT_TEXT(text, "unknown");
    (void)close(pair[0]);
    (void)close(pair[1]);
}

TEST(two_listeners_share_a_port_only_where_both_want_to)
{
    int first = -1, second = -1;
    uint16_t port = 0, same = 0;
    struct tcp_listen_options options = {.host = "127.0.0.1", .reuse_port = true};
    EXPECT_STATUS(tcp_listen(&options, &first, &port, &err), STATUS_OK, err);
    options.port = port;
    EXPECT_STATUS(tcp_listen(&options, &second, &same, &err), STATUS_OK, err);
    EXPECT_INT(same, port);
    (void)close(second);
    options.reuse_port = false;
    second = -7;
    EXPECT(tcp_listen(&options, &second, &same, &err) != STATUS_OK);
    EXPECT_INT(second, -7); /* outputs are untouched */
    EXPECT(strstr(err.message, "address '127.0.0.1'") != NULL);
    (void)close(first);
}

TEST(what_cannot_be_reached_is_said)
{
    int descriptor = -7;
    uint16_t port = 0;
    struct tcp_listen_options options = {.host = "127.0.0.1"};
    EXPECT_STATUS(tcp_listen(&options, &descriptor, &port, &err), STATUS_OK, err);
    (void)close(descriptor); /* the port is free: nobody listens */
    descriptor = -7;
    EXPECT_STATUS(tcp_connect("127.0.0.1", port, soon(), &descriptor, &err), STATUS_UNAVAILABLE,
                  err);
    EXPECT(descriptor == -7 && strstr(err.message, "'127.0.0.1' port") != NULL);
    options.host = "192.0.2.1"; /* nobody's address */
    EXPECT(tcp_listen(&options, &descriptor, &port, &err) != STATUS_OK && descriptor == -7);
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    EXPECT_STATUS(tcp_wait(pair[0], POLLIN, clock_monotonic_ns() + 2 * NS_PER_MS, &err),
                  STATUS_DEADLINE_EXCEEDED, err);
    EXPECT_STATUS(tcp_wait(pair[0], POLLIN, 0, &err), STATUS_DEADLINE_EXCEEDED, err);
    (void)close(pair[0]);
    (void)close(pair[1]);
}
