/*
 * A closed-loop load generator: each of N connections sends a request, waits for the whole answer,
 * sends the next. Leaner than wrk, so that the server is what is measured. It finds the end of an
 * answer by the first one: all answers are expected to be of the same size, and the first line is
 * compared.
 *
 *   load PORT CONNECTIONS SECONDS|COUNTx PATH [BODY | @FILE | -] [PID [CPU]]
 *
 * "20000x" is 20,000 requests, without a warm-up, in place of a time.
 * PATH "-" means that BODY is the whole request. Prints one line:
 *   requests/s  p50_us  p99_us  errors  [server cpu us/request]
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 1024, INPUT = 1 << 20, REQUEST_MAX = 1 << 26, BUCKETS = 64 * 32 };

struct connection {
    int fd;
    size_t received; /* of this answer */
    uint64_t sent_ns;
};

static char *request;
static size_t request_size;
static size_t answer_size; /* 0: not known yet */
static uint64_t done, errors;
static uint64_t histogram[BUCKETS]; /* 32 steps per power of two */
static char input[INPUT];

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void record(uint64_t ns)
{
    unsigned power = ns < 32 ? 0 : 58u - (unsigned)__builtin_clzll(ns);
    histogram[power * 32 + (ns >> power) % 32 + (ns < 32 ? 0 : 32)]++;
}

static double quantile_us(double quantile)
{
    uint64_t rank = (uint64_t)((double)done * quantile), sum = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        sum += histogram[i];
        if (sum > rank) {
            uint64_t low = i < 32 ? i : (uint64_t)(32 + i % 32) << (i / 32 - 1);
            return (double)low / 1000;
        }
    }
    return 0;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Ticks of user and system time that the process has used (proc(5), fields 14 and 15). */
static double cpu_seconds(int pid)
{
    char path[64], line[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    if (fgets(line, sizeof line, file)) {
        char *after = strrchr(line, ')');
        if (after)
            sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                   &system);
    }
    fclose(file);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void read_body(const char *argument, char **ret_body, size_t *ret_size)
{
    *ret_body = (char *)(uintptr_t)argument;
    *ret_size = strlen(argument);
    if (argument[0] != '@') return;
    FILE *file = fopen(argument + 1, "rb");
    if (!file) die(argument + 1);
    *ret_body = malloc(REQUEST_MAX);
    *ret_size = *ret_body ? fread(*ret_body, 1, REQUEST_MAX, file) : 0;
    fclose(file);
}

static void make_request(const char *path, const char *body_argument)
{
    char *body = NULL;
    size_t size = 0;
    if (strcmp(body_argument, "-") != 0) read_body(body_argument, &body, &size);
    request = malloc(size + 1024);
    if (!request) die("load");
    int head = 0;
    if (strcmp(path, "-") == 0)
        head = 0;
    else if (body)
        head = snprintf(request, 1024,
                        "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        path, size);
    else
        head = snprintf(request, 1024, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    if (size) memcpy(request + head, body, size);
    request_size = (size_t)head + size;
}

static void send_request(struct connection *connection)
{
    size_t sent = 0;
    connection->sent_ns = now_ns();
    connection->received = 0;
    while (sent < request_size) {
        ssize_t size = send(connection->fd, request + sent, request_size - sent, MSG_NOSIGNAL);
        if (size < 0) die("send");
        sent += (size_t)size;
    }
}

/* The size of the first answer, from its head. 0: more is needed. */
static size_t find_size(size_t received)
{
    input[received < INPUT ? received : INPUT - 1] = '\0';
    char *end = strstr(input, "\r\n\r\n"), *length = strcasestr(input, "\r\ncontent-length:");
    if (!end) return 0;
    if (!length || length > end) {
        fprintf(stderr, "load: the answer has no Content-Length\n");
        exit(1);
    }
    return (size_t)(end + 4 - input) + (size_t)strtoull(length + 17, NULL, 10);
}

static void receive(struct connection *connection)
{
    ssize_t size = recv(connection->fd, input, INPUT - 1, MSG_DONTWAIT);
    if (size <= 0) die("recv");
    if (connection->received == 0 && memcmp(input, "HTTP/1.1 200", 12) != 0) errors++;
    connection->received += (size_t)size;
    if (!answer_size) answer_size = find_size(connection->received);
    if (!answer_size || connection->received < answer_size) return;
    done++;
    record(now_ns() - connection->sent_ns);
    send_request(connection);
}

static int connect_to(uint16_t port)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) die("connect");
    return fd;
}

static void run(int epoll, uint64_t until_ns, uint64_t until_done)
{
    struct epoll_event events[EVENTS];
    while (done < until_done && now_ns() < until_ns) {
        int count = epoll_wait(epoll, events, EVENTS, 100);
        for (int i = 0; i < count; i++) receive(events[i].data.ptr);
    }
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr,
                "usage: load PORT CONNECTIONS SECONDS|COUNTx PATH [BODY|@FILE|-] [PID [CPU]]\n");
        return 2;
    }
    int count = atoi(argv[2]), pid = argc > 6 ? atoi(argv[6]) : 0;
    double seconds = atof(argv[3]);
    if (argc > 7) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((unsigned)atoi(argv[7]), &set);
        sched_setaffinity(0, sizeof set, &set);
    }
    make_request(argv[4], argc > 5 ? argv[5] : "-");
    struct connection *connections = calloc((size_t)count, sizeof *connections);
    if (!connections) die("load");
    int epoll = epoll_create1(0);
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
        connections[i].fd = connect_to((uint16_t)atoi(argv[1]));
        epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].fd, &event);
    }
    for (int i = 0; i < count; i++) send_request(&connections[i]);
    uint64_t wanted = strchr(argv[3], 'x') ? strtoull(argv[3], NULL, 10) : UINT64_MAX;
    if (wanted == UINT64_MAX) run(epoll, now_ns() + 200000000u, UINT64_MAX); /* warm up */
    done = errors = 0;
    memset(histogram, 0, sizeof histogram);
    double cpu = pid ? cpu_seconds(pid) : 0;
    uint64_t start = now_ns();
    run(epoll, wanted < UINT64_MAX ? UINT64_MAX : start + (uint64_t)(seconds * 1e9), wanted);
    double elapsed = (double)(now_ns() - start) / 1e9;
    printf("%.0f req/s  p50 %.1f us  p99 %.1f us  errors %lu", (double)done / elapsed,
           quantile_us(0.5), quantile_us(0.99), (unsigned long)errors);
    if (pid && done) printf("  cpu %.2f us/req", (cpu_seconds(pid) - cpu) * 1e6 / (double)done);
    printf("\n");
    return 0;
}
