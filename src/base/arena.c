/* Arenas: chunks that double in size up to a limit. */
#include "base/arena.h"

#include "base/mem.h"

enum { CHUNK_SIZE_FIRST = 4096, CHUNK_SIZE_MAX = 256 * 1024 };

struct arena_chunk {
    struct arena_chunk *older;
    size_t size; /* of the whole chunk, this header included */
};

_Static_assert(sizeof(struct arena_chunk) % 16 == 0, "a chunk's memory starts 16-byte aligned");

void arena_init(struct arena *arena, size_t ceiling)
{
    *arena = (struct arena){.ceiling = ceiling};
}

static void run_hooks(struct arena *arena)
{
    while (arena->hooks) {
        struct arena_hook *hook = arena->hooks;
        arena->hooks = hook->older;
        hook->release(hook->context);
    }
}

static void point_at(struct arena *arena, struct arena_chunk *chunk)
{
    arena->newest = chunk;
    arena->next = (char *)(chunk + 1);
    arena->end = (char *)chunk + chunk->size;
}

/* Frees every chunk but `keep`, which may be NULL. */
static void free_chunks(struct arena *arena, struct arena_chunk *keep)
{
    for (struct arena_chunk *chunk = arena->newest; chunk;) {
        struct arena_chunk *older = chunk->older;
        if (chunk != keep) mem_free(chunk);
        chunk = older;
    }
}

void arena_reset(struct arena *arena)
{
    run_hooks(arena);
    struct arena_chunk *first = arena->newest;
    while (first && first->older) first = first->older;
    if (!first || first->size > CHUNK_SIZE_FIRST) {
        arena_clear(arena);
        return;
    }
    if (arena->newest != first) free_chunks(arena, first);
    first->older = NULL;
    arena->used = first->size;
    point_at(arena, first);
}

void arena_clear(struct arena *arena)
{
    run_hooks(arena);
    free_chunks(arena, NULL);
    arena_init(arena, arena->ceiling);
}

static size_t next_chunk_size(const struct arena *arena, size_t needed)
{
    size_t size = arena->newest ? MIN(arena->newest->size * 2, (size_t)CHUNK_SIZE_MAX)
                                : (size_t)CHUNK_SIZE_FIRST;
    return MAX(size, needed);
}

void *arena_try_aligned_slow(struct arena *arena, size_t size, size_t alignment)
{
    size_t needed;
    if (!size_add(size, sizeof(struct arena_chunk) + alignment, &needed)) return NULL;
    if (needed > arena->ceiling || arena->used > arena->ceiling - needed) return NULL;
    size_t chunk_size = MIN(next_chunk_size(arena, needed), arena->ceiling - arena->used);
    struct arena_chunk *chunk = mem_try_new(chunk_size);
    if (!chunk) return NULL;
    *chunk = (struct arena_chunk){.older = arena->newest, .size = chunk_size};
    arena->used += chunk_size;
    point_at(arena, chunk);
    return arena_try_aligned(arena, size, alignment);
}

void *arena_try_zeroed(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    if (!size_multiply(count, size, &total)) return NULL;
    void *memory = arena_try_new(arena, total ? total : 1); /* NULL means no room, nothing else */
    if (memory) memset(memory, 0, total);
    return memory;
}

struct str arena_try_copy(struct arena *arena, struct str text)
{
    char *memory = text.size == SIZE_MAX ? NULL : arena_try_aligned(arena, text.size + 1, 1);
    if (!memory) return (struct str){NULL, 0};
    if (text.size) memcpy(memory, text.data, text.size);
    memory[text.size] = '\0';
    return (struct str){memory, text.size};
}

bool arena_try_hook(struct arena *arena, arena_release_function *release, void *context)
{
    struct arena_hook *hook = arena_try_new(arena, sizeof *hook);
    if (!hook) return false;
    *hook = (struct arena_hook){arena->hooks, release, context};
    arena->hooks = hook;
    return true;
}
