/*
 * A number with one writer and any number of readers: what a thread counts and /metrics shows.
 *
 * Only one thread at a time changes it, so counting is a plain load, add and store; any thread may
 * read it at any time and sees some value that it had. It orders nothing else.
 *
 *   counter_add(&server->counters.requests, 1);            // the writer
 *   sum += counter_get(&server->counters.requests);        // anyone
 */
#ifndef BASE_COUNTER_H
#define BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

struct counter {
    _Atomic uint64_t value;
};

static inline uint64_t counter_get(const struct counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

static inline void counter_set(struct counter *counter, uint64_t value)
{
    atomic_store_explicit(&counter->value, value, memory_order_relaxed);
}

static inline void counter_add(struct counter *counter, uint64_t amount)
{
    counter_set(counter, counter_get(counter) + amount);
}

static inline void counter_subtract(struct counter *counter, uint64_t amount)
{
    counter_set(counter, counter_get(counter) - amount);
}

#endif
