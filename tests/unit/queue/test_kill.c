/*
 * kill -9 at any moment: a child sends, leases and deletes by several threads, and writes to a pipe
 * what it is about to do and what was acknowledged. After its death all that was acknowledged is
 * there, in the order of its group; what was deleted stays away; nothing is there twice.
 */
#include "base/mem.h"
#include "base/rand.h"
#include "db/sqlite.h"
#include "queue/queue_sqlite.h"
#include "test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 8, GROUPS = 3, NUMBERS_MAX = 8192, SEND_MAX = 8, LEASE_MAX = 5, LIFE_MS_MAX = 120 };

/* What is known of a message, by its number; its group is number % GROUPS. */
enum { SENDING = 1, SENT = 2, DELETING = 4, DELETED = 8, SEEN = 16 };
static unsigned char known[NUMBERS_MAX];

struct record {
    unsigned char what;
    int number;
};

static uint64_t ahead_ns; /* each life begins when the leases of the one before are over */

static uint64_t late_monotonic(struct clock *clock UNUSED)
{
    return clock_monotonic_ns() + ahead_ns;
}

static uint64_t late_wall(struct clock *clock UNUSED)
{
    return clock_wall_ns() + ahead_ns;
}

static struct clock late_clock = {late_monotonic, late_wall};
static char directory[64], path[96];
static struct database *database;
static struct queue_store *queues;
static int pipe_end;

static enum status open_queues(struct error *err)
{
    TRY(sqlite_database_open(path, &(struct sqlite_options){0},
                             &(struct database_options){.clock = &late_clock}, &database, err));
    return queue_sqlite_new(database, &queues, err);
}

static void close_queues(void)
{
    queue_store_free(queues);
    database_free(database);
}

static enum status run(struct queue_call *call, struct arena *arena, struct error *err)
{
    call->queue = STR("q.fifo");
    call->arena = arena;
    return queue_run(queues, call, err);
}

/* --- the child ---------------------------------------------------------------------------------
 */

static void note(unsigned char what, int number)
{
    struct record record;
    memset(&record, 0, sizeof record);
    record.what = what;
    record.number = number;
    if (write(pipe_end, &record, sizeof record) != (ssize_t)sizeof record) _exit(3);
}

static void send_some(struct arena *arena, int first, size_t count)
{
    struct queue_new_message messages[SEND_MAX];
    struct queue_sent sent[SEND_MAX];
    char texts[SEND_MAX][16];
    struct error err;
    memset(sent, 0, sizeof sent);
    for (size_t i = 0; i < count; i++) {
        int number = first + GROUPS * (int)i;
        (void)snprintf(texts[i], sizeof texts[i], "%d", number);
        messages[i] = (struct queue_new_message){.body = str_of(texts[i]),
                                                 .deduplication_id = str_of(texts[i]),
                                                 .group = (struct str){&"abc"[first % GROUPS], 1},
                                                 .delay_ms = -1};
        note(SENDING, number);
    }
    struct queue_call call = {.operation = QUEUE_SEND, .send = {messages, count, sent}};
    if (run(&call, arena, &err) != STATUS_OK) _exit(4);
    for (size_t i = 0; i < count; i++)
        if (sent[i].status == STATUS_OK) note(SENT, first + GROUPS * (int)i);
}

static int number_of(struct str body)
{
    int number = 0;
    for (size_t i = 0; i < body.size; i++) number = number * 10 + (body.data[i] - '0');
    return number;
}

static void delete_some(struct arena *arena)
{
    struct queue_receipt receipts[LEASE_MAX];
    struct error err;
    struct queue_call lease = {.operation = QUEUE_LEASE,
                               .lease = {.count_max = LEASE_MAX, .visibility_ms = 30000}};
    if (run(&lease, arena, &err) != STATUS_OK) _exit(5);
    size_t count = lease.lease.count;
    for (size_t i = 0; i < count; i++) {
        receipts[i] = (struct queue_receipt){.receipt = lease.lease.messages[i].receipt};
        note(DELETING, number_of(lease.lease.messages[i].body));
    }
    if (count == 0) return;
    struct queue_call ack = {.operation = QUEUE_ACK, .receipts = {receipts, count}};
    if (run(&ack, arena, &err) != STATUS_OK) _exit(6);
    for (size_t i = 0; i < count; i++)
        if (receipts[i].status == STATUS_OK) note(DELETED, number_of(lease.lease.messages[i].body));
}

/* Sends to one group, in order; deletes of any. */
static void *work(void *context)
{
    int next = *(int *)context;
    for (int step = 1; next + GROUPS * SEND_MAX < NUMBERS_MAX; step++) {
        size_t count = 1 + (size_t)step % SEND_MAX;
        struct arena arena;
        arena_init(&arena, 4 << 20);
        send_some(&arena, next, count);
        next += GROUPS * (int)count;
        if (step % 2 == 0) delete_some(&arena);
        arena_clear(&arena);
    }
    return NULL;
}

static _Noreturn void live(void)
{
    static int first[GROUPS];
    pthread_t thread;
    struct error err;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (open_queues(&err) != STATUS_OK) _exit(2);
    for (int i = 0; i < GROUPS; i++) {
        first[i] = i;
        if (pthread_create(&thread, NULL, work, &first[i]) != 0) _exit(7);
    }
    for (;;) (void)pause();
}

/* --- the parent --------------------------------------------------------------------------------
 */

/* One life; what it told is in `known`. */
static void live_and_die(int life_ms)
{
    int ends[2], status;
    struct record record;
    REQUIRE(pipe(ends) == 0);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        (void)close(ends[0]);
        pipe_end = ends[1];
        live();
    }
    (void)close(ends[1]);
    REQUIRE(read(ends[0], &record, sizeof record) == (ssize_t)sizeof record); /* it has begun */
    known[record.number] |= record.what;
    (void)nanosleep(&(struct timespec){0, life_ms * 1000000L}, NULL);
    EXPECT_INT(kill(child, SIGKILL), 0);
    while (read(ends[0], &record, sizeof record) == (ssize_t)sizeof record)
        known[record.number] |= record.what;
    (void)close(ends[0]);
    REQUIRE(waitpid(child, &status, 0) == child);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Leases and deletes up to a thousand; the order is judged here. */
static size_t take(struct arena *arena, int last[GROUPS])
{
    static struct queue_receipt receipts[QUEUE_LEASE_MAX];
    struct error err;
    struct queue_call lease = {.operation = QUEUE_LEASE,
                               .lease = {.count_max = QUEUE_LEASE_MAX, .visibility_ms = 30000}};
    EXPECT_STATUS(run(&lease, arena, &err), STATUS_OK, err);
    for (size_t i = 0; i < lease.lease.count; i++) {
        int number = number_of(lease.lease.messages[i].body);
        receipts[i] = (struct queue_receipt){.receipt = lease.lease.messages[i].receipt};
        EXPECT(number > last[number % GROUPS]);
        EXPECT((known[number] & SENDING) && !(known[number] & DELETED));
        last[number % GROUPS] = number;
        known[number] |= SEEN;
    }
    if (lease.lease.count == 0) return 0;
    struct queue_call ack = {.operation = QUEUE_ACK, .receipts = {receipts, lease.lease.count}};
    EXPECT_STATUS(run(&ack, arena, &err), STATUS_OK, err);
    return lease.lease.count;
}

static void judge(void)
{
    int last[GROUPS] = {-1, -1, -1};
    struct arena arena;
    struct error err;
    enum status status = open_queues(&err);
    EXPECT_STATUS(status, STATUS_OK, err);
    REQUIRE(status == STATUS_OK);
    arena_init(&arena, 256 << 20);
    while (take(&arena, last) > 0) continue;
    for (int i = 0; i < NUMBERS_MAX; i++)
        EXPECT((known[i] & (SENT | DELETING | SEEN)) != SENT); /* acknowledged, and lost */
    struct queue_call depth = {.operation = QUEUE_DEPTH};
    EXPECT_STATUS(run(&depth, &arena, &err), STATUS_OK, err);
    EXPECT_INT(depth.depth.visible + depth.depth.in_flight + depth.depth.delayed, 0);
    struct queue_call purge = {.operation = QUEUE_PURGE}; /* forgets the deduplication ids */
    EXPECT_STATUS(run(&purge, &arena, &err), STATUS_OK, err);
    EXPECT_STATUS(sqlite_check(database, &err), STATUS_OK, err);
    arena_clear(&arena);
    close_queues();
}

static void create(void)
{
    struct arena arena;
    struct error err;
    struct queue_call call = {.operation = QUEUE_CREATE};
    arena_init(&arena, 1 << 20);
    queue_settings_init(&call.description.settings, true);
    EXPECT_STATUS(open_queues(&err), STATUS_OK, err);
    EXPECT_STATUS(run(&call, &arena, &err), STATUS_OK, err);
    close_queues();
    arena_clear(&arena);
}

TEST(killed_at_any_moment_nothing_acknowledged_is_lost)
{
    struct prng prng;
    char command[128];
    size_t sent = 0;
    prng_seed(&prng, test_seed());
    (void)snprintf(directory, sizeof directory, "/tmp/slipway-test-kill.XXXXXX");
    REQUIRE(mkdtemp(directory) != NULL);
    (void)snprintf(path, sizeof path, "%s/data.db", directory);
    create();
    for (int i = 0; i < ROUNDS; i++) {
        memset(known, 0, sizeof known);
        ahead_ns += 120 * NS_PER_S;
        live_and_die((int)prng_below(&prng, LIFE_MS_MAX));
        ahead_ns += 120 * NS_PER_S;
        judge();
        for (int number = 0; number < NUMBERS_MAX; number++) sent += (known[number] & SENT) != 0;
    }
    EXPECT(sent > 0); /* or nothing was tried */
    (void)snprintf(command, sizeof command, "rm -rf '%s'", directory);
    EXPECT(system(command) == 0);
}
