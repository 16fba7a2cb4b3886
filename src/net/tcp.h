/*
 * TCP sockets: listening and connecting, by name and port, for IPv4 and IPv6. All descriptors are
 * non-blocking and close-on-exec; connections have Nagle's delay switched off.
 */
#ifndef NET_TCP_H
#define NET_TCP_H

#include "base/error.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct tcp_listen_options {
    const char *host; /* an address or a name; NULL or "": every address of this machine */
    uint16_t port;    /* 0: the system chooses */
    int backlog;      /* 0: 4096 */
    bool reuse_port;  /* several sockets share the port (SO_REUSEPORT); the kernel spreads */
};

/* A listening socket, owned by the caller, and its port. */
enum status tcp_listen(const struct tcp_listen_options *options, int *ret_descriptor,
                       uint16_t *ret_port, struct error *err) FALLIBLE;

/*
 * From now on the listening socket hears no new handshake (a client tries again, by then elsewhere
 * or in vain), while those that have begun can still be completed and accepted. To close a
 * listening socket at once would reset them. False if the system cannot do that.
 */
bool tcp_listen_no_more(int listening);

/*
 * A connected socket, owned by the caller. Blocks until `deadline_ns` (monotonic) at most, except
 * for the resolver, which has time-outs of its own. UNAVAILABLE if nobody listens,
 * DEADLINE_EXCEEDED if nobody answers. Tries all addresses of the host in turn.
 */
enum status tcp_connect(const char *host, uint16_t port, uint64_t deadline_ns, int *ret_descriptor,
                        struct error *err) FALLIBLE;

/* "192.0.2.1:4711" or "[2001:db8::1]:4711" of the other end; "unknown" if there is none. */
enum { TCP_ADDRESS_SIZE = 56 };
void tcp_peer_address(int descriptor, char text[TCP_ADDRESS_SIZE]);

/* Wait for poll(2) events until the deadline. DEADLINE_EXCEEDED if it passes. */
enum status tcp_wait(int descriptor, short events, uint64_t deadline_ns,
                     struct error *err) FALLIBLE;

/*
 * As recv without flags, and send with MSG_NOSIGNAL. With more than one thread the C library makes
 * these two points where a thread can be cancelled, which costs atomic operations; none of ours is
 * ever cancelled. A sanitizer must see the call.
 */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || !defined SYS_recvfrom
static inline ssize_t tcp_receive(int descriptor, void *memory, size_t size)
{
    return recv(descriptor, memory, size, 0);
}

static inline ssize_t tcp_send(int descriptor, const void *bytes, size_t size)
{
    return send(descriptor, bytes, size, MSG_NOSIGNAL);
}
#else
static inline ssize_t tcp_receive(int descriptor, void *memory, size_t size)
{
    return syscall(SYS_recvfrom, descriptor, memory, size, 0, NULL, NULL);
}

static inline ssize_t tcp_send(int descriptor, const void *bytes, size_t size)
{
    return syscall(SYS_sendto, descriptor, bytes, size, MSG_NOSIGNAL, NULL, 0);
}
#endif

#endif
