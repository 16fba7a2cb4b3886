/*
 * An arena: many small allocations, released together. One per request, per batch, per parse.
 *
 *   struct arena arena;
 *   arena_init(&arena, 16 MiB);
 *   char *name = arena_try_new(&arena, size);   // NULL: the ceiling is reached
 *   arena_clear(&arena);                       // everything above is gone
 *
 * The first chunk lies inside a lazily made block that arena_reset keeps, so that an arena used
 * again and again stops allocating. Memory is 16-byte aligned unless asked otherwise. One thread.
 *
 *   +-------------+     +---------------+
 *   | chunk (old) | <-- | chunk (newest)|   newest is filled from `next` to `end`
 *   +-------------+     +---------------+
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/str.h"

struct arena_chunk;

/* Called once when the arena is reset or cleared, newest first. */
typedef void arena_release_function(void *context);

struct arena_hook {
    struct arena_hook *older;
    arena_release_function *release;
    void *context;
};

struct arena {
    char *next;
    char *end;
    struct arena_chunk *newest;
    struct arena_hook *hooks;
    size_t used; /* bytes of all chunks */
    size_t ceiling;
};

/* The caller's memory; allocates nothing yet. `ceiling` bounds the bytes of all chunks together. */
void arena_init(struct arena *arena, size_t ceiling);

/* Runs the hooks and frees all but one small chunk. */
void arena_reset(struct arena *arena);

/* Runs the hooks and frees everything. The arena may be used again. */
void arena_clear(struct arena *arena);

/* NULL when the ceiling is reached or the system has no memory. `alignment` is a power of two. */
void *arena_try_aligned_slow(struct arena *arena, size_t size, size_t alignment) FALLIBLE;

static inline FALLIBLE void *arena_try_aligned(struct arena *arena, size_t size, size_t alignment)
{
    uintptr_t start = ((uintptr_t)arena->next + alignment - 1) & ~(uintptr_t)(alignment - 1);
    if (UNLIKELY(start > (uintptr_t)arena->end || size > (uintptr_t)arena->end - start))
        return arena_try_aligned_slow(arena, size, alignment);
    char *memory = arena->next + (start - (uintptr_t)arena->next);
    arena->next = memory + size;
    return memory;
}

/* As above, 16-byte aligned, not zeroed. */
static inline FALLIBLE void *arena_try_new(struct arena *arena, size_t size)
{
    return arena_try_aligned(arena, size, 16);
}

/* `count` elements, zeroed; NULL also if the product overflows. */
void *arena_try_zeroed(struct arena *arena, size_t count, size_t size) FALLIBLE;

/* A copy of `text` with a NUL behind it; data is NULL if there was no room. */
struct str arena_try_copy(struct arena *arena, struct str text) FALLIBLE;

/* Has `release(context)` run when the arena is reset or cleared. False if there was no room. */
bool arena_try_hook(struct arena *arena, arena_release_function *release, void *context) FALLIBLE;

#define ARENA_TRY_ARRAY(arena, type, count)                                                        \
    ((type *)arena_try_zeroed((arena), (count), sizeof(type)))

#endif
