/*
 * The calls of a lane that have a time to be looked at: a binary heap of pointers, the earliest
 * first. A call knows its place, so it leaves in O(log n). One thread.
 */
#ifndef SERVE_DEADLINE_H
#define SERVE_DEADLINE_H

#include "base/base.h"

/* Part of what has a deadline. `place` is 0 while it is in no heap: zeroed is initialised. */
struct deadline {
    uint64_t at_ns;
    uint32_t place;
};

struct deadlines {
    struct deadline **heap; /* heap[1..count] */
    uint32_t count;
    uint32_t capacity;
};

void deadlines_init(struct deadlines *deadlines);
void deadlines_clear(struct deadlines *deadlines);

/* Adds it, or moves it if it is there already. */
void deadlines_set(struct deadlines *deadlines, struct deadline *deadline, uint64_t at_ns);

/* Takes it out; nothing happens if it is not in. */
void deadlines_remove(struct deadlines *deadlines, struct deadline *deadline);

/* The earliest, NULL if there is none. */
static inline struct deadline *deadlines_first(const struct deadlines *deadlines)
{
    return deadlines->count ? deadlines->heap[1] : NULL;
}

#endif
