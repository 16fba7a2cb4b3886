/*
 * A world of one test, for the programs of this directory: a clock that moves when it is told to,
 * so that five minutes cost nothing; queues that can be closed and opened again; and short ways to
 * say things.
 */
#ifndef CONFORM_QUEUE_WORLD_H
#define CONFORM_QUEUE_WORLD_H

#include "base/mem.h"
#include "kind.h"
#include "test.h"

#include <stdatomic.h>

/* --- a world of one test -----------------------------------------------------------------------
 */

static _Atomic uint64_t passed_ns;

static UNUSED uint64_t test_monotonic(struct clock *clock UNUSED)
{
    return 1000 * NS_PER_S + passed_ns;
}

static UNUSED uint64_t test_wall(struct clock *clock UNUSED)
{
    return UINT64_C(1700000000) * NS_PER_S + passed_ns;
}

static struct clock test_clock = {test_monotonic, test_wall};

static UNUSED void pass(double seconds)
{
    passed_ns += (uint64_t)(seconds * 1e9);
    if (kind_pass) kind_pass(seconds);
}

static struct queue_store *queues;
static struct arena arena;
static struct error failure;

static UNUSED bool begin(void)
{
    arena_init(&arena, 256 << 20);
    if (!kind_begin()) return false;
    enum status status = kind_open(&test_clock, &queues, &failure);
    EXPECT_STATUS(status, STATUS_OK, failure);
    return status == STATUS_OK;
}

/* The first line of a test: a world for it, or its end where the kind cannot do what it is about.
 */
#define BEGIN()                                                                                    \
    do {                                                                                           \
        const char *row_ = __func__ + strlen("test_run_");                                         \
        const char *why_ = kind_skips ? kind_skips(row_) : NULL;                                   \
        if (why_) (void)printf("skipped %s: %s\n", row_, why_);                                    \
        if (why_) return;                                                                          \
        REQUIRE(begin());                                                                          \
    } while (0)

static UNUSED bool reopen(void)
{
    kind_close(queues);
    enum status status = kind_open(&test_clock, &queues, &failure);
    EXPECT_STATUS(status, STATUS_OK, failure);
    return status == STATUS_OK;
}

static UNUSED void end(void)
{
    kind_close(queues);
    kind_end();
    arena_clear(&arena);
}

static UNUSED enum status run(struct queue_call *call, const char *queue)
{
    call->queue = str_of(queue);
    call->arena = &arena;
    return queue_run(queues, call, &failure);
}

/* --- short ways to say things --------------------------------------------------------------------
 */

static UNUSED struct queue_settings settings_of(const char *queue)
{
    struct queue_settings settings;
    queue_settings_init(&settings, str_ends_with(str_of(queue), STR(".fifo")));
    return settings;
}

static UNUSED enum status create_with(const char *queue, const struct queue_settings *settings)
{
    struct queue_call call = {.operation = QUEUE_CREATE};
    call.description.settings = *settings;
    return run(&call, queue);
}

static UNUSED enum status create(const char *queue)
{
    struct queue_settings settings = settings_of(queue);
    return create_with(queue, &settings);
}

/* A queue with a dead-letter queue, which is made first. */
static UNUSED void create_with_dead(const char *queue, const char *dead, uint32_t receives)
{
    struct queue_settings settings = settings_of(queue);
    (void)snprintf(settings.dead_letter, sizeof settings.dead_letter, "%s", dead);
    settings.max_receive_count = receives;
    EXPECT_STATUS(create(dead), STATUS_OK, failure);
    EXPECT_STATUS(create_with(queue, &settings), STATUS_OK, failure);
}

static UNUSED struct queue_sent send_message(const char *queue,
                                             const struct queue_new_message *message)
{
    struct queue_sent sent = {0};
    struct queue_call call = {.operation = QUEUE_SEND,
                              .send = {.messages = message, .count = 1, .sent = &sent}};
    enum status status = run(&call, queue);
    if (status != STATUS_OK) sent.status = status;
    return sent;
}

/* "g:body" goes to group g, with the body as its deduplication id. */
static UNUSED struct queue_sent send(const char *queue, const char *text)
{
    struct queue_new_message message = {.body = str_of(text), .delay_ms = -1};
    const char *colon = strchr(text, ':');
    if (str_ends_with(str_of(queue), STR(".fifo"))) {
        message.group = (struct str){text, colon ? (size_t)(colon - text) : 1};
        message.deduplication_id = str_of(text);
    }
    struct queue_sent sent = send_message(queue, &message);
    EXPECT(sent.status == STATUS_OK);
    return sent;
}

/* What was leased last. */
static UNUSED struct queue_message *held;
static UNUSED size_t held_count;

static UNUSED const char *lease_for(const char *queue, uint32_t count, int64_t visibility_ms,
                                    int64_t wait_ms)
{
    static char bodies[4096];
    size_t size = 0;
    struct queue_call call = {
        .operation = QUEUE_LEASE,
        .lease = {.count_max = count, .visibility_ms = visibility_ms, .wait_ms = wait_ms}};
    EXPECT_STATUS(run(&call, queue), STATUS_OK, failure);
    held = call.lease.messages;
    held_count = call.lease.count;
    bodies[0] = '\0';
    for (size_t i = 0; i < held_count; i++)
        size += (size_t)snprintf(bodies + size, sizeof bodies - size, "%s%.*s", i ? " " : "",
                                 STR_ARGS(held[i].body));
    return bodies;
}

/* The bodies of up to 10 leased messages. */
static UNUSED const char *lease(const char *queue)
{
    return lease_for(queue, 10, -1, 0);
}

static UNUSED enum status by_receipt(enum queue_operation operation, const char *queue,
                                     struct str receipt, int64_t visibility_ms)
{
    struct queue_receipt one = {.receipt = receipt, .visibility_ms = visibility_ms};
    struct queue_call call = {.operation = operation, .receipts = {&one, 1}};
    enum status status = run(&call, queue);
    return status == STATUS_OK ? one.status : status;
}

static UNUSED enum status ack(const char *queue, size_t index)
{
    return by_receipt(QUEUE_ACK, queue, held[index].receipt, 0);
}

static UNUSED enum status extend(const char *queue, size_t index, double seconds)
{
    return by_receipt(QUEUE_EXTEND, queue, held[index].receipt, (int64_t)(seconds * 1000));
}

static UNUSED struct queue_depth depth_of(const char *queue)
{
    struct queue_call call = {.operation = QUEUE_DEPTH};
    EXPECT_STATUS(run(&call, queue), STATUS_OK, failure);
    return call.depth;
}

static UNUSED void expect_depth(const char *queue, uint64_t visible, uint64_t in_flight,
                                uint64_t delayed)
{
    struct queue_depth depth = depth_of(queue);
    EXPECT_INT(depth.visible, visible);
    EXPECT_INT(depth.in_flight, in_flight);
    EXPECT_INT(depth.delayed, delayed);
}

#endif
