/*
 * The queue in process: durable sends and full cycles beside what the disk allows.
 *
 *   queue_store DIRECTORY enqueue OUTSTANDING SECONDS
 *   queue_store DIRECTORY cycle   BATCH       SECONDS
 *   queue_store DIRECTORY lone    PAUSE_US    SECONDS
 *   queue_store DIRECTORY fill    MESSAGES
 *   queue_store DIRECTORY fsync   SECONDS
 *
 * enqueue keeps OUTSTANDING sends of 256 bytes on their way, each acknowledged after its fsync.
 * cycle leases BATCH messages at a time and, in one transaction, acknowledges each with its result,
 * while as many are sent. lone sends one at a time to a receiver that waits for it, with a pause
 * before each, in a DIRECTORY that is empty, and times from its send to its stored result. fill
 * makes a backlog. fsync overwrites 4 KiB of a preallocated file and syncs it: the raw limit.
 * Prints "operations/s p50_us p99_us rss_mib start_ms".
 */
#include "base/arena.h"
#include "base/mem.h"
#include "base/num.h"
#include "db/sqlite.h"
#include "queue/queue_sqlite.h"
#include "store/store_sqlite.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

enum { OUTSTANDING_MAX = 4096, PAYLOAD = 256, SAMPLES_MAX = 1 << 22, FILL_BATCH = 1000 };

static struct database *database;
static struct queue_store *queues;
static struct store *store;
static char payload[PAYLOAD];
static uint32_t samples_us[SAMPLES_MAX];
static _Atomic uint64_t done;
static uint64_t end_ns, warm_ns;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t finished = PTHREAD_COND_INITIALIZER;
static _Atomic int running;

static void die(const struct error *err)
{
    fprintf(stderr, "queue_store: %s\n", err->message);
    exit(1);
}

static void count(uint64_t start_ns)
{
    uint64_t now = clock_monotonic_ns();
    if (now < warm_ns) return;
    uint64_t index = atomic_fetch_add(&done, 1);
    if (index < SAMPLES_MAX) samples_us[index] = (uint32_t)((now - start_ns) / 1000);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void report(double seconds, double start_ms)
{
    struct rusage usage;
    size_t samples = MIN((size_t)done, (size_t)SAMPLES_MAX);
    qsort(samples_us, samples, sizeof *samples_us, compare);
    (void)getrusage(RUSAGE_SELF, &usage);
    printf("%.0f %u %u %.1f %.1f\n", (double)done / seconds, samples ? samples_us[samples / 2] : 0,
           samples ? samples_us[samples * 99 / 100] : 0, (double)usage.ru_maxrss / 1024, start_ms);
}

static void leave(void)
{
    (void)pthread_mutex_lock(&mutex);
    if (--running == 0) (void)pthread_cond_signal(&finished);
    (void)pthread_mutex_unlock(&mutex);
}

static void wait_for_all(void)
{
    (void)pthread_mutex_lock(&mutex);
    while (running > 0) (void)pthread_cond_wait(&finished, &mutex);
    (void)pthread_mutex_unlock(&mutex);
}

/* --- sends ------------------------------------------------------------------------------------ */

struct sender {
    struct queue_call call;
    struct queue_new_message message;
    struct queue_sent sent;
    struct arena arena;
    uint64_t start_ns;
    bool lone;
};

static void send_next(struct sender *sender);

static void sent(struct queue_call *call, enum status status, const struct error *err)
{
    struct sender *sender = call->context;
    if (status != STATUS_OK) die(err);
    if (sender->lone) return; /* its answer counts */
    count(sender->start_ns);
    if (clock_monotonic_ns() < end_ns)
        send_next(sender);
    else
        leave();
}

static void send_next(struct sender *sender)
{
    struct error err;
    arena_reset(&sender->arena);
    sender->start_ns = clock_monotonic_ns();
    sender->message = (struct queue_new_message){.body = {payload, PAYLOAD}, .delay_ms = -1};
    sender->call = (struct queue_call){.operation = QUEUE_SEND,
                                       .queue = STR("bench"),
                                       .arena = &sender->arena,
                                       .done = sent,
                                       .context = sender,
                                       .send = {&sender->message, 1, &sender->sent}};
    if (queue_submit(queues, &sender->call, &err) != STATUS_OK) die(&err);
}

static void start_senders(struct sender *senders, int outstanding)
{
    for (int i = 0; i < outstanding; i++) {
        arena_init(&senders[i].arena, 1 << 20);
        running++;
    }
    for (int i = 0; i < outstanding; i++) send_next(&senders[i]);
}

/* --- cycles ----------------------------------------------------------------------------------- */

/* One leased message: its acknowledgement and its result, chained. */
struct answer {
    struct queue_call ack;
    struct store_call put;
    struct queue_receipt receipt;
    struct record record;
    struct worker *worker;
};

struct worker {
    struct queue_call call;
    struct arena arena, ack_arena;
    struct answer *answers;
    int batch, left;
    uint64_t start_ns;
};

static void lease_next(struct worker *worker);

/* The one message at a time, if there is but one. */
static struct sender *lone;
static bool answered;

static void lone_answered(struct worker *worker)
{
    lease_next(worker);
    (void)pthread_mutex_lock(&mutex);
    answered = true;
    (void)pthread_cond_signal(&finished);
    (void)pthread_mutex_unlock(&mutex);
}

static void kept(struct store_call *call, enum status status, const struct error *err)
{
    if (status != STATUS_OK) die(err);
    (void)call;
}

static void acknowledged(struct queue_call *call, enum status status, const struct error *err)
{
    struct answer *answer = call->context;
    struct worker *worker = answer->worker;
    if (status != STATUS_OK) die(err);
    count(lone ? lone->start_ns : worker->start_ns);
    if (--worker->left > 0) return;
    if (lone)
        lone_answered(worker);
    else if (clock_monotonic_ns() < end_ns)
        lease_next(worker);
    else
        leave();
}

static void give_answer(struct worker *worker, struct answer *answer,
                        const struct queue_message *message)
{
    struct error err;
    answer->worker = worker;
    answer->record = (struct record){
        .model = STR("doubleit"),
        .version = STR("1"),
        .source = RECORD_SOURCE_QUEUE,
        .state = RECORD_SUCCEEDED,
        .queue = STR("bench"),
        .message_id = message->id,
        .output = {.bytes = STR("[2,4,6,8,10]"), .type = STR("application/json"), .size = 12}};
    uint64_t now_ms = database_now_ms(database);
    record_id_make(now_ms, answer->record.id);
    answer->record.received_us = answer->record.done_us = now_ms * 1000;
    answer->receipt = (struct queue_receipt){.receipt = message->receipt, .must_hold = true};
    answer->put =
        (struct store_call){.operation = STORE_PUT, .done = kept, .put = {&answer->record, 1}};
    answer->ack = (struct queue_call){.operation = QUEUE_ACK,
                                      .queue = STR("bench"),
                                      .arena = &worker->ack_arena,
                                      .done = acknowledged,
                                      .context = answer,
                                      .receipts = {&answer->receipt, 1}};
    if (queue_call_prepare(queues, &answer->ack, &err) != STATUS_OK ||
        store_call_prepare(store, &answer->put, &err) != STATUS_OK)
        die(&err);
    answer->put.task.together = &answer->ack.task;
    if (database_submit(database, &answer->put.task, &err) != STATUS_OK) die(&err);
}

static void leased(struct queue_call *call, enum status status, const struct error *err)
{
    struct worker *worker = call->context;
    if (status == STATUS_CANCELLED) return; /* the end */
    if (status != STATUS_OK) die(err);
    worker->left = (int)call->lease.count;
    if (worker->left == 0) {
        if (lone || clock_monotonic_ns() < end_ns)
            lease_next(worker);
        else
            leave();
        return;
    }
    size_t leased_count = call->lease.count;
    for (size_t i = 0; i < leased_count; i++)
        give_answer(worker, &worker->answers[i], &call->lease.messages[i]);
}

static void lease_next(struct worker *worker)
{
    struct error err;
    arena_reset(&worker->arena);
    arena_reset(&worker->ack_arena);
    worker->start_ns = clock_monotonic_ns();
    worker->call = (struct queue_call){
        .operation = QUEUE_LEASE,
        .queue = STR("bench"),
        .arena = &worker->arena,
        .done = leased,
        .context = worker,
        .lease = {.count_max = (uint32_t)worker->batch, .visibility_ms = 30000, .wait_ms = 100}};
    if (queue_submit(queues, &worker->call, &err) != STATUS_OK) die(&err);
}

static void start_worker(struct worker *worker, int batch)
{
    worker->batch = batch;
    worker->answers = mem_new_zeroed((size_t)batch, sizeof *worker->answers);
    arena_init(&worker->arena, 64 << 20);
    arena_init(&worker->ack_arena, 64 << 20);
}

/* --- the modes -------------------------------------------------------------------------------- */

static void fill(uint64_t messages)
{
    static struct queue_new_message list[FILL_BATCH];
    static struct queue_sent results[FILL_BATCH];
    struct arena arena;
    struct error err;
    arena_init(&arena, 16 << 20);
    for (uint64_t i = 0; i < messages; i += FILL_BATCH) {
        arena_reset(&arena);
        for (int j = 0; j < FILL_BATCH; j++)
            list[j] = (struct queue_new_message){.body = {payload, PAYLOAD}, .delay_ms = -1};
        struct queue_call call = {.operation = QUEUE_SEND,
                                  .queue = STR("bench"),
                                  .arena = &arena,
                                  .send = {list, FILL_BATCH, results}};
        if (queue_run(queues, &call, &err) != STATUS_OK) die(&err);
    }
    arena_clear(&arena);
}

static void run_lone(struct sender *sender, struct worker *worker, uint64_t pause_us)
{
    struct timespec pause = {(time_t)(pause_us / 1000000), (long)(pause_us % 1000000) * 1000};
    lone = sender;
    sender->lone = true;
    arena_init(&sender->arena, 1 << 20);
    lease_next(worker);
    while (clock_monotonic_ns() < end_ns) {
        (void)nanosleep(&pause, NULL);
        answered = false;
        send_next(sender);
        (void)pthread_mutex_lock(&mutex);
        while (!answered) (void)pthread_cond_wait(&finished, &mutex);
        (void)pthread_mutex_unlock(&mutex);
    }
}

static void run_fsync(const char *directory, double seconds)
{
    char *path = mem_format("%s/raw", directory);
    static char page[4096];
    int file = open(path, O_RDWR | O_CREAT, 0600);
    if (file < 0 || posix_fallocate(file, 0, 1 << 20) != 0) exit(1);
    for (int i = 0; i < 256; i++)
        if (pwrite(file, page, sizeof page, i * 4096) != sizeof page) exit(1);
    (void)fsync(file);
    for (int i = 0; clock_monotonic_ns() < end_ns; i++) {
        uint64_t start = clock_monotonic_ns();
        if (pwrite(file, page, sizeof page, i % 256 * 4096) != sizeof page) exit(1);
        if (fdatasync(file) != 0) exit(1);
        count(start);
    }
    close(file);
    report(seconds, 0);
}

static double open_all(const char *directory)
{
    struct error err;
    struct arena arena;
    char *path = mem_format("%s/queue.db", directory);
    uint64_t start = clock_monotonic_ns();
    arena_init(&arena, 1 << 20);
    if (sqlite_database_open(path, &(struct sqlite_options){.cache_size = 64 << 20},
                             &(struct database_options){0}, &database, &err) != STATUS_OK ||
        queue_sqlite_new(database, &queues, &err) != STATUS_OK ||
        store_sqlite_new(database, &store, &err) != STATUS_OK)
        die(&err);
    struct queue_call call = {.operation = QUEUE_CREATE, .queue = STR("bench"), .arena = &arena};
    queue_settings_init(&call.description.settings, false);
    if (queue_run(queues, &call, &err) != STATUS_OK) die(&err);
    struct queue_call first = {.operation = QUEUE_LEASE,
                               .queue = STR("bench"),
                               .arena = &arena,
                               .lease = {.count_max = 1, .visibility_ms = 0}};
    if (queue_run(queues, &first, &err) != STATUS_OK) die(&err);
    arena_clear(&arena);
    mem_free(path);
    return (double)(clock_monotonic_ns() - start) / 1e6;
}

/* Half a second to warm up, then what counts. */
static void begin_in(double seconds)
{
    warm_ns = clock_monotonic_ns() + NS_PER_S / 2;
    end_ns = warm_ns + (uint64_t)(seconds * 1e9);
}

static void run_mode(const char *mode, int number, double seconds)
{
    static struct sender senders[OUTSTANDING_MAX];
    static struct worker workers[2];
    if (strcmp(mode, "lone") == 0) {
        start_worker(&workers[0], 1);
        begin_in(seconds);
        run_lone(&senders[0], &workers[0], (uint64_t)number);
        return;
    }
    bool cycle = strcmp(mode, "cycle") == 0;
    for (int i = 0; cycle && i < 2; i++) start_worker(&workers[i], number);
    if (cycle) fill((uint64_t)number * 4);
    running += cycle ? 2 : 0;
    begin_in(seconds);
    start_senders(senders, number);
    for (int i = 0; cycle && i < 2; i++) lease_next(&workers[i]);
}

int main(int argc, char **argv)
{
    if (argc != 5 && !(argc == 4 && strcmp(argv[2], "fsync") == 0) &&
        !(argc == 4 && strcmp(argv[2], "fill") == 0)) {
        fprintf(stderr, "queue_store DIRECTORY enqueue|cycle|lone NUMBER SECONDS\n"
                        "queue_store DIRECTORY fill MESSAGES | fsync SECONDS\n");
        return 64;
    }
    double seconds = atof(argv[argc - 1]);
    int number = atoi(argv[3]);
    memset(payload, 'x', PAYLOAD);
    begin_in(seconds);
    if (strcmp(argv[2], "fsync") == 0) {
        run_fsync(argv[1], seconds);
        return 0;
    }
    double start_ms = open_all(argv[1]);
    if (strcmp(argv[2], "fill") == 0) {
        fill((uint64_t)number);
    } else {
        run_mode(argv[2], number, seconds);
        wait_for_all();
        report(seconds, start_ms);
    }
    queue_store_free(queues);
    store_free(store);
    database_free(database);
    return 0;
}
