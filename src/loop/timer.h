/*
 * The timers of one loop: a heap with four children per node, whose nodes know their place, so that
 * stopping one needs no search. Private to the loop room.
 *
 *            1
 *      2  3  4  5          children of i: 4i-2 .. 4i+1, parent: (i+2)/4
 *   6 7 8 9  ...
 */
#ifndef LOOP_TIMER_H
#define LOOP_TIMER_H

#include "loop/loop.h"

struct timer_heap {
    struct loop_timer **nodes; /* from 1; [0] is unused */
    uint32_t count;
    uint32_t capacity;
};

void timer_heap_clear(struct timer_heap *heap);

/* False at LOOP_TIMERS_MAX. Moves a timer that is in the heap. */
bool timer_heap_set(struct timer_heap *heap, struct loop_timer *timer, uint64_t when_ns);
void timer_heap_remove(struct timer_heap *heap, struct loop_timer *timer);

/* The one that is due first, NULL if there is none. */
static inline struct loop_timer *timer_heap_first(const struct timer_heap *heap)
{
    return heap->count ? heap->nodes[1] : NULL;
}

#endif
