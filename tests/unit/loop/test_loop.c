#include "loop/loop.c"
#include "test.h"

static int ticks;
static void tick(struct loop_timer *timer UNUSED)
{
    ticks++;
}

TEST(a_timer_fires_once)
{
    struct loop *loop;
    struct error err;
    struct clock_fake clock;
    clock_fake_init(&clock, 0);
    EXPECT_STATUS(loop_new(&(struct loop_options){.clock = &clock.clock}, &loop, &err), STATUS_OK,
                  err);
    struct loop_timer timer = {.on_time = tick};
    EXPECT(loop_timer_start(loop, &timer, clock.monotonic + 5));
    loop_turn(loop, 0);
    EXPECT_INT(ticks, 0);
    clock_fake_advance(&clock, 5);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    EXPECT_INT(ticks, 1);
    loop_free(loop);
}
