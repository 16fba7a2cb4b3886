/* The wall clock jumps between two starts: what leases, delays and deduplication become. */
#include "base/mem.h"
#include "db/sqlite.h"
#include "queue/queue_sqlite.h"
#include "test.h"

static char directory[64], path[96];
/* Read by the database's threads too. */
static _Atomic uint64_t wall_ns, passed_ns;

static uint64_t read_monotonic(struct clock *clock UNUSED)
{
    return passed_ns;
}

static uint64_t read_wall(struct clock *clock UNUSED)
{
    return wall_ns;
}

static struct clock clock_of_test = {read_monotonic, read_wall};
static struct queue_store *queues;
static struct arena arena;
static struct error failure;

static bool start(uint64_t wall_s)
{
    struct database *database;
    wall_ns = wall_s * NS_PER_S;
    enum status status = sqlite_database_open(path, &(struct sqlite_options){0},
                                              &(struct database_options){.clock = &clock_of_test},
                                              &database, &failure);
    if (status == STATUS_OK) status = queue_sqlite_new(database, &queues, &failure);
    EXPECT_STATUS(status, STATUS_OK, failure);
    return status == STATUS_OK;
}

static void stop(void)
{
    struct database *database = queue_store_database(queues);
    queue_store_free(queues);
    database_free(database);
}

static bool restart(uint64_t wall_s)
{
    stop();
    return start(wall_s);
}

static bool begin(void)
{
    arena_init(&arena, 16 << 20);
    (void)snprintf(directory, sizeof directory, "/tmp/slipway-test-clock.XXXXXX");
    if (!mkdtemp(directory)) return false;
    (void)snprintf(path, sizeof path, "%s/data.db", directory);
    return start(1000000);
}

static void end(void)
{
    char command[128];
    stop();
    arena_clear(&arena);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", directory);
    EXPECT(system(command) == 0);
}

static void pass(uint64_t seconds)
{
    passed_ns += seconds * NS_PER_S;
    wall_ns += seconds * NS_PER_S;
}

static enum status run(struct queue_call *call, const char *queue)
{
    call->queue = str_of(queue);
    call->arena = &arena;
    return queue_run(queues, call, &failure);
}

static void create(const char *queue)
{
    struct queue_call call = {.operation = QUEUE_CREATE};
    queue_settings_init(&call.description.settings, str_ends_with(str_of(queue), STR(".fifo")));
    EXPECT_STATUS(run(&call, queue), STATUS_OK, failure);
}

/* Of a FIFO queue: to one group, with its text as deduplication id. True: a duplicate. */
static bool send(const char *queue, const char *text, int64_t delay_ms)
{
    struct queue_sent sent = {0};
    struct queue_new_message message = {.body = str_of(text), .delay_ms = delay_ms};
    if (str_ends_with(str_of(queue), STR(".fifo"))) {
        message.group = STR("g");
        message.deduplication_id = str_of(text);
    }
    struct queue_call call = {.operation = QUEUE_SEND,
                              .send = {.messages = &message, .count = 1, .sent = &sent}};
    EXPECT_STATUS(run(&call, queue), STATUS_OK, failure);
    EXPECT(sent.status == STATUS_OK);
    return sent.duplicate;
}

static struct queue_lease leased;

/* The bodies that are leased, for 30 s. */
static const char *lease(const char *queue)
{
    static char bodies[64];
    size_t size = 0;
    struct queue_call call = {.operation = QUEUE_LEASE,
                              .lease = {.count_max = 10, .visibility_ms = 30000}};
    EXPECT_STATUS(run(&call, queue), STATUS_OK, failure);
    leased = call.lease;
    bodies[0] = '\0';
    for (size_t i = 0; i < leased.count; i++)
        size += (size_t)snprintf(bodies + size, sizeof bodies - size, "%.*s",
                                 STR_ARGS(leased.messages[i].body));
    return bodies;
}

static enum status ack(const char *queue, size_t index)
{
    struct queue_receipt receipt = {.receipt = leased.messages[index].receipt};
    struct queue_call call = {.operation = QUEUE_ACK, .receipts = {&receipt, 1}};
    enum status status = run(&call, queue);
    return status == STATUS_OK ? receipt.status : status;
}

TEST(a_clock_set_back_freezes_neither_leases_nor_delays)
{
    REQUIRE(begin());
    create("q");
    send("q", "a", -1);
    send("q", "b", 20000);
    EXPECT_TEXT(lease("q"), "a");
    REQUIRE(restart(1000000 - 86400));
    EXPECT_TEXT(lease("q"), "");
    pass(19);
    EXPECT_TEXT(lease("q"), "");
    pass(1);
    EXPECT_TEXT(lease("q"), "b");
    pass(10);
    EXPECT_TEXT(lease("q"), "a");
    EXPECT_STATUS(ack("q", 0), STATUS_OK, failure);
    end();
}

TEST(a_lease_is_still_held_after_a_clock_set_back)
{
    REQUIRE(begin());
    create("q.fifo");
    send("q.fifo", "a", -1);
    send("q.fifo", "b", -1);
    EXPECT_TEXT(lease("q.fifo"), "ab");
    struct queue_lease before = leased;
    REQUIRE(restart(1));
    EXPECT_TEXT(lease("q.fifo"), "");
    leased = before; /* in the arena, which is the test's */
    EXPECT_STATUS(ack("q.fifo", 0), STATUS_OK, failure);
    EXPECT_STATUS(ack("q.fifo", 1), STATUS_OK, failure);
    pass(31);
    EXPECT_TEXT(lease("q.fifo"), "");
    end();
}

TEST(a_clock_set_back_neither_ends_nor_stretches_deduplication)
{
    REQUIRE(begin());
    create("q.fifo");
    EXPECT(!send("q.fifo", "a", -1));
    pass(200);
    EXPECT(!send("q.fifo", "b", -1)); /* notes the time */
    REQUIRE(restart(5));
    pass(99);
    EXPECT(send("q.fifo", "a", -1));
    pass(2);
    EXPECT(!send("q.fifo", "a", -1));
    EXPECT(send("q.fifo", "b", -1));
    pass(200);
    EXPECT(!send("q.fifo", "b", -1));
    end();
}

TEST(retention_counts_the_time_that_the_queue_has_seen)
{
    struct queue_call call = {.operation = QUEUE_CREATE};
    REQUIRE(begin());
    queue_settings_init(&call.description.settings, false);
    call.description.settings.retention_s = 60;
    EXPECT_STATUS(run(&call, "q"), STATUS_OK, failure);
    send("q", "a", -1);
    REQUIRE(restart(1000));
    pass(59);
    EXPECT_TEXT(lease("q"), "a");
    pass(31);
    EXPECT_TEXT(lease("q"), "");
    end();
}

/* At worst something comes twice; a group keeps its order, and the first worker finds out. */
TEST(a_clock_set_forward_ends_leases_early_and_keeps_order)
{
    REQUIRE(begin());
    create("q.fifo");
    create("q");
    send("q", "x", -1);
    send("q.fifo", "a", -1);
    send("q.fifo", "b", -1);
    EXPECT_TEXT(lease("q"), "x");
    EXPECT_TEXT(lease("q.fifo"), "ab");
    struct queue_lease before = leased;
    REQUIRE(restart(1000000 + 31));
    EXPECT_TEXT(lease("q"), "x");
    leased = before;
    EXPECT_STATUS(ack("q.fifo", 0), STATUS_FAILED_PRECONDITION, failure);
    EXPECT_TEXT(lease("q.fifo"), "ab");
    EXPECT_INT(leased.messages[0].receive_count, 2);
    EXPECT_STATUS(ack("q.fifo", 0), STATUS_OK, failure);
    EXPECT_STATUS(ack("q.fifo", 1), STATUS_OK, failure);
    pass(31);
    EXPECT_TEXT(lease("q.fifo"), "");
    end();
}

TEST(each_start_with_an_older_clock_goes_on)
{
    REQUIRE(begin());
    create("q");
    send("q", "a", -1);
    uint64_t last_ms = 0;
    for (uint64_t i = 1; i <= 5; i++) {
        uint64_t now_ms = database_now_ms(queue_store_database(queues));
        EXPECT(now_ms >= last_ms);
        last_ms = now_ms;
        pass(31);
        EXPECT_TEXT(lease("q"), "a");
        REQUIRE(restart(1000000 - i * 1000));
    }
    EXPECT(last_ms >= 1000000000 + 4 * 31000);
    end();
}
