/* Random operations against a plain model of what a queue should do. */
#include "world.h"

enum { WALK_STEPS = 600, WALK_MESSAGES = 400, WALK_GROUPS = 3 };

/* What a message should be like. */
struct walked {
    char body[16];
    int group;
    uint64_t hidden_until; /* of passed_ns / 1e6 */
    struct str receipt;    /* of the last lease */
    bool alive, leased;
    uint32_t receives;
};

static struct walked walked[WALK_MESSAGES];
static int walked_count;

static uint64_t walk_now(void)
{
    return passed_ns / NS_PER_MS;
}

/* In a FIFO queue nothing before it, of its group, is hidden. */
static bool may_come(int index, bool fifo)
{
    if (!walked[index].alive || walked[index].hidden_until > walk_now()) return false;
    for (int i = 0; i < index && fifo; i++)
        if (walked[i].alive && walked[i].group == walked[index].group &&
            walked[i].hidden_until > walk_now())
            return false;
    return true;
}

static int walked_index(struct str body)
{
    for (int i = 0; i < walked_count; i++)
        if (str_equal(body, str_of(walked[i].body))) return i;
    return -1;
}

static void walk_send(const char *queue, struct prng *prng)
{
    struct walked *one = &walked[walked_count];
    if (walked_count == WALK_MESSAGES) return;
    *one = (struct walked){.alive = true, .group = (int)prng_below(prng, WALK_GROUPS)};
    (void)snprintf(one->body, sizeof one->body, "%c:%d", 'a' + one->group, walked_count);
    walked_count++;
    EXPECT(!send(queue, one->body).duplicate);
}

static bool any_may_come(bool fifo)
{
    for (int i = 0; i < walked_count; i++)
        if (may_come(i, fifo)) return true;
    return false;
}

static void walk_lease(const char *queue, struct prng *prng, bool fifo)
{
    int64_t visibility = (int64_t)prng_below(prng, 20) * 1000 + 1000;
    bool some = any_may_come(fifo);
    (void)lease_for(queue, 1 + (uint32_t)prng_below(prng, 6), visibility, 0);
    EXPECT(some == (held_count > 0));
    int before[WALK_GROUPS] = {-1, -1, -1};
    for (size_t i = 0; i < held_count; i++) {
        int index = walked_index(held[i].body);
        REQUIRE(index >= 0);
        struct walked *one = &walked[index];
        /* Judged by the state before this lease: what it took itself hides nothing from it. */
        EXPECT(one->alive && one->hidden_until <= walk_now());
        EXPECT(!fifo || index > before[one->group]);
        for (int j = before[one->group] + 1; fifo && j < index; j++)
            EXPECT(!walked[j].alive || walked[j].group != one->group);
        before[one->group] = index;
        EXPECT_INT(held[i].receive_count, ++one->receives);
        one->receipt = held[i].receipt;
        one->leased = true;
    }
    for (size_t i = 0; i < held_count; i++)
        walked[walked_index(held[i].body)].hidden_until = walk_now() + (uint64_t)visibility;
}

static void walk_receipt(const char *queue, struct prng *prng, bool fifo)
{
    if (walked_count == 0) return;
    struct walked *one = &walked[prng_below(prng, (uint64_t)walked_count)];
    if (!one->leased) return;
    bool holds = one->alive && one->hidden_until > walk_now();
    if (prng_below(prng, 3) > 0) {
        enum status status = by_receipt(QUEUE_ACK, queue, one->receipt, 0);
        EXPECT(status == (holds || !one->alive || !fifo ? STATUS_OK : STATUS_FAILED_PRECONDITION));
        if (status == STATUS_OK) one->alive = false;
        return;
    }
    int64_t visibility = (int64_t)prng_below(prng, 3) * 4000;
    enum status status = by_receipt(QUEUE_EXTEND, queue, one->receipt, visibility);
    EXPECT(status == (!one->alive      ? STATUS_NOT_FOUND
                      : holds || !fifo ? STATUS_OK
                                       : STATUS_FAILED_PRECONDITION));
    if (status == STATUS_OK) one->hidden_until = visibility ? walk_now() + (uint64_t)visibility : 0;
}

static void walk(const char *queue)
{
    struct prng prng;
    uint64_t seed = test_seed();
    bool fifo = str_ends_with(str_of(queue), STR(".fifo"));
    prng_seed(&prng, seed);
    walked_count = 0;
    EXPECT(create(queue) == STATUS_OK);
    for (int i = 0; i < WALK_STEPS; i++) {
        uint64_t what = prng_below(&prng, 100);
        if (what < 35)
            walk_send(queue, &prng);
        else if (what < 60)
            walk_lease(queue, &prng, fifo);
        else if (what < 88)
            walk_receipt(queue, &prng, fifo);
        else if (what < 99)
            pass((double)prng_below(&prng, 8000) / 1000);
        else
            REQUIRE(reopen());
    }
    uint64_t alive = 0;
    for (int i = 0; i < walked_count; i++) alive += walked[i].alive;
    struct queue_depth depth = depth_of(queue);
    EXPECT_INT(depth.visible + depth.in_flight, alive);
    end();
}

TEST(a_random_walk_over_a_standard_queue)
{
    BEGIN();
    walk("q");
}

TEST(a_random_walk_over_a_fifo_queue)
{
    BEGIN();
    walk("q.fifo");
}
