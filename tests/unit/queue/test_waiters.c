/* Long polls wait by queue: a send looks at its own queue's, in the order they came. */
#include "base/mem.h"
#include "queue/queue.c"
#include "test.h"

static struct queue_front *new_front(void)
{
    struct queue_front *front = MEM_NEW(struct queue_front);
    for (size_t i = 0; i < WAITING_BUCKETS; i++) list_init(&front->waiting[i]);
    return front;
}

static void wait_in(struct queue_front *front, struct queue_call *call, struct list *bucket)
{
    list_init(&call->link);
    list_add_last(bucket, &call->link);
    front->waiting_count++;
}

TEST(a_send_looks_at_no_long_poll_of_another_bucket)
{
    struct queue_front *front = new_front();
    struct queue_call *others = mem_new_zeroed(QUEUE_WAITERS_MAX, sizeof *others);
    struct list *own = waiting_in(front, STR("mine"));
    /* Whose names are nowhere: to read one of them would crash. */
    for (size_t i = 0; i < QUEUE_WAITERS_MAX - 1; i++) {
        struct list *bucket = &front->waiting[i % WAITING_BUCKETS];
        if (bucket == own) bucket = &front->waiting[(i + 1) % WAITING_BUCKETS];
        others[i].queue = (struct str){(const char *)(uintptr_t)1, 4};
        wait_in(front, &others[i], bucket);
    }
    struct queue_call call = {.queue = STR("mine")};
    wait_in(front, &call, own);
    struct list taken;
    list_init(&taken);
    take_waiting(front, STR("mine"), 10, &taken);
    EXPECT(list_take_first(&taken) == &call.link);
    EXPECT(list_is_empty(&taken));
    EXPECT_INT(front->waiting_count, QUEUE_WAITERS_MAX - 1);
    take_waiting(front, STR_EMPTY, SIZE_MAX, &taken);
    EXPECT_INT(front->waiting_count, 0);
    while (list_take_first(&taken)) continue;
    mem_free(others);
    mem_free(front);
}

TEST(neighbours_in_a_bucket_are_told_apart_and_the_first_comes_first)
{
    enum { CALLS = 60 };
    struct queue_front *front = new_front();
    static struct queue_call calls[CALLS];
    struct list *bucket = waiting_in(front, STR("mine")), taken;
    list_init(&taken);
    for (int i = 0; i < CALLS; i++) {
        calls[i].queue = i % 3 == 0 ? STR("mine") : i % 3 == 1 ? STR("main") : STR("mine2");
        wait_in(front, &calls[i], bucket);
    }
    take_waiting(front, STR("mine"), 2, &taken);
    EXPECT(list_take_first(&taken) == &calls[0].link);
    EXPECT(list_take_first(&taken) == &calls[3].link);
    EXPECT(list_is_empty(&taken));
    take_waiting(front, STR("mine"), SIZE_MAX, &taken);
    for (int i = 6; i < CALLS; i += 3) EXPECT(list_take_first(&taken) == &calls[i].link);
    EXPECT(list_is_empty(&taken));
    EXPECT_INT(front->waiting_count, CALLS - CALLS / 3);
    take_waiting(front, STR_EMPTY, SIZE_MAX, &taken);
    while (list_take_first(&taken)) continue;
    mem_free(front);
}

TEST(whose_time_is_over_leaves_its_bucket)
{
    struct queue_front *front = new_front();
    struct queue_call calls[3] = {{.queue = STR("a"), .deadline_ns = 100, .look_ns = 50},
                                  {.queue = STR("b"), .deadline_ns = 10, .look_ns = 50},
                                  {.queue = STR("c"), .deadline_ns = 100, .look_ns = 20}};
    struct list over, again;
    list_init(&over);
    list_init(&again);
    front->maintain_at_ns = 1000;
    for (size_t i = 0; i < COUNT_OF(calls); i++)
        wait_in(front, &calls[i], waiting_in(front, calls[i].queue));
    EXPECT_INT(sort_waiting(front, 30, &over, &again), 50);
    EXPECT(list_take_first(&over) == &calls[1].link && list_is_empty(&over));
    EXPECT(list_take_first(&again) == &calls[2].link && list_is_empty(&again));
    EXPECT_INT(front->waiting_count, 1);
    calls[0].cancelled = true;
    EXPECT_INT(sort_waiting(front, 31, &over, &again), 1000);
    EXPECT(list_take_first(&over) == &calls[0].link);
    EXPECT_INT(front->waiting_count, 0);
    mem_free(front);
}
