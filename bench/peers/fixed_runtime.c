/*
 * A Lambda runtime that does nothing: every event gets the same answer. What it takes is the
 * emulator's own; bench/lambda builds it with cc and compares.
 *
 *   fixed_runtime          AWS_LAMBDA_RUNTIME_API says where
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECEIVE_SIZE = 1 << 20 };

static char received[RECEIVE_SIZE + 1];

static int connect_to(const char *address)
{
    char host[64];
    int one = 1, port;
    if (sscanf(address, "%63[0-9.]:%d", host, &port) != 2) return -1;
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    (void)inet_pton(AF_INET, host, &place.sin_addr);
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(descriptor, (struct sockaddr *)&place, sizeof place) != 0) return -1;
    return descriptor;
}

/* One answer, whole, of a server that sends Content-Length. */
static int ask(int descriptor, const char *request)
{
    size_t size = 0, wanted = RECEIVE_SIZE;
    if (write(descriptor, request, strlen(request)) < 0) return -1;
    while (size < wanted) {
        ssize_t more = read(descriptor, received + size, RECEIVE_SIZE - size);
        if (more <= 0) return -1;
        received[size += (size_t)more] = '\0';
        char *end = strstr(received, "\r\n\r\n");
        char *length = strcasestr(received, "\r\nContent-Length:");
        if (end && length) wanted = (size_t)(end + 4 - received) + strtoul(length + 17, NULL, 10);
    }
    return 0;
}

int main(void)
{
    const char *address = getenv("AWS_LAMBDA_RUNTIME_API");
    int descriptor = address ? connect_to(address) : -1;
    char request[1024], id[128];
    if (descriptor < 0) return 1;
    for (;;) {
        (void)snprintf(request, sizeof request,
                       "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: %s\r\n\r\n",
                       address);
        if (ask(descriptor, request) != 0) return 1;
        char *field = strcasestr(received, "\r\nLambda-Runtime-Aws-Request-Id:");
        if (!field || sscanf(field + 33, " %127[0-9A-Za-z-]", id) != 1) return 1;
        (void)snprintf(request, sizeof request,
                       "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: %s\r\n"
                       "Content-Type: application/json\r\nContent-Length: 12\r\n\r\n[2,4,6,8,10]",
                       id, address);
        if (ask(descriptor, request) != 0) return 1;
    }
}
