/*
 * ElasticMQ, beside which tests/aws/elasticmq.py runs this program. Its time cannot be moved: it is
 * waited for, and rows that need much of it are left out.
 */
#include "aws/credentials.h"
#include "kind.h"
#include "queue/queue_sqs.h"
#include "test.h"

#include <time.h>

static struct aws_credentials *credentials;

const char *kind_skips(const char *row)
{
    static const struct {
        const char *row;
        const char *reason;
    } rows[] = {
#define ROW(name, where, reason) {#name, reason},
#include "sqs_rows.def"
#undef ROW
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (strcmp(rows[i].row, row) == 0) return rows[i].reason;
    return NULL;
}

void kind_pass(double seconds)
{
    /* A little more: its clock and ours are read at different moments. */
    seconds += 0.1;
    struct timespec pause = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    (void)nanosleep(&pause, NULL); /* interrupted: the test says so */
}

bool kind_begin(void)
{
    return true;
}

/* The names that the suite uses. */
static void delete_all(struct queue_store *queues)
{
    static const char *const names[] = {"q", "q.fifo", "dead", "dead.fifo", "x"};
    struct arena arena;
    struct error err;
    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct queue_call call = {
            .operation = QUEUE_DELETE, .queue = str_of(names[i]), .arena = &arena};
        (void)!queue_run(queues, &call, &err); /* most are not there */
    }
    arena_clear(&arena);
}

enum status kind_open(struct clock *clock UNUSED, struct queue_store **ret_queues,
                      struct error *err)
{
    const struct aws_keys keys = {.key_id = STR("test"), .secret = STR("test")};
    bool begins = !credentials;
    if (begins)
        TRY(aws_credentials_new(&(struct aws_credentials_options){.keys = &keys}, &credentials,
                                err));
    const struct queue_sqs_options options = {.region = "elasticmq",
                                              .endpoint = getenv("SLIPWAY_TEST_SQS"),
                                              .credentials = credentials,
                                              .poll_ns = NS_PER_S};
    TRY(queue_sqs_new(&options, ret_queues, err));
    if (begins) delete_all(*ret_queues);
    return STATUS_OK;
}

void kind_close(struct queue_store *queues)
{
    queue_store_free(queues);
}

void kind_end(void)
{
    aws_credentials_free(credentials);
    credentials = NULL;
}
