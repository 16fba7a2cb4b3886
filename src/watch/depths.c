/* The depth of queues, read again and again. */
#include "watch/depths.h"

#include "base/clock.h"
#include "base/mem.h"

#include <pthread.h>

enum {
    PAGE_QUEUES = 200,
    PAGE_MEMORY_MAX = 64 * 1024 * 1024,
};

struct depths {
    struct depths_options options;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool ending;
    struct depths_page page; /* under the mutex */
};

/* --- from rows to a page ---------------------------------------------------------------------- */

static uint64_t total_of(const struct queue_depth *depth)
{
    return depth->visible + depth->in_flight + depth->delayed;
}

static bool is_other(const struct depths_row *row)
{
    return strcmp(row->name, DEPTHS_OTHER) == 0;
}

/* The product's own, then those with most messages; by name among equals. */
static int compare_weight(const void *left, const void *right)
{
    const struct depths_row *a = left, *b = right;
    uint64_t one = total_of(&a->depth), two = total_of(&b->depth);
    if (is_other(a) != is_other(b)) return is_other(a) ? 1 : -1;
    if (a->own != b->own) return a->own ? -1 : 1;
    if (one != two) return one > two ? -1 : 1;
    return strcmp(a->name, b->name);
}

static int compare_name(const void *left, const void *right)
{
    const struct depths_row *a = left, *b = right;
    return strcmp(a->name, b->name);
}

static void add_other(struct depths_page *page, const struct depths_row *row)
{
    struct depths_row *other = &page->rows[page->count - 1];
    other->depth.visible += row->depth.visible;
    other->depth.in_flight += row->depth.in_flight;
    other->depth.delayed += row->depth.delayed;
    other->depth.oldest_ms = MAX(other->depth.oldest_ms, row->depth.oldest_ms);
    other->dead += row->dead;
    other->dead_known |= row->dead_known;
}

/* `rows` by name: every dead-letter queue that was read itself. */
static void find_dead(struct depths_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct depths_row key;
        if (!*rows[i].dead_letter) continue;
        memcpy(key.name, rows[i].dead_letter, sizeof key.name);
        const struct depths_row *dead = bsearch(&key, rows, count, sizeof *rows, compare_name);
        rows[i].dead_known = dead != NULL;
        if (dead) rows[i].dead = total_of(&dead->depth);
    }
}

void depths_condense(struct depths_row *rows, size_t count, struct depths_page *ret_page)
{
    *ret_page = (struct depths_page){.queues = count};
    if (count == 0) return;
    qsort(rows, count, sizeof *rows, compare_name);
    find_dead(rows, count);
    qsort(rows, count, sizeof *rows, compare_weight);
    size_t shown = MIN(count, (size_t)DEPTHS_NAMES_MAX);
    while (shown > 0 && is_other(&rows[shown - 1])) shown--;
    qsort(rows, shown, sizeof *rows, compare_name);
    memcpy(ret_page->rows, rows, shown * sizeof *rows);
    ret_page->count = shown;
    if (shown == count) return;
    struct depths_row *other = &ret_page->rows[ret_page->count++];
    memcpy(other->name, DEPTHS_OTHER, sizeof DEPTHS_OTHER);
    for (size_t i = shown; i < count; i++) add_other(ret_page, &rows[i]);
}

/* --- reading ---------------------------------------------------------------------------------- */

struct reading {
    struct depths *depths;
    struct queue_store *queues;
    struct depths_row *rows; /* DEPTHS_QUEUES_MAX */
    size_t count;
    char after[QUEUE_NAME_MAX + 1]; /* the last name of the page before */
};

/* A queue that was deleted between the list and this look is none. */
static enum status read_one(struct reading *reading, const struct queue_description *queue,
                            struct arena *arena, struct error *err)
{
    struct queue_call call = {.operation = QUEUE_DEPTH, .queue = queue->name, .arena = arena};
    struct depths_row *row = &reading->rows[reading->count];
    enum status status = queue_run(reading->queues, &call, err);
    if (status == STATUS_NOT_FOUND) return STATUS_OK;
    TRY(status);
    *row = (struct depths_row){.depth = call.depth,
                               .own = str_starts_with(queue->name, reading->depths->options.own)};
    memcpy(row->name, queue->name.data, MIN(queue->name.size, sizeof row->name - 1));
    memcpy(row->dead_letter, queue->settings.dead_letter, sizeof row->dead_letter);
    reading->count++;
    return STATUS_OK;
}

static bool may_go_on(struct depths *depths)
{
    (void)pthread_mutex_lock(&depths->mutex);
    bool ending = depths->ending;
    (void)pthread_mutex_unlock(&depths->mutex);
    return !ending;
}

/* One page of names; those that begin with `but` were read before. */
static enum status read_page(struct reading *reading, struct queue_page *page, struct str but,
                             struct error *err)
{
    struct arena arena CLEANUP(arena_clear);
    struct queue_call call = {.operation = QUEUE_LIST, .arena = &arena, .page = *page};
    arena_init(&arena, PAGE_MEMORY_MAX);
    TRY(queue_run(reading->queues, &call, err));
    for (size_t i = 0; i < call.page.count; i++) {
        const struct queue_description *queue = &call.page.queues[i];
        if (but.size > 0 && str_starts_with(queue->name, but)) continue;
        if (reading->count == DEPTHS_QUEUES_MAX) break;
        if (!may_go_on(reading->depths)) return fail(err, STATUS_CANCELLED, "ending");
        TRY(read_one(reading, queue, &arena, err));
    }
    page->more = call.page.more && reading->count < DEPTHS_QUEUES_MAX && call.page.count > 0;
    if (!page->more) return STATUS_OK;
    struct str last = call.page.queues[call.page.count - 1].name;
    (void)snprintf(reading->after, sizeof reading->after, "%.*s", STR_ARGS(last));
    page->after = str_of(reading->after);
    return STATUS_OK;
}

static enum status read_names(struct reading *reading, struct str prefix, struct str but,
                              struct error *err)
{
    struct queue_page page = {.prefix = prefix, .count_max = PAGE_QUEUES, .more = true};
    while (page.more) TRY(read_page(reading, &page, but, err));
    return STATUS_OK;
}

static enum status read_all(struct reading *reading, struct error *err)
{
    struct str own = reading->depths->options.own;
    if (own.size > 0) TRY(read_names(reading, own, STR_EMPTY, err));
    return read_names(reading, STR_EMPTY, own, err);
}

static void refresh(struct depths *depths)
{
    struct reading reading = {.depths = depths};
    struct error err;
    reading.queues = depths->options.queues(depths->options.context);
    if (!reading.queues) return;
    reading.rows = MEM_NEW_ARRAY(struct depths_row, DEPTHS_QUEUES_MAX);
    /* A failure shows by the reading's age; whoever uses the queues says why. */
    if (read_all(&reading, &err) == STATUS_OK) {
        struct depths_page *page = MEM_NEW(struct depths_page);
        depths_condense(reading.rows, reading.count, page);
        page->read_at_s = (double)clock_wall_ns() / (double)NS_PER_S;
        (void)pthread_mutex_lock(&depths->mutex);
        depths->page = *page;
        (void)pthread_mutex_unlock(&depths->mutex);
        mem_free(page);
    }
    mem_free(reading.rows);
}

/* --- the thread --------------------------------------------------------------------------------
 */

enum { FIRST_LOOK_NS = 250 * 1000 * 1000 }; /* while there was nothing to read yet */

static bool wait_for_next(struct depths *depths)
{
    (void)pthread_mutex_lock(&depths->mutex);
    uint64_t pause_ns = depths->options.interval_ns;
    if (depths->page.read_at_s == 0) pause_ns = MIN(pause_ns, (uint64_t)FIRST_LOOK_NS);
    uint64_t until_ns = clock_monotonic_ns() + pause_ns;
    struct timespec until = {(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)};
    while (!depths->ending)
        if (pthread_cond_timedwait(&depths->changed, &depths->mutex, &until) != 0) break;
    bool goes_on = !depths->ending;
    (void)pthread_mutex_unlock(&depths->mutex);
    return goes_on;
}

static void *run(void *context)
{
    struct depths *depths = context;
    while (wait_for_next(depths)) refresh(depths);
    return NULL;
}

enum status depths_new(const struct depths_options *options, struct depths **ret_depths,
                       struct error *err)
{
    struct depths *depths = MEM_NEW(struct depths);
    pthread_condattr_t attributes;
    depths->options = *options;
    (void)pthread_condattr_init(&attributes); /* these cannot fail on Linux */
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&depths->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&depths->mutex, NULL);
    int problem = pthread_create(&depths->thread, NULL, run, depths);
    if (problem) {
        mem_free(depths);
        return fail_errno(err, problem, "starting the thread that reads the depth of queues");
    }
    *ret_depths = depths;
    return STATUS_OK;
}

void depths_free(struct depths *depths)
{
    if (!depths) return;
    (void)pthread_mutex_lock(&depths->mutex);
    depths->ending = true;
    (void)pthread_cond_broadcast(&depths->changed);
    (void)pthread_mutex_unlock(&depths->mutex);
    (void)pthread_join(depths->thread, NULL);
    (void)pthread_cond_destroy(&depths->changed);
    (void)pthread_mutex_destroy(&depths->mutex);
    mem_free(depths);
}

void depths_read(struct depths *depths, struct depths_page *ret_page)
{
    (void)pthread_mutex_lock(&depths->mutex);
    *ret_page = depths->page;
    (void)pthread_mutex_unlock(&depths->mutex);
}
