/*
 * Queues that several servers and workers share at once: what no suite over one process shows. Each
 * "server" is a database object of its own with its own connections, and child processes where the
 * process matters. What was sent, leased and acknowledged is written down and judged afterwards.
 */
#include "base/mem.h"
#include "cluster.h"
#include "queue/queue_postgres.h"
#include "store/store_postgres.h"
#include "test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void nap(int ms)
{
    (void)nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

/* --- one server --------------------------------------------------------------------------------
 */

struct server {
    struct database *database;
    struct queue_store *queues;
    struct arena arena;
    struct error err;
};

static bool server_open(struct server *server, uint32_t writers)
{
    struct database_options options = {.writer_count = writers};
    arena_init(&server->arena, 64 << 20);
    enum status status =
        postgres_database_open(cluster_address(""), &options, &server->database, &server->err);
    if (status == STATUS_OK)
        status = queue_postgres_new(server->database, &server->queues, &server->err);
    EXPECT_STATUS(status, STATUS_OK, server->err);
    return status == STATUS_OK;
}

static void server_close(struct server *server)
{
    queue_store_free(server->queues);
    database_free(server->database);
    arena_clear(&server->arena);
}

static enum status run(struct server *server, struct queue_call *call, const char *queue)
{
    call->queue = str_of(queue);
    call->arena = &server->arena;
    return queue_run(server->queues, call, &server->err);
}

static void create(const char *queue, double visibility_s)
{
    struct server server;
    struct queue_call call = {.operation = QUEUE_CREATE};
    queue_settings_init(&call.description.settings, str_ends_with(str_of(queue), STR(".fifo")));
    call.description.settings.visibility_s = (uint32_t)visibility_s;
    database_free(cluster_open(&(struct database_options){0}));
    if (!server_open(&server, 1)) return;
    EXPECT_STATUS(run(&server, &call, queue), STATUS_OK, server.err);
    server_close(&server);
}

static bool send_text(struct server *server, const char *queue, const char *group, const char *text)
{
    struct queue_new_message message = {
        .body = str_of(text), .delay_ms = -1, .group = str_of(group)};
    struct queue_sent sent = {0};
    struct queue_call call = {.operation = QUEUE_SEND, .send = {&message, 1, &sent}};
    message.deduplication_id = str_of(text);
    arena_reset(&server->arena);
    return run(server, &call, queue) == STATUS_OK && sent.status == STATUS_OK;
}

/* All messages of the queue; UINT64_MAX: the server is away. */
static uint64_t depth(struct server *server, const char *queue)
{
    struct queue_call call = {.operation = QUEUE_DEPTH};
    if (run(server, &call, queue) != STATUS_OK) return UINT64_MAX;
    return call.depth.visible + call.depth.in_flight + call.depth.delayed;
}

static void expect_empty(const char *queue)
{
    struct server server;
    if (!server_open(&server, 1)) return;
    EXPECT_INT(depth(&server, queue), 0);
    EXPECT_INT(cluster_int(server.database, "SELECT count(*) FROM message"), 0);
    EXPECT_INT(cluster_int(server.database, "SELECT count(*) FROM message_group"), 0);
    server_close(&server);
}

/* --- the history -------------------------------------------------------------------------------
 *
 * Messages are "GROUP:NUMBER"; a group's numbers are sent by one thread, each after the one before
 * was acknowledged. `taken` and `acked` are what the workers did, in the order they did it.
 */

enum {
    GROUPS = 12,
    PER_GROUP = 60,
    WORKERS = 4,
    SENDERS = 4,
    SEND_PATIENCE_S = 90, /* a crashed server recovers slowly on a loaded machine */
};

struct history {
    pthread_mutex_t mutex;
    bool sent[GROUPS][PER_GROUP];      /* the send was acknowledged */
    int leased[GROUPS][PER_GROUP];     /* how often */
    uint64_t acked[GROUPS][PER_GROUP]; /* when the acknowledgement was acknowledged; 0: was not */
    int in_flight[GROUPS];             /* workers that hold messages of it now */
    int next[GROUPS];                  /* the least number that was not acknowledged */
    int seen[GROUPS];                  /* how many numbers were leased at least once */
    int wrong_order, twice_held, after_ack;
    int acked_count;
    _Atomic bool stop;
};

static struct history history;

static void history_begin(void)
{
    memset(&history, 0, sizeof history);
    (void)pthread_mutex_init(&history.mutex, NULL);
}

struct actor {
    pthread_t thread;
    struct server server;
    const char *queue;
    int number;
    bool forgives; /* the database may be away: try again until it is there */
    uint64_t seed;
};

/*
 * Leases of one call, after it. `exact`: none can have run out. Where they can, this thread may
 * have slept so long before it came here that another has leased and acknowledged the same: only
 * what was acknowledged before the call began must not be in it.
 */
static void note_leased(const struct actor *actor, const struct queue_lease *lease,
                        uint64_t begun_ns)
{
    const struct queue_message *messages = lease->messages;
    size_t count = lease->count;
    bool fifo = str_ends_with(str_of(actor->queue), STR(".fifo")), exact = !actor->forgives;
    int last[GROUPS];
    for (int g = 0; g < GROUPS; g++) last[g] = -1;
    (void)pthread_mutex_lock(&history.mutex);
    for (size_t i = 0; i < count; i++) {
        int group = -1, number = -1;
        char text[32] = "";
        memcpy(text, messages[i].body.data, MIN(messages[i].body.size, sizeof text - 1));
        if (sscanf(text, "%d:%d", &group, &number) != 2) continue;
        uint64_t acked_ns = history.acked[group][number];
        if (acked_ns != 0 && (exact || acked_ns < begun_ns)) history.after_ack++;
        if (history.leased[group][number]++ > 0) history.twice_held++;
        if (fifo && number > history.seen[group]) history.wrong_order++;
        history.seen[group] = MAX(history.seen[group], number + 1);
        if (fifo && exact && number != (last[group] < 0 ? history.next[group] : last[group] + 1))
            history.wrong_order++;
        if (fifo && last[group] < 0 && history.in_flight[group]++ > 0) history.twice_held++;
        last[group] = number;
    }
    (void)pthread_mutex_unlock(&history.mutex);
}

static void note_acked(const struct queue_message *messages, size_t count, bool fifo)
{
    bool seen[GROUPS] = {false};
    (void)pthread_mutex_lock(&history.mutex);
    for (size_t i = 0; i < count; i++) {
        int group = -1, number = -1;
        char text[32] = "";
        memcpy(text, messages[i].body.data, MIN(messages[i].body.size, sizeof text - 1));
        if (sscanf(text, "%d:%d", &group, &number) != 2) continue;
        history.acked[group][number] = clock_monotonic_ns();
        history.acked_count++;
        history.next[group] = MAX(history.next[group], number + 1);
        if (fifo && !seen[group]) history.in_flight[group]--;
        seen[group] = true;
    }
    (void)pthread_mutex_unlock(&history.mutex);
}

static void *send_all(void *context)
{
    struct actor *actor = context;
    for (int i = 0; i < PER_GROUP; i++)
        for (int group = actor->number; group < GROUPS; group += SENDERS) {
            char name[16], text[32];
            (void)snprintf(name, sizeof name, "g%d", group);
            (void)snprintf(text, sizeof text, "%d:%d", group, i);
            bool sent = send_text(&actor->server, actor->queue, name, text);
            /* Not known whether it was kept: sent again, its id makes one of two. */
            uint64_t end_ns = clock_monotonic_ns() + SEND_PATIENCE_S * NS_PER_S;
            while (!sent && actor->forgives && clock_monotonic_ns() < end_ns) {
                nap(20);
                sent = send_text(&actor->server, actor->queue, name, text);
            }
            history.sent[group][i] = sent;
            if (sent) continue;
            /* What would come after it in its group would seem to overtake it. */
            test_failed(__FILE__, __LINE__, "send: %s", actor->server.err.message);
            return NULL;
        }
    return NULL;
}

static enum status acknowledge(struct actor *actor, const struct queue_lease *lease)
{
    struct queue_receipt receipts[16];
    for (size_t i = 0; i < lease->count; i++)
        receipts[i] = (struct queue_receipt){.receipt = lease->messages[i].receipt};
    struct queue_call call = {.operation = QUEUE_ACK, .receipts = {receipts, lease->count}};
    TRY(run(&actor->server, &call, actor->queue));
    for (size_t i = 0; i < lease->count; i++)
        if (receipts[i].status != STATUS_OK)
            return fail(&actor->server.err, receipts[i].status, "%s", receipts[i].reason);
    return STATUS_OK;
}

static void *work(void *context)
{
    struct actor *actor = context;
    struct prng prng;
    bool fifo = str_ends_with(str_of(actor->queue), STR(".fifo"));
    prng_seed(&prng, actor->seed);
    while (!history.stop) {
        arena_reset(&actor->server.arena);
        struct queue_call call = {.operation = QUEUE_LEASE,
                                  .lease = {.count_max = 1 + (uint32_t)prng_below(&prng, 10),
                                            .visibility_ms = -1,
                                            .wait_ms = 100}};
        uint64_t begun_ns = clock_monotonic_ns();
        enum status status = run(&actor->server, &call, actor->queue);
        if (status != STATUS_OK && !actor->forgives)
            test_failed(__FILE__, __LINE__, "lease: %s", actor->server.err.message);
        if (status != STATUS_OK) nap(20);
        if (status != STATUS_OK || call.lease.count == 0) continue;
        note_leased(actor, &call.lease, begun_ns);
        if (prng_below(&prng, 4) == 0) nap((int)prng_below(&prng, 5));
        /* Noted before: the next lease of the group may be noted before this thread goes on. */
        if (!actor->forgives) note_acked(call.lease.messages, call.lease.count, fifo);
        status = acknowledge(actor, &call.lease);
        if (status == STATUS_OK && actor->forgives)
            note_acked(call.lease.messages, call.lease.count, false);
        if (status != STATUS_OK && !actor->forgives)
            test_failed(__FILE__, __LINE__, "ack: %s", actor->server.err.message);
    }
    return NULL;
}

static int acked_count(void)
{
    (void)pthread_mutex_lock(&history.mutex);
    int count = history.acked_count;
    (void)pthread_mutex_unlock(&history.mutex);
    return count;
}

static struct actor workers[WORKERS], senders[SENDERS];

static bool actors_start(const char *queue, bool forgives)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct actor){
            .queue = queue, .number = i, .forgives = forgives, .seed = prng_u64(&prng)};
        if (!server_open(&workers[i].server, 2)) return false;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) return false;
    }
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct actor){.queue = queue, .number = i, .forgives = forgives};
        if (!server_open(&senders[i].server, 1)) return false;
        if (pthread_create(&senders[i].thread, NULL, send_all, &senders[i]) != 0) return false;
    }
    return true;
}

static void senders_end(void)
{
    for (int i = 0; i < SENDERS; i++) (void)pthread_join(senders[i].thread, NULL);
}

static void workers_end(int wanted)
{
    for (int i = 0; i < 6000 && acked_count() < wanted; i++) nap(10);
    history.stop = true;
    for (int i = 0; i < WORKERS; i++) (void)pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < SENDERS; i++) server_close(&senders[i].server);
    for (int i = 0; i < WORKERS; i++) server_close(&workers[i].server);
}

static void many_workers(const char *queue)
{
    history_begin();
    create(queue, 120);
    REQUIRE(actors_start(queue, false));
    senders_end();
    workers_end(GROUPS * PER_GROUP);
    EXPECT_INT(history.acked_count, GROUPS * PER_GROUP);
    EXPECT_INT(history.twice_held, 0);
    EXPECT_INT(history.wrong_order, 0);
    EXPECT_INT(history.after_ack, 0);
    expect_empty(queue);
}

TEST(many_workers_share_a_standard_queue)
{
    many_workers("shared");
}

TEST(many_workers_keep_the_order_of_groups)
{
    many_workers("shared.fifo");
}

/* --- crashes of the server ----------------------------------------------------------------------
 */

/*
 * Leases may run out while the server is away, so messages may come more than once: but all that
 * was acknowledged to a sender comes, and what was acknowledged by a worker does not come back.
 */
static void crash_in_the_middle(const char *queue)
{
    struct server observer;
    history_begin();
    create(queue, 3);
    REQUIRE(server_open(&observer, 1) && actors_start(queue, true));
    for (int crash = 0; crash < 2; crash++) {
        for (int i = 0; i < 500 && acked_count() < 40 * (crash + 1); i++) nap(5);
        EXPECT(cluster_control("restart"));
    }
    senders_end();
    for (int i = 0; i < 3000 && depth(&observer, queue) > 0; i++) nap(20);
    workers_end(0);
    server_close(&observer);
    expect_empty(queue);
    /* An acknowledgement whose commit was cut off may have been kept without anybody's knowing. */
    int unknown = 0, never = 0;
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < PER_GROUP; i++) {
            unknown += history.sent[g][i] && !history.acked[g][i];
            never += history.sent[g][i] && history.leased[g][i] == 0;
        }
    EXPECT(unknown <= 2 * WORKERS * 10);
    EXPECT_INT(never, 0);
    EXPECT_INT(history.wrong_order, 0);
    /* A standard queue forgives an old handle: another worker may have the message by then. */
    if (str_ends_with(str_of(queue), STR(".fifo"))) EXPECT_INT(history.after_ack, 0);
}

TEST(a_crash_of_the_server_loses_nothing_of_a_standard_queue)
{
    crash_in_the_middle("crash");
}

TEST(a_crash_of_the_server_loses_nothing_of_a_fifo_queue)
{
    crash_in_the_middle("crash.fifo");
}

/* --- another process ---------------------------------------------------------------------------
 */

/* In a child process, forked before any thread: sends what comes through the pipe's other end. */
static pid_t fork_sender(const char *queue, int *ret_pipe)
{
    int ends[2];
    if (pipe(ends) != 0) return -1;
    pid_t child = fork();
    if (child != 0) {
        close(ends[0]);
        *ret_pipe = ends[1];
        return child;
    }
    close(ends[1]);
    struct server server;
    char text[16] = "";
    bool good = server_open(&server, 1);
    while (good && read(ends[0], text, sizeof text) > 0)
        good = send_text(&server, queue, "g", text);
    if (good) server_close(&server);
    _exit(good ? 0 : 1);
}

/* A long poll looks by itself after a second or more: a notice is faster by far. */
TEST(a_notice_wakes_a_long_poll_of_another_process)
{
    int pipe_end = -1, child_status = -1, quick = 0;
    struct server server;
    create("noticed", 30);
    pid_t child = fork_sender("noticed", &pipe_end);
    REQUIRE(child > 0 && server_open(&server, 1));
    for (int i = 0; i < 10; i++) {
        char text[16] = "";
        struct queue_call call = {
            .operation = QUEUE_LEASE,
            .lease = {.count_max = 10, .visibility_ms = -1, .wait_ms = 20000}};
        (void)snprintf(text, sizeof text, "%d", i);
        uint64_t start_ns = clock_monotonic_ns();
        REQUIRE(write(pipe_end, text, sizeof text) == (ssize_t)sizeof text);
        EXPECT_STATUS(run(&server, &call, "noticed"), STATUS_OK, server.err);
        EXPECT_INT(call.lease.count, 1);
        quick += clock_monotonic_ns() - start_ns < 700 * NS_PER_MS;
    }
    close(pipe_end);
    server_close(&server);
    EXPECT(waitpid(child, &child_status, 0) == child && child_status == 0);
    EXPECT(quick >= 5); /* on a loaded machine a few may be slow; without notices, all are */
}

/* A worker that is killed in the middle of its work: what it held comes back, once each. */
TEST(a_killed_workers_messages_come_back)
{
    int ends[2];
    char byte;
    struct server server;
    create("killed", 1);
    REQUIRE(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        struct queue_call call = {.operation = QUEUE_LEASE,
                                  .lease = {.count_max = 5, .visibility_ms = -1}};
        bool good = server_open(&server, 1);
        for (int i = 0; i < 5 && good; i++) {
            char text[16];
            (void)snprintf(text, sizeof text, "%d", i);
            good = send_text(&server, "killed", "g", text);
        }
        good = good && run(&server, &call, "killed") == STATUS_OK && call.lease.count == 5;
        (void)!write(ends[1], good ? "y" : "n", 1);
        for (;;) (void)pause();
    }
    REQUIRE(child > 0 && read(ends[0], &byte, 1) == 1 && byte == 'y');
    EXPECT(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    REQUIRE(server_open(&server, 1));
    size_t back = 0;
    for (int i = 0; i < 20 && back < 5; i++) {
        struct queue_call call = {
            .operation = QUEUE_LEASE,
            .lease = {.count_max = 10, .visibility_ms = 60000, .wait_ms = 2000}};
        EXPECT_STATUS(run(&server, &call, "killed"), STATUS_OK, server.err);
        for (size_t j = 0; j < call.lease.count; j++)
            EXPECT_INT(call.lease.messages[j].receive_count, 2);
        back += call.lease.count;
    }
    EXPECT_INT(back, 5);
    server_close(&server);
    close(ends[0]);
    close(ends[1]);
}

/* --- together with the store --------------------------------------------------------------------
 */

static _Atomic int puts_done;

static void put_done(struct store_call *call UNUSED, enum status status UNUSED,
                     const struct error *err UNUSED)
{
    puts_done++;
}

/* A result and its acknowledgement: both, or neither. */
TEST(a_result_is_kept_only_by_who_holds_the_message)
{
    static struct store_call put;
    struct server server;
    struct store *store = NULL;
    struct record record = {.model = STR("m"), .state = RECORD_SUCCEEDED};
    create("together", 30);
    REQUIRE(server_open(&server, 2));
    EXPECT_STATUS(store_postgres_new(server.database, &store, &server.err), STATUS_OK, server.err);
    EXPECT(send_text(&server, "together", "g", "x"));
    struct queue_call call = {.operation = QUEUE_LEASE,
                              .lease = {.count_max = 1, .visibility_ms = -1}};
    EXPECT_STATUS(run(&server, &call, "together"), STATUS_OK, server.err);
    REQUIRE(call.lease.count == 1);
    struct queue_receipt receipt = {.receipt = call.lease.messages[0].receipt, .must_hold = true};
    for (int twice = 0; twice < 2; twice++) {
        struct queue_call ack = {.operation = QUEUE_ACK, .receipts = {&receipt, 1}};
        record_id_make(1700000000000, record.id);
        put = (struct store_call){.operation = STORE_PUT, .done = put_done, .put = {&record, 1}};
        EXPECT_STATUS(store_call_prepare(store, &put, &server.err), STATUS_OK, server.err);
        queue_call_chain(&ack, &put.task);
        EXPECT_STATUS(run(&server, &ack, "together"),
                      twice ? STATUS_FAILED_PRECONDITION : STATUS_OK, server.err);
        while (puts_done <= twice) nap(1);
        struct store_call get = {
            .operation = STORE_GET, .arena = &server.arena, .get = {.id = str_of(record.id)}};
        EXPECT_STATUS(store_run(store, &get, &server.err), twice ? STATUS_NOT_FOUND : STATUS_OK,
                      server.err);
    }
    store_free(store);
    server_close(&server);
}
