/* TCP by the system's resolver and non-blocking sockets. */
#include "net/tcp.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG_DEFAULT = 4096 };

static void addresses_freep(struct addrinfo **addresses)
{
    if (*addresses) freeaddrinfo(*addresses);
}

static void descriptor_closep(const int *descriptor)
{
    if (*descriptor >= 0) (void)close(*descriptor);
}

static enum status resolve(const char *host, uint16_t port, int flags, struct addrinfo **ret,
                           struct error *err)
{
    struct addrinfo hints = {.ai_flags = flags | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    char service[8];
    (void)snprintf(service, sizeof service, "%u", port);
    int result = getaddrinfo(host, service, &hints, ret);
    if (result == 0) return STATUS_OK;
    return fail(err, result == EAI_AGAIN ? STATUS_UNAVAILABLE : STATUS_NOT_FOUND,
                "host '%s' has no address: %s", host ? host : "*", gai_strerror(result));
}

static void set_option(int descriptor, int level, int option, int value)
{
    /* An option that a socket lacks (TCP_NODELAY on a Unix socket) is no failure. */
    (void)setsockopt(descriptor, level, option, &value, sizeof value);
}

static uint16_t bound_port(int descriptor)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    if (getsockname(descriptor, (struct sockaddr *)&address, &size) != 0) return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)(void *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)(void *)&address)->sin_port);
}

static enum status listen_at(const struct addrinfo *address,
                             const struct tcp_listen_options *options, int *ret_descriptor,
                             struct error *err)
{
    int descriptor CLEANUP(descriptor_closep) =
        socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return fail_errno(err, errno, "making a socket");
    set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1);
    if (options->reuse_port) set_option(descriptor, SOL_SOCKET, SO_REUSEPORT, 1);
    /* "every address" is one socket for both families. */
    if (address->ai_family == AF_INET6) set_option(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    /* Accepted sockets inherit it: no call per connection. */
    set_option(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
    if (bind(descriptor, address->ai_addr, address->ai_addrlen) != 0 ||
        listen(descriptor, options->backlog ? options->backlog : BACKLOG_DEFAULT) != 0)
        return fail_errno(err, errno, "listening on port %u", options->port);
    *ret_descriptor = descriptor;
    descriptor = -1;
    return STATUS_OK;
}

enum status tcp_listen(const struct tcp_listen_options *options, int *ret_descriptor,
                       uint16_t *ret_port, struct error *err)
{
    bool any = !options->host || options->host[0] == '\0';
    struct addrinfo *addresses CLEANUP(addresses_freep) = NULL;
    TRY(resolve(any ? "::" : options->host, options->port, AI_PASSIVE, &addresses, err));
    enum status status = STATUS_NOT_FOUND;
    for (struct addrinfo *address = addresses; address && status != STATUS_OK;
         address = address->ai_next)
        status = listen_at(address, options, ret_descriptor, err);
    if (status != STATUS_OK && any) { /* a machine without IPv6 */
        struct tcp_listen_options again = *options;
        again.host = "0.0.0.0";
        return tcp_listen(&again, ret_descriptor, ret_port, err);
    }
    if (status != STATUS_OK) return fail_while(err, status, "address '%s'", options->host);
    *ret_port = bound_port(*ret_descriptor);
    return STATUS_OK;
}

bool tcp_listen_no_more(int listening)
{
    enum { FLAGS_OFFSET = 13, FLAG_SYN = 0x02, FLAG_ACK = 0x10 };
    /* Sees each segment from its TCP header on; a result of 0 drops it. */
    struct sock_filter instructions[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_OFFSET),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, FLAG_SYN | FLAG_ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FLAG_SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = {.len = COUNT_OF(instructions), .filter = instructions};
    return setsockopt(listening, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

enum status tcp_wait(int descriptor, short events, uint64_t deadline_ns, struct error *err)
{
    for (;;) {
        uint64_t now = clock_monotonic_ns();
        if (now >= deadline_ns) return fail(err, STATUS_DEADLINE_EXCEEDED, "no answer in time");
        uint64_t left_ms = (deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS;
        struct pollfd entry = {.fd = descriptor, .events = events};
        int count = poll(&entry, 1, (int)MIN(left_ms, (uint64_t)60000));
        if (count > 0) return STATUS_OK;
        if (count < 0 && errno != EINTR) return fail_errno(err, errno, "waiting for a socket");
    }
}

static enum status connect_to(const struct addrinfo *address, uint64_t deadline_ns,
                              int *ret_descriptor, struct error *err)
{
    int descriptor CLEANUP(descriptor_closep) =
        socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return fail_errno(err, errno, "making a socket");
    set_option(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
    if (connect(descriptor, address->ai_addr, address->ai_addrlen) != 0) {
        if (errno != EINPROGRESS) return fail_errno(err, errno, "connecting");
        TRY(tcp_wait(descriptor, POLLOUT, deadline_ns, err));
    }
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error) return fail_errno(err, error, "connecting");
    *ret_descriptor = descriptor;
    descriptor = -1;
    return STATUS_OK;
}

enum status tcp_connect(const char *host, uint16_t port, uint64_t deadline_ns, int *ret_descriptor,
                        struct error *err)
{
    struct addrinfo *addresses CLEANUP(addresses_freep) = NULL;
    TRY(resolve(host, port, 0, &addresses, err));
    enum status status = STATUS_UNAVAILABLE;
    for (struct addrinfo *address = addresses; address && status != STATUS_OK;
         address = address->ai_next)
        status = connect_to(address, deadline_ns, ret_descriptor, err);
    if (status == STATUS_OK) return STATUS_OK;
    if (status != STATUS_DEADLINE_EXCEEDED) err->status = status = STATUS_UNAVAILABLE;
    return fail_while(err, status, "'%s' port %u", host, port);
}

/* A socket for both families sees IPv4 as ::ffff:192.0.2.1; nobody else writes it so. */
void tcp_peer_address(int descriptor, char text[TCP_ADDRESS_SIZE])
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    char host[INET6_ADDRSTRLEN] = "";
    (void)snprintf(text, TCP_ADDRESS_SIZE, "unknown");
    if (getpeername(descriptor, (struct sockaddr *)&address, &size) != 0) return;
    const struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&address;
    const struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&address;
    bool mapped = address.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
    if (address.ss_family == AF_INET || mapped) {
        const void *bytes = mapped ? (const void *)&v6->sin6_addr.s6_addr[12] : &v4->sin_addr;
        uint16_t port = ntohs(mapped ? v6->sin6_port : v4->sin_port);
        if (inet_ntop(AF_INET, bytes, host, sizeof host))
            (void)snprintf(text, TCP_ADDRESS_SIZE, "%s:%u", host, port);
    } else if (address.ss_family == AF_INET6) {
        if (inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host))
            (void)snprintf(text, TCP_ADDRESS_SIZE, "[%s]:%u", host, ntohs(v6->sin6_port));
    }
}
