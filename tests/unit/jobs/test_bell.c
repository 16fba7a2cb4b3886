#include "jobs/bell.c"
#include "test.h"

static const char one[] = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
static const char two[] = "01ARZ3NDEKTSV4RRFFQ69G5FAW";

struct counted {
    struct bell_listener listener;
    int rings;
};

static void count(struct bell_listener *listener)
{
    CONTAINER_OF(listener, struct counted, listener)->rings++;
}

TEST(a_ring_reaches_who_listens_to_that_id)
{
    struct loop *loop;
    struct error err;
    REQUIRE(loop_new(&(struct loop_options){0}, &loop, &err) == STATUS_OK);
    struct bell *bell = bell_new();
    struct counted a = {.listener.on_ring = count}, b = a, c = a;
    REQUIRE(bell_listen(bell, &a.listener, loop, str_of(one)));
    REQUIRE(bell_listen(bell, &b.listener, loop, str_of(one)));
    REQUIRE(bell_listen(bell, &c.listener, loop, str_of(two)));
    bell_ring(bell, str_of(one));
    bell_ring(bell, str_of(one)); /* before it was heard: the same ring */
    bell_ring(bell, STR("nothing"));
    loop_turn(loop, 0);
    EXPECT_INT(a.rings, 1);
    EXPECT_INT(b.rings, 1);
    EXPECT_INT(c.rings, 0);
    bell_ring(bell, str_of(one));
    loop_turn(loop, 0);
    EXPECT_INT(a.rings, 2);
    EXPECT(bell_leave(bell, &a.listener));
    EXPECT(bell_leave(bell, &b.listener));
    EXPECT(bell_leave(bell, &c.listener));
    bell_free(bell);
    loop_free(loop);
}

TEST(who_leaves_is_told_of_a_ring_on_its_way)
{
    struct loop *loop;
    struct error err;
    REQUIRE(loop_new(&(struct loop_options){0}, &loop, &err) == STATUS_OK);
    struct bell *bell = bell_new();
    struct counted a = {.listener.on_ring = count};
    REQUIRE(bell_listen(bell, &a.listener, loop, str_of(one)));
    bell_ring(bell, str_of(one));
    EXPECT(!bell_leave(bell, &a.listener));
    bell_ring(bell, str_of(one)); /* nobody */
    loop_turn(loop, 0);
    EXPECT_INT(a.rings, 1);
    EXPECT(a.listener.left);
    bell_free(bell);
    loop_free(loop);
}

TEST(listeners_have_a_limit)
{
    struct loop *loop;
    struct error err;
    REQUIRE(loop_new(&(struct loop_options){0}, &loop, &err) == STATUS_OK);
    struct bell *bell = bell_new();
    struct counted *all = MEM_NEW_ARRAY(struct counted, BELL_LISTENERS_MAX + 1);
    for (size_t i = 0; i <= BELL_LISTENERS_MAX; i++) {
        all[i].listener.on_ring = count;
        EXPECT(bell_listen(bell, &all[i].listener, loop, str_of(one)) == (i < BELL_LISTENERS_MAX));
    }
    for (size_t i = 0; i < BELL_LISTENERS_MAX; i++) EXPECT(bell_leave(bell, &all[i].listener));
    mem_free(all);
    bell_free(bell);
    loop_free(loop);
}
