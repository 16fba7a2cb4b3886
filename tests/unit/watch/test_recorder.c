/* Rings and the thread behind them, over a store of the test's own. */
#include "db/sqlite.h"
#include "test.h"
#include "watch/recorder.c"

#include <semaphore.h>

/* --- a store that keeps ids ------------------------------------------------------------------- */

enum { KEPT_MAX = 20000 };

static struct {
    struct store store;
    char ids[KEPT_MAX][RECORD_ID_SIZE + 1];
    _Atomic size_t count;
    _Atomic bool there, failing, slow;
    _Atomic uint64_t pruned_before, prunings;
} fake;

static void stop_slow(void)
{
    atomic_store(&fake.slow, false);
}

static enum status fake_put(const struct store_put *request, struct error *err)
{
    while (atomic_load(&fake.slow)) usleep(1000);
    if (fake.failing) return fail(err, STATUS_UNAVAILABLE, "the disk is full");
    for (size_t i = 0; i < request->count; i++) {
        if (str_equal(request->records[i].model, STR("bad")))
            return fail(err, STATUS_INVALID_ARGUMENT, "a bad record");
        size_t at = atomic_fetch_add(&fake.count, 1);
        assert(at < KEPT_MAX);
        memcpy(fake.ids[at], request->records[i].id, RECORD_ID_SIZE + 1);
    }
    return STATUS_OK;
}

static enum status fake_run(struct store *store, struct database_session *session,
                            struct store_call *call, struct error *err)
{
    (void)store, (void)session;
    if (call->operation == STORE_PUT) return fake_put(&call->put, err);
    assert(call->operation == STORE_PRUNE);
    fake.pruned_before = call->prune.before_us;
    call->prune.deleted = 3;
    call->prune.more = atomic_fetch_add(&fake.prunings, 1) % 2 == 0;
    return STATUS_OK;
}

static void fake_close(struct store *store)
{
    (void)store;
}

static const struct store_ops fake_ops = {"fake", fake_run, fake_close};

static struct store *fake_store(void *context)
{
    (void)context;
    return atomic_load(&fake.there) ? &fake.store : NULL;
}

static struct recorder *begin(struct recorder_options options)
{
    struct error err;
    struct recorder *recorder = NULL;
    if (!fake.store.database)
        EXPECT_STATUS(sqlite_memory_new(MEMORY_SIZE_MIN, &(struct database_options){0},
                                        &fake.store.database, &err),
                      STATUS_OK, err);
    fake.store.ops = &fake_ops;
    fake.count = fake.prunings = 0;
    fake.there = true;
    fake.failing = fake.slow = false;
    options.store = fake_store;
    if (options.ring_count == 0) options.ring_count = 1;
    if (options.rate_max == 0) options.rate_max = UINT32_MAX;
    if (options.flush_ns == 0) options.flush_ns = NS_PER_MS;
    EXPECT_STATUS(recorder_new(&options, &recorder, &err), STATUS_OK, err);
    return recorder;
}

static void end(struct recorder *recorder)
{
    recorder_free(recorder);
    database_free(fake.store.database);
    fake.store.database = NULL;
}

static bool record_one(struct recorder *recorder, uint32_t ring, struct str model)
{
    struct arena *arena;
    struct record *record = recorder_begin(recorder, ring, &arena);
    if (!record) return false;
    record_id_make(clock_wall_ns() / NS_PER_MS, record->id);
    if (model.size > 4096)
        record->input.bytes = arena_try_copy(arena, model);
    else
        record->model = arena_try_copy(arena, model);
    recorder_end(recorder, ring);
    return true;
}

static struct recorder_counters counters(struct recorder *recorder)
{
    struct recorder_counters values;
    recorder_counters_read(recorder, &values);
    return values;
}

static void wait_for(const _Atomic size_t *value, size_t least)
{
    for (int i = 0; i < 20000 && atomic_load(value) < least; i++) usleep(1000);
}

/* --- tests ------------------------------------------------------------------------------------ */

enum { RECORDERS = 3, RECORDS = 3000 };

struct thread {
    struct recorder *recorder;
    uint32_t ring;
    size_t recorded;
};

static void *record_many(void *context)
{
    struct thread *thread = context;
    for (int i = 0; i < RECORDS; i++) {
        thread->recorded += record_one(thread->recorder, thread->ring, STR("m"));
        if (i % 100 == 0) usleep(2000);
    }
    return NULL;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(a, b);
}

TEST(each_record_is_written_once_or_counted_as_shed)
{
    struct recorder *recorder = begin((struct recorder_options){.ring_count = RECORDERS});
    struct thread threads[RECORDERS];
    pthread_t handles[RECORDERS];
    for (uint32_t i = 0; i < RECORDERS; i++) {
        threads[i] = (struct thread){recorder, i, 0};
        pthread_create(&handles[i], NULL, record_many, &threads[i]);
    }
    size_t recorded = 0;
    for (size_t i = 0; i < RECORDERS; i++) {
        pthread_join(handles[i], NULL);
        recorded += threads[i].recorded;
    }
    wait_for(&fake.count, recorded);
    struct recorder_counters values = counters(recorder);
    EXPECT_INT(values.shed_full, (size_t)RECORDERS * RECORDS - recorded);
    end(recorder);
    EXPECT_INT(fake.count, recorded);
    qsort(fake.ids, recorded, sizeof fake.ids[0], compare_ids);
    for (size_t i = 1; i < recorded; i++) EXPECT(strcmp(fake.ids[i - 1], fake.ids[i]) != 0);
}

TEST(what_waits_at_the_end_is_written)
{
    struct recorder *recorder = begin((struct recorder_options){.flush_ns = 3600 * NS_PER_S});
    usleep(20000); /* it looks once, and then not for an hour */
    for (int i = 0; i < 500; i++) EXPECT(record_one(recorder, 0, STR("m")));
    end(recorder);
    EXPECT_INT(fake.count, 500);
}

/* Also while it pauses between two steps of pruning, as it does for its first 10 ms. */
TEST(it_ends_at_any_moment)
{
    for (unsigned i = 0; i < 24; i++) {
        struct recorder *recorder = begin((struct recorder_options){.flush_ns = 3600 * NS_PER_S});
        usleep(i * 500);
        end(recorder);
    }
}

TEST(one_that_sleeps_is_woken)
{
    struct recorder *recorder = begin((struct recorder_options){.flush_ns = 100000});
    for (size_t round = 1; round <= 5; round++) {
        for (int i = 0; i < 5000 && !atomic_load(&recorder->asleep); i++) usleep(1000);
        EXPECT(atomic_load(&recorder->asleep));
        EXPECT(record_one(recorder, 0, STR("m")));
        wait_for(&fake.count, round);
        EXPECT_INT(fake.count, round);
    }
    end(recorder);
}

TEST(a_slow_store_sheds_and_holds_nobody_up)
{
    struct recorder *recorder = begin((struct recorder_options){.ring_count = 1});
    fake.slow = true;
    size_t taken = 0;
    for (int i = 0; i < 5000; i++) taken += record_one(recorder, 0, STR("m"));
    EXPECT_INT(taken, RECORDER_RING_MAX); /* nothing was given back meanwhile */
    EXPECT_INT(counters(recorder).shed_full, 5000 - taken);
    stop_slow();
    wait_for(&fake.count, taken);
    EXPECT(record_one(recorder, 0, STR("m")));
    end(recorder);
    EXPECT_INT(fake.count, taken + 1);
}

TEST(large_records_are_shed_before_the_ring_is_full)
{
    struct recorder *recorder = begin((struct recorder_options){.ring_count = 1});
    fake.slow = true;
    char *big = mem_new_zeroed(1, 8 << 20);
    int taken = 0;
    while (taken < 100 && record_one(recorder, 0, (struct str){big, 8 << 20})) taken++;
    EXPECT(taken >= 8 && taken <= 9);
    stop_slow();
    end(recorder);
    mem_free(big);
}

TEST(failures_are_counted_and_a_bad_record_costs_only_itself)
{
    struct recorder *recorder = begin((struct recorder_options){.flush_ns = 3600 * NS_PER_S});
    usleep(20000);
    for (int i = 0; i < 10; i++) EXPECT(record_one(recorder, 0, i == 5 ? STR("bad") : STR("m")));
    atomic_store(&recorder->ending, true);
    wake(recorder);
    (void)pthread_join(recorder->thread, NULL);
    EXPECT_INT(counters(recorder).written, 9);
    EXPECT_INT(counters(recorder).failed, 1);
    log_set_level(LOG_LEVEL_OFF);
    fake.failing = true;
    EXPECT(record_one(recorder, 0, STR("m")));
    EXPECT_INT(empty_rings(recorder), 1);
    EXPECT_INT(counters(recorder).failed, 2);
    fake.there = false;
    EXPECT(record_one(recorder, 0, STR("m")));
    EXPECT_INT(empty_rings(recorder), 1);
    EXPECT_INT(counters(recorder).shed_away, 1);
    log_set_level(LOG_LEVEL_INFO);
    free_parts(recorder);
    database_free(fake.store.database);
    fake.store.database = NULL;
}

TEST(policies)
{
    struct recorder *recorder = begin((struct recorder_options){.sync = RECORDER_ERRORS});
    EXPECT(!recorder_wants(recorder, 0, 1, false) && recorder_wants(recorder, 0, 1, true));
    end(recorder);
    recorder = begin((struct recorder_options){.sync = RECORDER_NONE});
    EXPECT(!recorder_wants(recorder, 0, 1, false) && !recorder_wants(recorder, 0, 1, true));
    end(recorder);
    recorder = begin((struct recorder_options){.sync = RECORDER_SAMPLED, .sample_rate = 0.25});
    int wanted = 0;
    for (int i = 0; i < 40000; i++) wanted += recorder_wants(recorder, 0, 1, false);
    EXPECT(wanted > 9400 && wanted < 10600); /* 7 standard deviations */
    end(recorder);
}

TEST(a_second_has_so_many_records)
{
    struct recorder *recorder = begin((struct recorder_options){.rate_max = 100});
    int wanted = 0;
    for (uint64_t i = 0; i < 3000; i++)
        wanted += recorder_wants(recorder, 0, 7 * NS_PER_S + i * NS_PER_MS, false);
    EXPECT_INT(wanted, 300);
    EXPECT_INT(counters(recorder).shed_rate, 2700);
    EXPECT(!recorder_wants(recorder, 0, 8 * NS_PER_S, false)); /* an earlier second is over */
    end(recorder);
}

TEST(old_records_are_pruned_now_and_then)
{
    struct recorder *recorder = begin((struct recorder_options){
        .prune_ns = 2 * NS_PER_MS, .keep_age_ns = 3600 * NS_PER_S, .keep_bytes = 1 << 20});
    for (int i = 0; i < 20000 && fake.prunings < 6; i++) usleep(1000);
    EXPECT(fake.prunings >= 6);
    uint64_t hour_ago = clock_wall_ns() / NS_PER_US - UINT64_C(3600000000);
    EXPECT(hour_ago - fake.pruned_before < 60000000);
    EXPECT(counters(recorder).pruned >= 15);
    end(recorder);
}
