/*
 * Time. Pure code gets `now` as an argument; the rest asks a clock, which is the system's or, in
 * tests and simulation, one that moves when it is told to.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/base.h"

struct clock {
    /* Nanoseconds since an arbitrary start, never backwards. */
    uint64_t (*monotonic_ns)(struct clock *clock);
    /* Nanoseconds since 1970-01-01 UTC. May jump. */
    uint64_t (*wall_ns)(struct clock *clock);
};

/* The system's clock: static, any thread. */
extern struct clock clock_system;

/* The system's clock at once, for the request path. */
uint64_t clock_monotonic_ns(void);
uint64_t clock_wall_ns(void);

/* CPU time this process has used, user and system together, in nanoseconds. */
uint64_t clock_process_cpu_ns(void);

/* A clock that stands still until it is moved. Initialise with clock_fake_init. */
struct clock_fake {
    struct clock clock;
    uint64_t monotonic;
    uint64_t wall;
};

void clock_fake_init(struct clock_fake *fake, uint64_t wall_ns);
void clock_fake_advance(struct clock_fake *fake, uint64_t ns);

/* "2026-11-22T20:37:00.123Z" into text, which has room for 25 bytes. */
#define CLOCK_TEXT_SIZE 25
void clock_format_utc(uint64_t wall_ns, char text[CLOCK_TEXT_SIZE]);

#endif
