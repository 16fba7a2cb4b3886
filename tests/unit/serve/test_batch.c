#include "serve/batch.c"
#include "test.h"

enum { ITEMS_MAX = 64 };

struct call {
    struct batch_item item;
    int id;
};

static struct call calls[ITEMS_MAX];

static struct call *new_call(int id, int64_t rows, uint64_t shape_key)
{
    struct call *call = &calls[id];
    memset(call, 0, sizeof *call);
    call->id = id;
    call->item.rows = rows;
    call->item.shape_key = shape_key;
    list_init(&call->item.link);
    return call;
}

static int id_of(struct list *link)
{
    return CONTAINER_OF(link, struct call, item.link)->id;
}

/* "0 2 5": the ids of a list, in order. */
static const char *ids(struct list *list)
{
    static char text[2][512];
    static int turn;
    char *out = text[turn ^= 1];
    size_t used = 0;
    out[0] = '\0';
    LIST_EACH(link, list)
    used += (size_t)snprintf(out + used, sizeof text[0] - used, used ? " %d" : "%d", id_of(link));
    return out;
}

static void add(struct batch_queue *queue, int id, int64_t rows, uint64_t now)
{
    EXPECT(batch_queue_add(queue, &new_call(id, rows, 0)->item, now));
}

TEST(what_waits_is_one_batch_up_to_the_size)
{
    struct batch_policy policy;
    batch_policy_init(&policy, 4, 0);
    struct batch_queue queue;
    batch_queue_init(&queue, &policy);
    for (int i = 0; i < 6; i++) add(&queue, i, 1, 10);
    struct batch_taken taken;
    batch_queue_take(&queue, 10, &taken);
    EXPECT_TEXT(ids(&taken.items), "0 1 2 3");
    EXPECT_INT(taken.rows, 4);
    batch_queue_take(&queue, 10, &taken);
    EXPECT_TEXT(ids(&taken.items), "4 5");
    batch_queue_take(&queue, 10, &taken);
    EXPECT_INT(taken.count, 0);
    EXPECT(taken.wake_ns == UINT64_MAX);
}

TEST(what_is_not_batchable_goes_alone)
{
    struct batch_policy policy;
    batch_policy_init(&policy, 0, 0);
    struct batch_queue queue;
    batch_queue_init(&queue, &policy);
    add(&queue, 0, 1, 10);
    add(&queue, 1, 1, 10);
    struct batch_taken taken;
    batch_queue_take(&queue, 10, &taken);
    EXPECT_TEXT(ids(&taken.items), "0");
}

TEST(several_that_go_alone_are_taken_at_once)
{
    struct batch_policy policy;
    batch_policy_init(&policy, 0, 0);
    struct batch_queue queue;
    batch_queue_init(&queue, &policy);
    for (int i = 0; i < 5; i++)
        EXPECT(batch_queue_add(&queue, &new_call(i, 7, (uint64_t)i / 2)->item, 10));
    struct batch_taken taken;
    batch_queue_take_singles(&queue, 10, 3, &taken);
    EXPECT_TEXT(ids(&taken.items), "0 1 2");
    EXPECT_INT(taken.count, 3);
    EXPECT_INT(queue.count, 2);
    batch_queue_take_singles(&queue, 10, 3, &taken);
    EXPECT_TEXT(ids(&taken.items), "3 4");
    batch_queue_take_singles(&queue, 10, 3, &taken);
    EXPECT_INT(taken.count, 0);
}

TEST(what_goes_alone_expires_as_any)
{
    struct batch_policy policy;
    batch_policy_init(&policy, 0, 0);
    policy.timeout_default_us = 1;
    struct batch_queue queue;
    batch_queue_init(&queue, &policy);
    add(&queue, 0, 1, 10);
    add(&queue, 1, 1, 10 + 1000);
    struct batch_taken taken;
    batch_queue_take_singles(&queue, 10 + 1000, 3, &taken);
    EXPECT_TEXT(ids(&taken.items), "1");
    EXPECT_TEXT(ids(&taken.expired), "0");
}

TEST(shapes_do_not_mix_and_nobody_starves)
{
    struct batch_policy policy;
    batch_policy_init(&policy, 8, 0);
    struct batch_queue queue;
    batch_queue_init(&queue, &policy);
    for (int i = 0; i < 6; i++)
        EXPECT(batch_queue_add(&queue, &new_call(i, 1, (uint64_t)i % 2)->item, 1));
    struct batch_taken taken;
    batch_queue_take(&queue, 1, &taken);
    EXPECT_TEXT(ids(&taken.items), "0 2 4");
    batch_queue_take(&queue, 1, &taken);
    EXPECT_TEXT(ids(&taken.items), "1 3 5");
}

TEST(a_delay_waits_for_company_but_not_for_ever)
{
    struct batch_policy policy;
    batch_policy_init(&policy, 8, 0);
    policy.delay_ns = 100;
    policy.preferred[policy.preferred_count++] = 2;
    policy.preferred[policy.preferred_count++] = 4;
    struct batch_queue queue;
    batch_queue_init(&queue, &policy);
    struct batch_taken taken;
    add(&queue, 0, 1, 1000);
    batch_queue_take(&queue, 1050, &taken);
    EXPECT_INT(taken.count, 0);
    EXPECT_INT(taken.wake_ns, 1100);
    add(&queue, 1, 1, 1060);
    add(&queue, 2, 1, 1060);
    batch_queue_take(&queue, 1060, &taken); /* the largest preferred size there is */
    EXPECT_TEXT(ids(&taken.items), "0 1");
    batch_queue_take(&queue, 1100, &taken);
    EXPECT_INT(taken.wake_ns, 1160);
    batch_queue_take(&queue, 1160, &taken);
    EXPECT_TEXT(ids(&taken.items), "2");
}

TEST(a_full_batch_does_not_wait)
{
    struct batch_policy policy;
    batch_policy_init(&policy, 4, 0);
    policy.delay_ns = 100;
    struct batch_queue queue;
    batch_queue_init(&queue, &policy);
    add(&queue, 0, 3, 1000);
    add(&queue, 1, 2, 1000); /* does not fit beside the first */
    struct batch_taken taken;
    batch_queue_take(&queue, 1000, &taken);
    EXPECT_TEXT(ids(&taken.items), "0");
    batch_queue_take(&queue, 1000, &taken);
    EXPECT_INT(taken.count, 0);
}

TEST(priorities_go_first_and_time_outs_reject_or_delay)
{
    struct batch_policy policy;
    batch_policy_init(&policy, 1, 0);
    policy.level_count = 2;
    policy.level_default = 1;
    policy.levels[0].timeout_us = 1;
    policy.levels[1].timeout_us = 1;
    policy.levels[1].timeout_delays = true;
    struct batch_queue queue;
    batch_queue_init(&queue, &policy);
    add(&queue, 0, 1, 0);                 /* default: level 2, soon delayed */
    add(&queue, 1, 1, 1500);              /* level 2, in time */
    new_call(2, 1, 0)->item.priority = 1; /* first level, rejected */
    EXPECT(batch_queue_add(&queue, &calls[2].item, 0));
    new_call(3, 1, 0)->item.priority = 1;
    EXPECT(batch_queue_add(&queue, &calls[3].item, 1500));
    struct batch_taken taken;
    batch_queue_take(&queue, 2000, &taken);
    EXPECT_TEXT(ids(&taken.items), "3");
    EXPECT_TEXT(ids(&taken.expired), "2");
    batch_queue_take(&queue, 2000, &taken);
    EXPECT_TEXT(ids(&taken.items), "1");
    batch_queue_take(&queue, 2000, &taken);
    EXPECT_TEXT(ids(&taken.items), "0");
    EXPECT_INT(queue.count, 0);
}

TEST(limits_are_for_all_and_for_a_level)
{
    struct batch_policy policy;
    batch_policy_init(&policy, 8, 3);
    policy.level_count = 2;
    policy.levels[1].size_max = 1;
    struct batch_queue queue;
    batch_queue_init(&queue, &policy);
    new_call(0, 1, 0)->item.priority = 2;
    new_call(1, 1, 0)->item.priority = 2;
    EXPECT(batch_queue_add(&queue, &calls[0].item, 0));
    EXPECT(!batch_queue_add(&queue, &calls[1].item, 0));
    add(&queue, 2, 1, 0);
    add(&queue, 3, 1, 0);
    EXPECT(!batch_queue_add(&queue, &new_call(4, 1, 0)->item, 0));
    batch_queue_remove(&queue, &calls[2].item);
    EXPECT(batch_queue_add(&queue, &calls[4].item, 0));
}

TEST(a_request_may_shorten_its_time_out_where_allowed)
{
    struct batch_policy policy;
    batch_policy_init(&policy, 1, 0);
    struct batch_queue queue;
    batch_queue_init(&queue, &policy);
    static const struct {
        uint64_t level_us, request_us, expires_ns;
        bool allowed;
    } cases[] = {{0, 0, 0, true},    {0, 5, 5100, true},      {9, 5, 5100, true},
                 {5, 9, 5100, true}, {5, 0, 5100, true},      {5, 2, 5100, false},
                 {0, 5, 0, false},   {0, UINT64_MAX, 0, true}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        policy.levels[0].timeout_us = cases[i].level_us;
        policy.levels[0].allow_override = cases[i].allowed;
        new_call(0, 1, 0)->item.timeout_us = cases[i].request_us;
        EXPECT(batch_queue_add(&queue, &calls[0].item, 100));
        EXPECT_INT(calls[0].item.expires_ns, cases[i].expires_ns);
        batch_queue_remove(&queue, &calls[0].item);
    }
}

TEST(a_default_time_out_is_for_those_who_set_none)
{
    struct batch_policy policy;
    batch_policy_init(&policy, 1, 0);
    policy.timeout_default_us = 7;
    struct batch_queue queue;
    batch_queue_init(&queue, &policy);
    static const struct {
        uint64_t level_us, request_us, expires_ns;
        bool allowed;
    } cases[] = {{0, 0, 7100, true},    {0, 50, 50100, true}, {90, 0, 90100, true},
                 {90, 50, 50100, true}, {0, 50, 7100, false}, {3, 50, 3100, false}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        policy.levels[0].timeout_us = cases[i].level_us;
        policy.levels[0].allow_override = cases[i].allowed;
        new_call(0, 1, 0)->item.timeout_us = cases[i].request_us;
        EXPECT(batch_queue_add(&queue, &calls[0].item, 100));
        EXPECT_INT(calls[0].item.expires_ns, cases[i].expires_ns);
        batch_queue_remove(&queue, &calls[0].item);
    }
}

/* --- against a model that keeps an array and sorts ---------------------------------------------
 */

struct naive {
    int ids[ITEMS_MAX]; /* in order of arrival */
    int count;
    int delays[ITEMS_MAX]; /* order in which calls were found delayed; 0: not */
    int delay_clock;
};

static int naive_compare(const struct naive *naive, int a, int b)
{
    const struct batch_item *x = &calls[a].item, *y = &calls[b].item;
    if (x->level != y->level) return x->level < y->level ? -1 : 1;
    return naive->delays[a] - naive->delays[b];
}

/* Level, then not delayed before delayed, then arrival: a stable insertion sort. */
static void naive_sort(const struct naive *naive, int *sorted)
{
    for (int i = 0; i < naive->count; i++) {
        int at = i;
        while (at > 0 && naive_compare(naive, naive->ids[i], sorted[at - 1]) < 0) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = naive->ids[i];
    }
}

static void naive_remove(struct naive *naive, int id)
{
    int kept = 0;
    for (int i = 0; i < naive->count; i++)
        if (naive->ids[i] != id) naive->ids[kept++] = naive->ids[i];
    naive->count = kept;
}

/* What the batch must be; writes ids to `batch` and returns how many. Nothing has expired. */
static int naive_take(const struct naive *naive, const struct batch_policy *policy, uint64_t now,
                      int *batch)
{
    int sorted[ITEMS_MAX], count = 0, preferred = 0;
    int64_t rows = 0, rows_max = MAX(policy->rows_max, INT64_C(1));
    uint64_t oldest = UINT64_MAX;
    bool full = false;
    naive_sort(naive, sorted);
    for (int i = 0; i < naive->count && !full; i++) {
        const struct batch_item *item = &calls[sorted[i]].item;
        if (count > 0 && item->shape_key != calls[sorted[0]].item.shape_key) continue;
        int64_t more = policy->rows_max ? item->rows : 1;
        full = count > 0 && rows + more > rows_max;
        if (full) break;
        rows += more;
        batch[count++] = sorted[i];
        oldest = MIN(oldest, item->arrived_ns);
        for (uint32_t k = 0; k < policy->preferred_count; k++)
            if (policy->preferred[k] == rows) preferred = count;
        full = rows >= rows_max;
    }
    if (count == 0 || policy->delay_ns == 0 || now >= oldest + policy->delay_ns) return count;
    if (preferred) return preferred;
    return full ? count : 0;
}

static void random_policy(struct prng *prng, struct batch_policy *policy)
{
    batch_policy_init(policy, (int64_t)prng_below(prng, 9), (uint32_t)prng_below(prng, 30));
    policy->level_count = 1 + (uint32_t)prng_below(prng, 3);
    policy->level_default = (uint32_t)prng_below(prng, policy->level_count);
    policy->delay_ns = prng_below(prng, 2) ? prng_below(prng, 2000) : 0;
    for (int64_t size = 1; size <= policy->rows_max; size++)
        if (prng_below(prng, 4) == 0) policy->preferred[policy->preferred_count++] = size;
    for (uint32_t i = 0; i < policy->level_count; i++)
        policy->levels[i] = (struct batch_level){.timeout_us = prng_below(prng, 3),
                                                 .size_max = (uint32_t)prng_below(prng, 12),
                                                 .timeout_delays = prng_below(prng, 2) != 0,
                                                 .allow_override = prng_below(prng, 2) != 0};
}

static void naive_add(struct prng *prng, struct naive *naive, struct batch_queue *queue,
                      uint64_t now)
{
    bool used[ITEMS_MAX] = {false};
    for (int i = 0; i < naive->count; i++) used[naive->ids[i]] = true;
    int id = 0;
    while (id < ITEMS_MAX && used[id]) id++;
    if (id == ITEMS_MAX) return;
    int64_t rows_max = MAX(queue->policy->rows_max, INT64_C(1));
    struct call *call =
        new_call(id, (int64_t)prng_below(prng, (uint64_t)rows_max + 1), prng_below(prng, 3));
    call->item.priority = (uint32_t)prng_below(prng, 5);
    call->item.timeout_us = prng_below(prng, 3);
    uint32_t before = queue->count;
    bool added = batch_queue_add(queue, &call->item, now);
    EXPECT_INT(queue->count, before + added);
    if (!added) {
        uint32_t level_max =
            queue->policy->levels[level_of(queue->policy, call->item.priority)].size_max;
        EXPECT(level_max > 0 || before == queue->policy->size_max);
        return;
    }
    naive->delays[id] = 0;
    naive->ids[naive->count++] = id;
}

static void note_delays(struct naive *naive, struct list *list)
{
    LIST_EACH(link, list)
    {
        int id = id_of(link);
        if (calls[id].item.delayed && !naive->delays[id]) naive->delays[id] = ++naive->delay_clock;
    }
}

/*
 * Calls that were looked at after their time-out have left or stand behind; the others are as they
 * were. The naive model follows, then says what the batch must have been.
 */
static void compare_take(struct naive *naive, struct batch_queue *queue, uint64_t now)
{
    struct batch_taken taken;
    batch_queue_take(queue, now, &taken);
    LIST_EACH(link, &taken.expired)
    {
        EXPECT(calls[id_of(link)].item.expires_ns <= now);
        naive_remove(naive, id_of(link));
    }
    note_delays(naive, &taken.items); /* in the order in which they were put aside */
    for (uint32_t level = 0; level < queue->policy->level_count; level++)
        note_delays(naive, &queue->delayed[level]);
    int batch[ITEMS_MAX];
    int count = naive_take(naive, queue->policy, now, batch);
    EXPECT_INT(taken.count, count);
    int at = 0;
    LIST_EACH(link, &taken.items)
    {
        EXPECT(!batch_item_is_rejected(queue, &calls[id_of(link)].item, now));
        if (at < count) EXPECT_INT(id_of(link), batch[at]);
        at++;
        naive_remove(naive, id_of(link));
    }
    EXPECT_INT(at, count);
    EXPECT_INT(queue->count, naive->count);
    if (count == 0 && queue->count > 0) EXPECT(taken.wake_ns > now && taken.wake_ns < UINT64_MAX);
}

TEST(batches_are_those_of_the_naive_model)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int round = 0; round < 400; round++) {
        struct batch_policy policy;
        random_policy(&prng, &policy);
        struct batch_queue queue;
        batch_queue_init(&queue, &policy);
        struct naive naive = {.count = 0};
        uint64_t now = 1;
        for (int step = 0; step < 200; step++) {
            now += prng_below(&prng, 300);
            uint64_t what = prng_below(&prng, 10);
            if (what < 6) {
                naive_add(&prng, &naive, &queue, now);
            } else if (what == 6 && naive.count > 0) {
                int id = naive.ids[prng_below(&prng, (uint64_t)naive.count)];
                batch_queue_remove(&queue, &calls[id].item);
                naive_remove(&naive, id);
            } else {
                compare_take(&naive, &queue, now);
            }
        }
        now += UINT32_MAX; /* in the end everything comes out */
        for (int i = 0; i < 2 * ITEMS_MAX && queue.count > 0; i++)
            compare_take(&naive, &queue, now);
        EXPECT_INT(queue.count, 0);
    }
}
