#include "base/counter.h"
#include "test.h"

#include <pthread.h>

enum { TURNS = 20000 };

static struct counter shared;

static void *count(void *unused)
{
    (void)unused;
    for (int i = 0; i < TURNS; i++) {
        counter_add(&shared, 3);
        counter_subtract(&shared, 1);
    }
    return NULL;
}

/* ThreadSanitizer looks on. */
TEST(others_read_while_one_writes)
{
    pthread_t writer;
    counter_set(&shared, 0);
    REQUIRE(pthread_create(&writer, NULL, count, NULL) == 0);
    uint64_t seen = 0;
    for (int i = 0; i < TURNS; i++) {
        uint64_t now = counter_get(&shared);
        EXPECT(now <= 2 * TURNS + 1 && now + 1 >= seen); /* one subtraction back at most */
        seen = now;
    }
    (void)pthread_join(writer, NULL);
    EXPECT_INT(counter_get(&shared), 2 * TURNS);
}

TEST(goes_down_to_zero)
{
    struct counter open = {0};
    counter_add(&open, 2);
    counter_subtract(&open, 1);
    EXPECT_INT(counter_get(&open), 1);
    counter_subtract(&open, 1);
    EXPECT_INT(counter_get(&open), 0);
}
