/* The only file that reads a clock. */
#include "base/clock.h"

static uint64_t read_clock(clockid_t id)
{
    struct timespec now;
    int result = clock_gettime(id, &now);
    assert(result == 0);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}
uint64_t clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}
uint64_t clock_process_cpu_ns(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

static uint64_t system_monotonic(struct clock *clock UNUSED)
{
    return clock_monotonic_ns();
}
static uint64_t system_wall(struct clock *clock UNUSED)
{
    return clock_wall_ns();
}

struct clock clock_system = {system_monotonic, system_wall};

static uint64_t fake_monotonic(struct clock *clock)
{
    return CONTAINER_OF(clock, struct clock_fake, clock)->monotonic;
}

static uint64_t fake_wall(struct clock *clock)
{
    return CONTAINER_OF(clock, struct clock_fake, clock)->wall;
}

void clock_fake_init(struct clock_fake *fake, uint64_t wall_ns)
{
    *fake = (struct clock_fake){{fake_monotonic, fake_wall}, NS_PER_S, wall_ns};
}

void clock_fake_advance(struct clock_fake *fake, uint64_t ns)
{
    fake->monotonic += ns;
    fake->wall += ns;
}

void clock_format_utc(uint64_t wall_ns, char text[CLOCK_TEXT_SIZE])
{
    time_t seconds = (time_t)(wall_ns / NS_PER_S);
    struct tm parts;
    (void)gmtime_r(&seconds, &parts);
    size_t used = strftime(text, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &parts);
    unsigned milliseconds = (unsigned)(wall_ns / NS_PER_MS % 1000);
    (void)snprintf(text + used, CLOCK_TEXT_SIZE - used, ".%03uZ", milliseconds);
}
