/*
 * The ceiling: what one thread can answer over HTTP/1.1 when there is nothing to do. Bare epoll and
 * llhttp, a fixed body, no limits, no time-outs, nothing freed, nothing checked that is not needed
 * to find where a request ends. The goals are ratios to this program.
 *
 *   bare_server PORT [CPU]
 */
#include <arpa/inet.h>
#include <llhttp.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 1024, INPUT = 16384, CONNECTIONS = 65536 };

#define BODY                                                                                       \
    "{\"model_name\":\"doubleit\",\"model_version\":\"1\",\"outputs\":[{\"name\":\"output\","      \
    "\"datatype\":\"INT64\",\"shape\":[5],\"data\":[2,4,6,8,10]}]}"

static char answer[512];
static int answer_size;
static int complete; /* messages in what was parsed last */
static llhttp_t parsers[CONNECTIONS];
static llhttp_settings_t settings;

static int count_message(llhttp_t *parser)
{
    (void)parser;
    complete++;
    return 0;
}

static void serve(int epoll, int connection)
{
    char input[INPUT];
    ssize_t size = recv(connection, input, sizeof input, 0);
    complete = 0;
    if (size > 0 && llhttp_execute(&parsers[connection], input, (size_t)size) == HPE_OK) {
        while (complete-- > 0)
            if (send(connection, answer, (size_t)answer_size, MSG_NOSIGNAL) < 0) break;
        return;
    }
    epoll_ctl(epoll, EPOLL_CTL_DEL, connection, NULL);
    close(connection);
}

static void accept_all(int epoll, int listener)
{
    for (int connection; (connection = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = connection};
        if (connection >= CONNECTIONS) abort();
        llhttp_init(&parsers[connection], HTTP_REQUEST, &settings);
        epoll_ctl(epoll, EPOLL_CTL_ADD, connection, &event);
    }
}

static int listen_on(uint16_t port)
{
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("bare_server: listen");
        exit(1);
    }
    socklen_t size = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bare_server PORT [CPU]\n");
        return 2;
    }
    if (argc > 2) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((unsigned)atoi(argv[2]), &set);
        sched_setaffinity(0, sizeof set, &set);
    }
    llhttp_settings_init(&settings);
    settings.on_message_complete = count_message;
    answer_size = snprintf(answer, sizeof answer,
                           "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 21:00:00 GMT\r\n"
                           "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                           strlen(BODY), BODY);
    int epoll = epoll_create1(0), listener = listen_on((uint16_t)atoi(argv[1]));
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else
                serve(epoll, events[i].data.fd);
        }
    }
}
