/*
 * A worker on a queue in PostgreSQL, to be run once or several times at the same time.
 *
 *   queue_postgres ADDRESS fill QUEUE MESSAGES
 *   queue_postgres ADDRESS work QUEUE BATCH SECONDS
 *
 * fill makes the queue and sends; a name that ends in ".fifo" gets 256 groups. work leases BATCH
 * messages at a time and, in one transaction, acknowledges them with their results; then the next.
 * Prints "messages/s". bench/queue_postgres_workers compares one with two.
 */
#include "queue/queue_postgres.h"

#include "base/mem.h"
#include "base/num.h"
#include "db/postgres.h"
#include "store/store_postgres.h"

enum { BATCH_MAX = 1000, FILL_BATCH = 1000, GROUPS = 256, PAYLOAD = 256, WARM_MS = 500 };

static struct database *database;
static struct queue_store *queues;
static struct store *store;
static struct arena arena;
static struct error failure;

static void expect(enum status status)
{
    if (status == STATUS_OK) return;
    fprintf(stderr, "queue_postgres: %s\n", failure.message);
    exit(1);
}

static struct queue_call call_of(enum queue_operation operation, const char *queue)
{
    arena_reset(&arena);
    return (struct queue_call){.operation = operation, .queue = str_of(queue), .arena = &arena};
}

/* --- filling -----------------------------------------------------------------------------------
 */

static void fill_batch(const char *queue, uint64_t first, bool fifo)
{
    static struct queue_new_message list[FILL_BATCH];
    static struct queue_sent results[FILL_BATCH];
    static char texts[FILL_BATCH][PAYLOAD], groups[FILL_BATCH][16];
    for (uint64_t i = 0; i < FILL_BATCH; i++) {
        memset(texts[i], 'x', PAYLOAD);
        (void)snprintf(texts[i], PAYLOAD, "%llu", (unsigned long long)(first + i));
        (void)snprintf(groups[i], sizeof groups[i], "g%llu",
                       (unsigned long long)((first + i) % GROUPS));
        list[i] = (struct queue_new_message){.body = {texts[i], PAYLOAD}, .delay_ms = -1};
        if (!fifo) continue;
        list[i].group = str_of(groups[i]);
        list[i].deduplication_id = str_of(texts[i]);
    }
    struct queue_call call = call_of(QUEUE_SEND, queue);
    call.send = (struct queue_send){list, FILL_BATCH, results};
    expect(queue_run(queues, &call, &failure));
}

static void fill(const char *queue, uint64_t messages)
{
    bool fifo = str_ends_with(str_of(queue), STR(".fifo"));
    struct queue_call call = call_of(QUEUE_CREATE, queue);
    queue_settings_init(&call.description.settings, fifo);
    expect(queue_run(queues, &call, &failure));
    /* Numbers of another run would be duplicates. */
    uint64_t first = clock_wall_ns() / NS_PER_MS * FILL_BATCH;
    for (uint64_t i = 0; i < messages; i += FILL_BATCH) fill_batch(queue, first + i, fifo);
}

/* --- working -----------------------------------------------------------------------------------
 */

static struct record records[BATCH_MAX];
static struct queue_receipt receipts[BATCH_MAX];

static void prepare(const struct queue_lease *lease, const char *queue)
{
    uint64_t now_ms = database_now_ms(database);
    for (size_t i = 0; i < lease->count; i++) {
        records[i] = (struct record){
            .model = STR("doubleit"),
            .version = STR("1"),
            .source = RECORD_SOURCE_QUEUE,
            .state = RECORD_SUCCEEDED,
            .queue = str_of(queue),
            .message_id = lease->messages[i].id,
            .received_us = now_ms * 1000,
            .done_us = now_ms * 1000,
            .output = {.bytes = STR("[2,4,6,8,10]"), .type = STR("application/json"), .size = 12}};
        record_id_make(now_ms, records[i].id);
        receipts[i] =
            (struct queue_receipt){.receipt = lease->messages[i].receipt, .must_hold = true};
    }
}

static void kept(struct store_call *call, enum status status, const struct error *err)
{
    (void)call, (void)status, (void)err;
}

/* One cycle; how many messages. */
static size_t cycle(const char *queue, uint32_t batch)
{
    static struct store_call put; /* its `done` comes a moment after the acknowledgement's */
    struct queue_call lease = call_of(QUEUE_LEASE, queue);
    lease.lease = (struct queue_lease){.count_max = batch, .visibility_ms = 60000, .wait_ms = 1000};
    expect(queue_run(queues, &lease, &failure));
    if (lease.lease.count == 0) return 0;
    prepare(&lease.lease, queue);
    struct queue_call ack = {.operation = QUEUE_ACK, .queue = str_of(queue), .arena = &arena};
    ack.receipts = (struct queue_receipts){receipts, lease.lease.count};
    put = (struct store_call){
        .operation = STORE_PUT, .done = kept, .put = {records, lease.lease.count}};
    expect(store_call_prepare(store, &put, &failure));
    queue_call_chain(&ack, &put.task);
    expect(queue_run(queues, &ack, &failure));
    return lease.lease.count;
}

static void work(const char *queue, uint32_t batch, double seconds)
{
    uint64_t done = 0, warm_ns = clock_monotonic_ns() + WARM_MS * NS_PER_MS;
    uint64_t end_ns = warm_ns + (uint64_t)(seconds * 1e9);
    while (clock_monotonic_ns() < warm_ns) (void)cycle(queue, batch);
    uint64_t start_ns = clock_monotonic_ns();
    while (clock_monotonic_ns() < end_ns) done += cycle(queue, batch);
    printf("%.0f\n", (double)done * 1e9 / (double)(clock_monotonic_ns() - start_ns));
}

int main(int argc, char **argv)
{
    uint64_t number = 0;
    double seconds = 1;
    bool works = argc == 6 && strcmp(argv[2], "work") == 0;
    if (!(works || (argc == 5 && strcmp(argv[2], "fill") == 0)) ||
        !num_read_u64(str_of(argv[4]), &number) || number == 0 || (works && number > BATCH_MAX) ||
        (works && !num_read_double(str_of(argv[5]), &seconds))) {
        fprintf(stderr, "queue_postgres ADDRESS fill QUEUE MESSAGES\n"
                        "queue_postgres ADDRESS work QUEUE BATCH SECONDS\n");
        return 64;
    }
    arena_init(&arena, 64 << 20);
    expect(postgres_database_open(argv[1], &(struct database_options){0}, &database, &failure));
    expect(queue_postgres_new(database, &queues, &failure));
    expect(store_postgres_new(database, &store, &failure));
    if (works)
        work(argv[3], (uint32_t)number, seconds);
    else
        fill(argv[3], number);
    queue_store_free(queues);
    store_free(store);
    database_free(database);
    arena_clear(&arena);
    return 0;
}
