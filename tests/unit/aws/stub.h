/*
 * A server that gives the answers it was told to, in their order, and remembers what it was asked.
 * For tests of what asks AWS.
 *
 *   static const struct stub_answer answers[] = {{.text = "HTTP/1.1 200 OK\r\n..."}};
 *   struct stub stub;
 *   stub_start(&stub, answers, COUNT_OF(answers));
 *   ... stub.url ... stub_end(&stub) ... stub.requests[0] ...
 */
#ifndef TESTS_AWS_STUB_H
#define TESTS_AWS_STUB_H

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STUB_REQUESTS_MAX = 64, STUB_CONNECTIONS_MAX = 16, STUB_REQUEST_SIZE_MAX = 4 << 20 };

struct stub_answer {
    const char *text; /* head and body; NULL: the connection is closed without a byte */
    size_t size;      /* 0: all of the text */
    unsigned delay_ms;
    bool closes; /* behind the answer */
    bool resets; /* so, with a reset */
};

struct stub {
    const struct stub_answer *answers;
    size_t answer_count;
    char url[64];
    int listener;
    int wake[2];
    pthread_t thread;
    char *requests[STUB_REQUESTS_MAX]; /* head and body */
    _Atomic size_t request_count;
    _Atomic size_t connection_count; /* that were made */
};

/* Content-Length of a head that ends before `end`. */
static inline size_t stub_length(const char *text)
{
    size_t length = 0;
    const char *found = strcasestr(text, "\r\ncontent-length:");
    if (!found) return 0;
    for (found += strlen("\r\ncontent-length:"); *found == ' '; found++) {
    }
    for (; *found >= '0' && *found <= '9'; found++) length = length * 10 + (size_t)(*found - '0');
    return length;
}

/* A whole request, owned by the caller; NULL at the end of the connection. */
static inline char *stub_read(int connection)
{
    char *text = mem_new(STUB_REQUEST_SIZE_MAX + 1);
    size_t size = 0;
    for (;;) {
        text[size] = '\0';
        const char *end = strstr(text, "\r\n\r\n");
        if (end && size >= (size_t)(end + 4 - text) + stub_length(text)) return text;
        ssize_t count = recv(connection, text + size, STUB_REQUEST_SIZE_MAX - size, 0);
        if (count <= 0) break;
        size += (size_t)count;
    }
    mem_free(text);
    return NULL;
}

/* False: the connection is to be closed. */
static inline bool stub_answer(struct stub *stub, int connection)
{
    char *text = stub_read(connection);
    if (!text) return false;
    size_t number = stub->request_count;
    if (number >= stub->answer_count || number >= STUB_REQUESTS_MAX) {
        mem_free(text);
        return false;
    }
    const struct stub_answer *answer = &stub->answers[number];
    stub->requests[number] = text;
    stub->request_count = number + 1;
    if (answer->delay_ms) usleep(answer->delay_ms * 1000);
    size_t size = answer->text ? strlen(answer->text) : 0;
    if (answer->size && answer->size < size) size = answer->size;
    if (size && send(connection, answer->text, size, MSG_NOSIGNAL) < 0) return false;
    if (answer->resets) {
        struct linger linger = {.l_onoff = 1};
        (void)setsockopt(connection, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    return answer->text && !answer->closes && !answer->resets;
}

static inline void *stub_run(void *context)
{
    struct stub *stub = context;
    struct pollfd fds[STUB_CONNECTIONS_MAX + 2] = {{stub->wake[0], POLLIN, 0},
                                                   {stub->listener, POLLIN, 0}};
    nfds_t count = 2;
    for (;;) {
        if (poll(fds, count, -1) < 0 && errno != EINTR) abort();
        if (fds[0].revents) break;
        for (nfds_t i = count; i-- > 2;) {
            if (!fds[i].revents || stub_answer(stub, fds[i].fd)) continue;
            (void)close(fds[i].fd);
            fds[i] = fds[--count];
        }
        if (!fds[1].revents || count == COUNT_OF(fds)) continue;
        fds[count++] = (struct pollfd){accept(stub->listener, NULL, NULL), POLLIN, 0};
        stub->connection_count++;
    }
    while (count > 2) (void)close(fds[--count].fd);
    return NULL;
}

static inline void stub_start(struct stub *stub, const struct stub_answer *answers, size_t count)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    *stub = (struct stub){.answers = answers, .answer_count = count};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    stub->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(stub->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(stub->listener, 16) != 0 ||
        getsockname(stub->listener, (struct sockaddr *)&address, &size) != 0 ||
        pipe(stub->wake) != 0 || pthread_create(&stub->thread, NULL, stub_run, stub) != 0)
        abort();
    (void)snprintf(stub->url, sizeof stub->url, "http://127.0.0.1:%u", ntohs(address.sin_port));
}

/* Ends the server; what it was asked stays, until stub_clear. */
static inline void stub_end(struct stub *stub)
{
    if (write(stub->wake[1], "x", 1) != 1) abort();
    (void)pthread_join(stub->thread, NULL);
    (void)close(stub->wake[0]);
    (void)close(stub->wake[1]);
    (void)close(stub->listener);
}

static inline void stub_clear(struct stub *stub)
{
    for (size_t i = 0; i < stub->request_count; i++) mem_free(stub->requests[i]);
}

#endif
