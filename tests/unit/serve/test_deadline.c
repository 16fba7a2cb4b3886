#include "serve/deadline.c"
#include "test.h"

enum { COUNT = 300 };

static const struct deadline *earliest(const struct deadline *all)
{
    const struct deadline *found = NULL;
    for (size_t i = 0; i < COUNT; i++)
        if (all[i].place && (!found || all[i].at_ns < found->at_ns)) found = &all[i];
    return found;
}

TEST(the_first_is_always_the_earliest)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    static struct deadline all[COUNT];
    struct deadlines deadlines;
    deadlines_init(&deadlines);
    EXPECT(deadlines_first(&deadlines) == NULL);
    for (int step = 0; step < 20000; step++) {
        struct deadline *one = &all[prng_below(&prng, COUNT)];
        if (prng_below(&prng, 3))
            deadlines_set(&deadlines, one, prng_below(&prng, 1000));
        else
            deadlines_remove(&deadlines, one);
        const struct deadline *first = deadlines_first(&deadlines), *expected = earliest(all);
        REQUIRE((first == NULL) == (expected == NULL));
        if (first) EXPECT(first->at_ns == expected->at_ns);
    }
    uint64_t before = 0;
    while (deadlines_first(&deadlines)) {
        struct deadline *first = deadlines_first(&deadlines);
        EXPECT(first->at_ns >= before);
        before = first->at_ns;
        deadlines_remove(&deadlines, first);
        EXPECT(first->place == 0);
    }
    deadlines_clear(&deadlines);
}
