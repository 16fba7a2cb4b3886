/*
 * The same fixed answer through loop and net, with all their limits and checks: what the product
 * costs before it does anything. Compare with bare_server.
 *
 *   net_server PORT [CPU [BUSY_POLL_US]]
 */
#include "loop/loop.h"
#include "net/http.h"

#include <sched.h>
#include <signal.h>

#define BODY                                                                                       \
    "{\"model_name\":\"doubleit\",\"model_version\":\"1\",\"outputs\":[{\"name\":\"output\","      \
    "\"datatype\":\"INT64\",\"shape\":[5],\"data\":[2,4,6,8,10]}]}"

static void answer(void *context, struct http_exchange *exchange)
{
    (void)context;
    http_respond_json(exchange, 200, STR(BODY));
}

static void stop(void *context, int signal_number)
{
    (void)signal_number;
    loop_stop(context);
}

static enum status run(uint16_t port, uint64_t busy_poll_us, struct error *err)
{
    static const struct http_handler handler = {.on_request = answer};
    struct loop *loop = NULL;
    struct http_server *server = NULL;
    TRY(loop_new(&(struct loop_options){.busy_poll_ns = busy_poll_us * NS_PER_US}, &loop, err));
    TRY(loop_signal_add(loop, SIGTERM, stop, loop, err));
    TRY(http_server_new(loop, &(struct http_server_options){0}, &handler, NULL, &server, err));
    TRY(http_server_listen(server, &(struct tcp_listen_options){.host = "127.0.0.1", .port = port},
                           &port, err));
    printf("%u\n", port);
    (void)fflush(stdout);
    loop_run(loop);
    http_server_free(server);
    loop_free(loop);
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    struct error err;
    long numbers[3] = {0, -1, 0};
    for (int i = 1; i < argc && i <= 3; i++) numbers[i - 1] = atol(argv[i]);
    if (numbers[1] >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((unsigned)numbers[1], &set);
        (void)sched_setaffinity(0, sizeof set, &set);
    }
    if (run((uint16_t)numbers[0], (uint64_t)numbers[2], &err) == STATUS_OK) return 0;
    (void)fprintf(stderr, "net_server: %s\n", err.message);
    return 1;
}
