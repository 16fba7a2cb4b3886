/* A heap of timers. */
#include "loop/timer.h"

#include "base/mem.h"

enum { CAPACITY_FIRST = 64 };

void timer_heap_clear(struct timer_heap *heap)
{
    for (uint32_t i = 1; i <= heap->count; i++) heap->nodes[i]->position = 0;
    mem_free(heap->nodes);
    *heap = (struct timer_heap){0};
}

static void place(struct timer_heap *heap, struct loop_timer *timer, uint32_t position)
{
    heap->nodes[position] = timer;
    timer->position = position;
}

static void move_up(struct timer_heap *heap, struct loop_timer *timer, uint32_t position)
{
    while (position > 1) {
        uint32_t parent = (position + 2) / 4;
        if (heap->nodes[parent]->when_ns <= timer->when_ns) break;
        place(heap, heap->nodes[parent], position);
        position = parent;
    }
    place(heap, timer, position);
}

/* Of the children from `first` on, the one due first. */
static uint32_t earliest_child(const struct timer_heap *heap, uint32_t first)
{
    uint32_t earliest = first;
    uint32_t last = MIN(first + 3, heap->count);
    for (uint32_t i = first + 1; i <= last; i++)
        if (heap->nodes[i]->when_ns < heap->nodes[earliest]->when_ns) earliest = i;
    return earliest;
}

static void move_down(struct timer_heap *heap, struct loop_timer *timer, uint32_t position)
{
    for (uint32_t first; (first = 4 * position - 2) <= heap->count;) {
        uint32_t child = earliest_child(heap, first);
        if (heap->nodes[child]->when_ns >= timer->when_ns) break;
        place(heap, heap->nodes[child], position);
        position = child;
    }
    place(heap, timer, position);
}

static void settle(struct timer_heap *heap, struct loop_timer *timer, uint32_t position)
{
    move_up(heap, timer, position);
    if (timer->position == position) move_down(heap, timer, position);
}

static bool make_room(struct timer_heap *heap)
{
    if (heap->count + 1 < heap->capacity) return true;
    if (heap->count >= LOOP_TIMERS_MAX) return false;
    heap->capacity = heap->capacity ? heap->capacity * 2 : CAPACITY_FIRST;
    heap->nodes = mem_resize(heap->nodes, heap->capacity * sizeof(struct loop_timer *));
    return true;
}

bool timer_heap_set(struct timer_heap *heap, struct loop_timer *timer, uint64_t when_ns)
{
    if (!timer->position && !make_room(heap)) return false;
    timer->when_ns = when_ns;
    settle(heap, timer, timer->position ? timer->position : ++heap->count);
    return true;
}

void timer_heap_remove(struct timer_heap *heap, struct loop_timer *timer)
{
    uint32_t position = timer->position;
    if (!position) return;
    assert(position <= heap->count && heap->nodes[position] == timer);
    struct loop_timer *last = heap->nodes[heap->count--];
    timer->position = 0;
    if (last != timer) settle(heap, last, position);
}
