/* Forming batches. */
#include "serve/batch.h"

#include "base/base.h"

_Static_assert((int)BATCH_SCAN_MAX >= (int)BATCH_PREFERRED_MAX, "a batch is found within one scan");

void batch_policy_init(struct batch_policy *policy, int64_t rows_max, uint32_t size_max)
{
    assert(rows_max >= 0);
    memset(policy, 0, sizeof *policy);
    policy->rows_max = rows_max;
    policy->size_max = size_max;
    policy->level_count = 1;
    policy->levels[0].allow_override = true;
}

void batch_queue_init(struct batch_queue *queue, const struct batch_policy *policy)
{
    assert(policy->level_count >= 1 && policy->level_count <= BATCH_LEVELS_MAX);
    assert(policy->level_default < policy->level_count);
    assert(policy->preferred_count <= BATCH_PREFERRED_MAX);
    queue->policy = policy;
    queue->count = 0;
    memset(queue->counts, 0, sizeof queue->counts);
    for (size_t i = 0; i < BATCH_LEVELS_MAX; i++) {
        list_init(&queue->waiting[i]);
        list_init(&queue->delayed[i]);
    }
}

static uint64_t timeout_us(const struct batch_policy *policy, const struct batch_level *level,
                           uint64_t requested_us)
{
    uint64_t own_us = level->allow_override ? requested_us : 0;
    if (own_us == 0) own_us = level->timeout_us;
    if (own_us == 0) return policy->timeout_default_us;
    return level->timeout_us ? MIN(level->timeout_us, own_us) : own_us;
}

static uint64_t expiry_ns(uint64_t now_ns, uint64_t after_us)
{
    uint64_t after_ns, expires_ns;
    if (after_us == 0) return 0;
    if (__builtin_mul_overflow(after_us, NS_PER_US, &after_ns)) return 0;
    if (__builtin_add_overflow(now_ns, after_ns, &expires_ns)) return 0;
    return MAX(expires_ns, UINT64_C(1));
}

static uint32_t level_of(const struct batch_policy *policy, uint32_t priority)
{
    if (priority == 0) return policy->level_default;
    return MIN(priority, policy->level_count) - 1;
}

static inline void arrive(const struct batch_policy *policy, struct batch_item *item,
                          uint32_t level, uint64_t now_ns)
{
    item->level = level;
    item->delayed = false;
    item->arrived_ns = now_ns;
    item->expires_ns =
        expiry_ns(now_ns, timeout_us(policy, &policy->levels[level], item->timeout_us));
}

void batch_item_arrive(const struct batch_queue *queue, struct batch_item *item, uint64_t now_ns)
{
    arrive(queue->policy, item, level_of(queue->policy, item->priority), now_ns);
}

bool batch_queue_add(struct batch_queue *queue, struct batch_item *item, uint64_t now_ns)
{
    const struct batch_policy *policy = queue->policy;
    uint32_t index = level_of(policy, item->priority);
    const struct batch_level *level = &policy->levels[index];
    if (policy->size_max && queue->count >= policy->size_max) return false;
    if (level->size_max && queue->counts[index] >= level->size_max) return false;
    arrive(policy, item, index, now_ns);
    list_add_last(&queue->waiting[index], &item->link);
    queue->count++;
    queue->counts[index]++;
    return true;
}

void batch_queue_remove(struct batch_queue *queue, struct batch_item *item)
{
    assert(queue->count > 0 && queue->counts[item->level] > 0);
    list_remove(&item->link);
    queue->count--;
    queue->counts[item->level]--;
}

void batch_queue_drain(struct batch_queue *queue, struct list *items)
{
    for (uint32_t level = 0; level < queue->policy->level_count; level++) {
        list_move_all(items, &queue->waiting[level]);
        list_move_all(items, &queue->delayed[level]);
        queue->counts[level] = 0;
    }
    queue->count = 0;
}

static bool has_expired(const struct batch_item *item, uint64_t now_ns)
{
    return UNLIKELY(item->expires_ns != 0) && now_ns >= item->expires_ns;
}

bool batch_item_is_rejected(const struct batch_queue *queue, const struct batch_item *item,
                            uint64_t now_ns)
{
    return has_expired(item, now_ns) && !queue->policy->levels[item->level].timeout_delays;
}

/* A batch while it is being put together. */
struct selection {
    struct batch_queue *queue;
    uint64_t now_ns;
    int64_t rows_max;
    uint32_t count_max;
    bool only_counting; /* leave the calls where they are */
    bool apart;         /* each call runs alone: shapes do not matter */

    int64_t rows;
    uint32_t count;
    uint64_t shape_key; /* the head's */
    uint64_t oldest_ns;
    uint32_t skipped;
    bool full;                /* cannot grow: a full size, or the next call does not fit */
    uint32_t preferred_count; /* calls that add up to the largest preferred size; 0: none do */
};

static int64_t rows_of(const struct batch_queue *queue, const struct batch_item *item)
{
    return queue->policy->rows_max == 0 ? 1 : item->rows;
}

static void note_preferred(struct selection *selection)
{
    const struct batch_policy *policy = selection->queue->policy;
    for (uint32_t i = 0; i < policy->preferred_count; i++)
        if (policy->preferred[i] == selection->rows) selection->preferred_count = selection->count;
}

/* Counts one call in, and moves it, if it belongs to the batch. */
static void consider(struct selection *selection, struct batch_item *item,
                     struct batch_taken *taken)
{
    int64_t rows = rows_of(selection->queue, item);
    if (selection->count == 0) {
        selection->shape_key = item->shape_key;
    } else if (!selection->apart && item->shape_key != selection->shape_key) {
        selection->skipped++;
        return;
    } else if (rows > selection->rows_max - selection->rows) {
        selection->full = true;
        return;
    }
    selection->rows += rows;
    selection->count++;
    selection->oldest_ns = MIN(selection->oldest_ns, item->arrived_ns);
    if (selection->rows >= selection->rows_max || selection->count == selection->count_max)
        selection->full = true;
    if (selection->only_counting) {
        note_preferred(selection);
        return;
    }
    batch_queue_remove(selection->queue, item);
    list_add_last(&taken->items, &item->link);
}

/* What is due leaves the waiting list: to be answered, or behind the others. */
static bool put_aside_expired(struct selection *selection, struct batch_item *item,
                              struct batch_taken *taken)
{
    struct batch_queue *queue = selection->queue;
    if (LIKELY(!has_expired(item, selection->now_ns))) return false;
    if (batch_item_is_rejected(queue, item, selection->now_ns)) {
        batch_queue_remove(queue, item);
        list_add_last(&taken->expired, &item->link);
        return true;
    }
    if (item->delayed) return false;
    item->delayed = true;
    list_remove(&item->link);
    list_add_last(&queue->delayed[item->level], &item->link);
    return true;
}

static void select_from(struct selection *selection, struct list *list, struct batch_taken *taken)
{
    LIST_EACH_SAFE(link, list)
    {
        if (selection->full || selection->skipped >= BATCH_SCAN_MAX) return;
        struct batch_item *item = CONTAINER_OF(link, struct batch_item, link);
        if (!put_aside_expired(selection, item, taken)) consider(selection, item, taken);
    }
}

static void select_calls(struct selection *selection, struct batch_taken *taken)
{
    struct batch_queue *queue = selection->queue;
    selection->oldest_ns = UINT64_MAX;
    for (uint32_t level = 0; level < queue->policy->level_count; level++) {
        if (selection->full) return;
        select_from(selection, &queue->waiting[level], taken);
        select_from(selection, &queue->delayed[level], taken);
    }
}

/* With a delay: how many calls to take now, 0 to wait, until *ret_wake_ns. */
static uint32_t decide(const struct selection *counted, uint64_t *ret_wake_ns)
{
    if (counted->count == 0) return 0;
    uint64_t delay_ns = counted->queue->policy->delay_ns, due_ns;
    if (__builtin_add_overflow(counted->oldest_ns, delay_ns, &due_ns)) due_ns = UINT64_MAX;
    if (counted->now_ns >= due_ns) return counted->count;
    if (counted->preferred_count) return counted->preferred_count;
    if (counted->full || counted->skipped >= BATCH_SCAN_MAX) return counted->count;
    *ret_wake_ns = due_ns;
    return 0;
}

static void taken_init(struct batch_taken *taken)
{
    *taken = (struct batch_taken){.wake_ns = UINT64_MAX};
    list_init(&taken->items);
    list_init(&taken->expired);
}

void batch_queue_take_singles(struct batch_queue *queue, uint64_t now_ns, uint32_t count_max,
                              struct batch_taken *ret_taken)
{
    assert(queue->policy->rows_max == 0 && count_max > 0);
    struct selection selection = {.queue = queue,
                                  .now_ns = now_ns,
                                  .rows_max = INT64_MAX,
                                  .count_max = count_max,
                                  .apart = true};
    taken_init(ret_taken);
    select_calls(&selection, ret_taken);
    ret_taken->count = selection.count;
}

void batch_queue_take(struct batch_queue *queue, uint64_t now_ns, struct batch_taken *ret_taken)
{
    taken_init(ret_taken);
    const struct batch_policy *policy = queue->policy;
    struct selection selection = {.queue = queue,
                                  .now_ns = now_ns,
                                  .rows_max = MAX(policy->rows_max, INT64_C(1)),
                                  .count_max = UINT32_MAX};
    if (policy->delay_ns > 0) {
        struct selection counting = selection;
        counting.only_counting = true;
        select_calls(&counting, ret_taken);
        selection.count_max = decide(&counting, &ret_taken->wake_ns);
        if (selection.count_max == 0) return;
    }
    select_calls(&selection, ret_taken);
    ret_taken->rows = selection.rows;
    ret_taken->count = selection.count;
}
