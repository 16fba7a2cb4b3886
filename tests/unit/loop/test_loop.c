#include "loop/loop.c"
#include "test.h"

#include <unistd.h>

struct fixture {
    struct clock_fake clock;
    struct loop *loop;
    char order[256]; /* what happened, one letter each */
    size_t order_size;
};

static struct fixture *current;

static void note(char what)
{
    if (current->order_size + 1 < sizeof current->order)
        current->order[current->order_size++] = what;
    current->order[current->order_size] = '\0';
}

static void open_fixture(struct fixture *f)
{
    struct error err;
    *f = (struct fixture){0};
    current = f;
    clock_fake_init(&f->clock, 0);
    if (loop_new(&(struct loop_options){.clock = &f->clock.clock}, &f->loop, &err) != STATUS_OK)
        abort();
}

/* --- timers -------------------------------------------------------------------------------------
 */

struct named_timer {
    struct loop_timer timer;
    char name;
};

static void on_named(struct loop_timer *timer)
{
    note(CONTAINER_OF(timer, struct named_timer, timer)->name);
}

TEST(timers_fire_once_in_order)
{
    struct fixture f;
    open_fixture(&f);
    struct named_timer timers[] = {
        {{.on_time = on_named}, 'c'}, {{.on_time = on_named}, 'a'}, {{.on_time = on_named}, 'b'}};
    uint64_t start = loop_now_ns(f.loop);
    for (size_t i = 0; i < 3; i++)
        EXPECT(loop_timer_start(f.loop, &timers[i].timer, start + 10 * (1 + (i + 2) % 3)));
    clock_fake_advance(&f.clock, 9);
    loop_turn(f.loop, 0);
    EXPECT_TEXT(f.order, "");
    clock_fake_advance(&f.clock, 11);
    loop_turn(f.loop, 0);
    EXPECT_TEXT(f.order, "ab");
    EXPECT(!loop_timer_is_started(&timers[1].timer));
    loop_timer_stop(f.loop, &timers[1].timer);
    clock_fake_advance(&f.clock, 100);
    loop_turn(f.loop, 0);
    loop_turn(f.loop, 0);
    EXPECT_TEXT(f.order, "abc");
    loop_free(f.loop);
}

enum { MODEL_TIMERS = 300 };

/* The heap against a plain array. */
TEST(timers_agree_with_a_model)
{
    struct timer_heap heap = {0};
    struct loop_timer timers[MODEL_TIMERS] = {0};
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int round = 0; round < 20000; round++) {
        struct loop_timer *timer = &timers[prng_below(&prng, MODEL_TIMERS)];
        if (prng_below(&prng, 3))
            EXPECT(timer_heap_set(&heap, timer, prng_below(&prng, 1000)));
        else
            timer_heap_remove(&heap, timer);
        uint64_t earliest = UINT64_MAX;
        uint32_t count = 0;
        for (size_t i = 0; i < MODEL_TIMERS; i++) {
            if (!timers[i].position) continue;
            count++;
            earliest = MIN(earliest, timers[i].when_ns);
        }
        struct loop_timer *first = timer_heap_first(&heap);
        EXPECT_INT(heap.count, count);
        EXPECT((first ? first->when_ns : UINT64_MAX) == earliest);
    }
    timer_heap_clear(&heap);
}

static void on_restart(struct loop_timer *timer)
{
    note('r');
    (void)loop_timer_start(current->loop, timer, timer->when_ns);
}

TEST(a_timer_that_restarts_itself_does_not_starve_the_turn)
{
    struct fixture f;
    open_fixture(&f);
    struct loop_timer timer = {.on_time = on_restart};
    EXPECT(loop_timer_start(f.loop, &timer, 0));
    loop_turn(f.loop, UINT64_MAX);
    EXPECT(f.loop->hurry);
    loop_free(f.loop);
}

/* --- the order of a turn ------------------------------------------------------------------------
 */

static void hook_run(void *context UNUSED)
{
    note('R');
}
static void hook_write(void *context UNUSED)
{
    note('W');
}
static void hook_cleanup(void *context UNUSED)
{
    note('C');
}
static void on_readable(struct loop_watch *watch, uint32_t events UNUSED)
{
    char byte;
    (void)!read(watch->descriptor, &byte, 1);
    note('e');
}
static void on_mail(struct mail *mail UNUSED)
{
    note('m');
}

TEST(a_turn_reads_runs_writes_cleans)
{
    struct fixture f;
    struct error err;
    int ends[2];
    open_fixture(&f);
    REQUIRE(pipe(ends) == 0);
    struct loop_watch watch;
    struct mail mail = {.receive = on_mail};
    loop_hook_add(f.loop, LOOP_PHASE_CLEANUP, hook_cleanup, NULL);
    loop_hook_add(f.loop, LOOP_PHASE_WRITE, hook_write, NULL);
    loop_hook_add(f.loop, LOOP_PHASE_RUN, hook_run, NULL);
    EXPECT_STATUS(loop_watch_add(f.loop, &watch, ends[0], LOOP_READABLE, on_readable, &err),
                  STATUS_OK, err);
    (void)!write(ends[1], "xy", 2);
    loop_post(f.loop, &mail);
    loop_turn(f.loop, 0);
    EXPECT_TEXT(f.order, "emRWC");
    loop_watch_remove(f.loop, &watch);
    loop_watch_remove(f.loop, &watch);
    loop_hook_remove(f.loop, LOOP_PHASE_WRITE, hook_write, NULL);
    loop_turn(f.loop, 0);
    EXPECT_TEXT(f.order, "emRWCRC");
    (void)close(ends[0]);
    (void)close(ends[1]);
    loop_free(f.loop);
}

static int rounds;
static void run_again_hook(void *context)
{
    rounds++;
    if (rounds < *(int *)context) loop_run_again(current->loop);
}

TEST(running_again_is_bounded)
{
    struct fixture f;
    int wanted = 3;
    open_fixture(&f);
    rounds = 0;
    loop_hook_add(f.loop, LOOP_PHASE_RUN, run_again_hook, &wanted);
    loop_turn(f.loop, 0);
    EXPECT_INT(rounds, 3);
    EXPECT(!f.loop->hurry);
    rounds = 0;
    wanted = 1000000;
    loop_turn(f.loop, 0);
    EXPECT_INT(rounds, LOOP_ROUNDS_MAX);
    EXPECT(f.loop->hurry);
    loop_free(f.loop);
}

/* --- descriptors --------------------------------------------------------------------------------
 */

static struct loop_watch *victim;
static void remove_other(struct loop_watch *watch, uint32_t events UNUSED)
{
    note('x');
    loop_watch_remove(current->loop, watch);
    if (victim) loop_watch_remove(current->loop, victim);
}

/* Both are ready in one turn; the first handler removes and frees the second. */
TEST(a_removed_watch_gets_no_event_of_the_same_turn)
{
    struct fixture f;
    struct error err;
    int ends[2][2];
    struct loop_watch watches[2];
    open_fixture(&f);
    for (int i = 0; i < 2; i++) {
        REQUIRE(pipe(ends[i]) == 0);
        (void)!write(ends[i][1], "x", 1);
        EXPECT_STATUS(
            loop_watch_add(f.loop, &watches[i], ends[i][0], LOOP_READABLE, remove_other, &err),
            STATUS_OK, err);
    }
    victim = &watches[1];
    loop_turn(f.loop, 0);
    loop_turn(f.loop, 0);
    EXPECT_TEXT(f.order, "x");
    victim = NULL;
    for (int i = 0; i < 2; i++) {
        (void)close(ends[i][0]);
        (void)close(ends[i][1]);
    }
    loop_free(f.loop);
}

/* --- signals, stopping, waiting -----------------------------------------------------------------
 */

static void on_signal(void *context, int signal_number)
{
    note(signal_number == SIGUSR1 ? '1' : '2');
    loop_stop(context);
}

TEST(signals_arrive_in_a_turn)
{
    struct fixture f;
    struct error err;
    open_fixture(&f);
    EXPECT_STATUS(loop_signal_add(f.loop, SIGUSR1, on_signal, f.loop, &err), STATUS_OK, err);
    EXPECT_STATUS(loop_signal_add(f.loop, SIGUSR2, on_signal, f.loop, &err), STATUS_OK, err);
    (void)raise(SIGUSR2);
    loop_run(f.loop);
    EXPECT_TEXT(f.order, "2");
    loop_free(f.loop);
}

static void stop_on_time(struct loop_timer *timer UNUSED)
{
    note('t');
    loop_stop(current->loop);
}

/* By the real clock: it neither returns early nor sleeps to the next millisecond for ever. */
TEST(waiting_ends_when_the_timer_is_due)
{
    for (uint64_t busy = 0; busy <= 50 * NS_PER_US; busy += 50 * NS_PER_US) {
        struct fixture f = {0};
        struct error err;
        current = &f;
        EXPECT_STATUS(loop_new(&(struct loop_options){.busy_poll_ns = busy}, &f.loop, &err),
                      STATUS_OK, err);
        struct loop_timer timer = {.on_time = stop_on_time};
        uint64_t start = clock_monotonic_ns();
        EXPECT(loop_timer_start(f.loop, &timer, start + 2 * NS_PER_MS));
        loop_run(f.loop);
        EXPECT(clock_monotonic_ns() - start >= 2 * NS_PER_MS);
        EXPECT_TEXT(f.order, "t");
        loop_free(f.loop);
    }
}

TEST(mail_left_over_is_received_at_the_end)
{
    struct fixture f;
    open_fixture(&f);
    struct mail mail = {.receive = on_mail};
    loop_post(f.loop, &mail);
    loop_free(f.loop);
    EXPECT_TEXT(f.order, "m");
}
