#include "base/arena.c"
#include "test.h"

static int released[4];
static int release_count;

static void note_release(void *context)
{
    released[release_count++ & 3] = *(int *)context;
}

TEST(hooks_run_newest_first_and_once)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    int one = 1, two = 2;
    release_count = 0;
    EXPECT(arena_try_hook(&arena, note_release, &one));
    EXPECT(arena_try_hook(&arena, note_release, &two));
    arena_reset(&arena);
    arena_clear(&arena);
    EXPECT_INT(release_count, 2);
    EXPECT_INT(released[0], 2);
    EXPECT_INT(released[1], 1);
}

TEST(the_ceiling_holds)
{
    struct arena arena;
    arena_init(&arena, 64 * 1024);
    size_t got = 0;
    while (arena_try_new(&arena, 1000)) got += 1000;
    EXPECT(got > 50 * 1000 && got <= 64 * 1024);
    EXPECT(arena.used <= arena.ceiling);
    EXPECT(!arena_try_new(&arena, SIZE_MAX));
    EXPECT(!arena_try_zeroed(&arena, SIZE_MAX / 2, 3));
    arena_clear(&arena);
}

TEST(reset_keeps_one_chunk_and_allocates_nothing_new)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    char *first = arena_try_new(&arena, 100);
    REQUIRE(first != NULL);
    arena_reset(&arena);
    EXPECT(arena_try_new(&arena, 100) == (void *)first);
    arena_clear(&arena);
}

TEST(memory_is_aligned_as_asked)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int i = 0; i < 1000; i++) {
        size_t alignment = (size_t)1 << prng_below(&prng, 8);
        void *memory = arena_try_aligned(&arena, prng_below(&prng, 300), alignment);
        REQUIRE(memory != NULL);
        EXPECT((uintptr_t)memory % alignment == 0);
    }
    arena_clear(&arena);
}

TEST(nothing_is_not_no_room)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    EXPECT(arena_try_zeroed(&arena, 0, 8) != NULL);
    arena_clear(&arena);
}
