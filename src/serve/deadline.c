/* A binary heap of deadlines. */
#include "serve/deadline.h"

#include "base/mem.h"

void deadlines_init(struct deadlines *deadlines)
{
    memset(deadlines, 0, sizeof *deadlines);
}

void deadlines_clear(struct deadlines *deadlines)
{
    mem_free(deadlines->heap);
    deadlines_init(deadlines);
}

static void put(struct deadlines *deadlines, uint32_t place, struct deadline *deadline)
{
    deadlines->heap[place] = deadline;
    deadline->place = place;
}

static void sift_up(struct deadlines *deadlines, struct deadline *deadline, uint32_t place)
{
    while (place > 1 && deadlines->heap[place / 2]->at_ns > deadline->at_ns) {
        put(deadlines, place, deadlines->heap[place / 2]);
        place /= 2;
    }
    put(deadlines, place, deadline);
}

static void sift_down(struct deadlines *deadlines, struct deadline *deadline, uint32_t place)
{
    for (;;) {
        uint32_t child = place * 2;
        if (child > deadlines->count) break;
        if (child < deadlines->count &&
            deadlines->heap[child + 1]->at_ns < deadlines->heap[child]->at_ns)
            child++;
        if (deadlines->heap[child]->at_ns >= deadline->at_ns) break;
        put(deadlines, place, deadlines->heap[child]);
        place = child;
    }
    put(deadlines, place, deadline);
}

static void settle(struct deadlines *deadlines, struct deadline *deadline, uint32_t place)
{
    if (place > 1 && deadlines->heap[place / 2]->at_ns > deadline->at_ns)
        sift_up(deadlines, deadline, place);
    else
        sift_down(deadlines, deadline, place);
}

void deadlines_set(struct deadlines *deadlines, struct deadline *deadline, uint64_t at_ns)
{
    deadline->at_ns = at_ns;
    if (deadline->place == 0) {
        if (deadlines->count + 1 >= deadlines->capacity) {
            deadlines->capacity = MAX(UINT32_C(64), deadlines->capacity * 2);
            deadlines->heap =
                mem_resize(deadlines->heap, deadlines->capacity * sizeof *deadlines->heap);
        }
        put(deadlines, ++deadlines->count, deadline);
    }
    settle(deadlines, deadline, deadline->place);
}

void deadlines_remove(struct deadlines *deadlines, struct deadline *deadline)
{
    uint32_t place = deadline->place;
    if (place == 0) return;
    assert(place <= deadlines->count && deadlines->heap[place] == deadline);
    struct deadline *last = deadlines->heap[deadlines->count--];
    deadline->place = 0;
    if (last != deadline) settle(deadlines, last, place);
}
