/* Rings on one side, the store on the other, and a thread between. */
#include "watch/recorder.h"

#include "base/counter.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    FLUSH_MS = 50,
    FLUSH_LOOK_NS = 200 * 1000, /* while a flush is waited for */
    PRUNE_MS = 60 * 1000,
    PRUNE_MS_MIN = 1000,  /* for loans */
    PRUNE_FULL_MS = 1000, /* after the store was full */
    PRUNE_STEP = 200,     /* records of one transaction: queues share the writer */
    PRUNE_PAUSE_MS = 10,
    IDLE_ROUNDS = 20, /* without a record, before the thread sleeps until it is woken */
    SECOND_BITS = 32,
};
_Static_assert((RECORDER_RING_MAX & (RECORDER_RING_MAX - 1)) == 0, "positions wrap by a mask");
_Static_assert((int)RECORDER_BATCH_MAX <= (int)STORE_PUT_MAX, "a batch is one put");

struct place {
    struct record record;
    struct arena arena;
};

/* Written by one loop thread, emptied by the recorder's. */
struct ring {
    _Alignas(64) _Atomic uint64_t end; /* places that were filled since the start */
    struct counter shed_full;
    struct counter shed_rate;
    _Alignas(64) _Atomic uint64_t start; /* places that were emptied */
    _Atomic uint64_t bytes;              /* in between */
    struct place *places;
};

struct recorder {
    struct recorder_options options;
    /* The second (of the monotonic clock) above SECOND_BITS, and how many it has had. */
    _Alignas(64) _Atomic uint64_t second_and_count;
    _Alignas(64) _Atomic bool asleep; /* wants an event when something is recorded */
    _Atomic bool ending;
    int event;
    pthread_t thread;
    struct counter written, failed, shed_away, pruned;
    uint64_t pruned_ns; /* when, last */
    bool store_full;    /* at the last write */
    struct error told;  /* the failure that was logged last */
    struct ring rings[];
};

/* --- loop threads ----------------------------------------------------------------------------- */

static double chance(void)
{
    static _Thread_local struct prng prng;
    static _Thread_local bool seeded;
    if (!seeded) prng_seed(&prng, prng_seed_from_system());
    seeded = true;
    return prng_double(&prng);
}

static bool policy_wants(const struct recorder_options *options, bool failed)
{
    switch (options->sync) {
    case RECORDER_ALL: return true;
    case RECORDER_SAMPLED: return chance() < options->sample_rate;
    case RECORDER_ERRORS: return failed;
    case RECORDER_NONE: return false;
    }
    return false;
}

/* Once a second is full, this is a load of a line that nobody writes. */
static bool take_room(struct recorder *recorder, uint64_t second)
{
    uint64_t seen = atomic_load_explicit(&recorder->second_and_count, memory_order_relaxed), next;
    do {
        bool fresh = seen >> SECOND_BITS < second;
        uint64_t count = fresh ? 0 : seen & UINT32_MAX;
        if (count >= recorder->options.rate_max) return false;
        next = (fresh ? second : seen >> SECOND_BITS) << SECOND_BITS | (count + 1);
    } while (!atomic_compare_exchange_weak_explicit(&recorder->second_and_count, &seen, next,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

bool recorder_wants(struct recorder *recorder, uint32_t ring, uint64_t now_ns, bool failed)
{
    if (!policy_wants(&recorder->options, failed)) return false;
    if (LIKELY(take_room(recorder, now_ns / NS_PER_S & UINT32_MAX))) return true;
    counter_add(&recorder->rings[ring].shed_rate, 1);
    return false;
}

static struct place *place_at(const struct ring *ring, uint64_t position)
{
    return &ring->places[position & (RECORDER_RING_MAX - 1)];
}

struct record *recorder_begin(struct recorder *recorder, uint32_t index, struct arena **ret_arena)
{
    struct ring *ring = &recorder->rings[index];
    uint64_t end = atomic_load_explicit(&ring->end, memory_order_relaxed);
    uint64_t start = atomic_load_explicit(&ring->start, memory_order_acquire);
    uint64_t bytes = atomic_load_explicit(&ring->bytes, memory_order_relaxed);
    if (end - start == RECORDER_RING_MAX || bytes > RECORDER_RING_BYTES_MAX) {
        counter_add(&ring->shed_full, 1);
        return NULL;
    }
    struct place *place = place_at(ring, end);
    place->record = (struct record){.state = RECORD_PENDING};
    *ret_arena = &place->arena;
    return &place->record;
}

void recorder_drop(struct recorder *recorder, uint32_t index)
{
    struct ring *ring = &recorder->rings[index];
    arena_reset(&place_at(ring, atomic_load_explicit(&ring->end, memory_order_relaxed))->arena);
    counter_add(&ring->shed_full, 1);
}

static void wake(struct recorder *recorder)
{
    const uint64_t one = 1;
    /* Full means that it was woken already. */
    (void)!write(recorder->event, &one, sizeof one);
}

/* End, then asleep; the recorder's thread does it the other way round: one of the two sees the
 * other's, both being sequentially consistent. */
void recorder_end(struct recorder *recorder, uint32_t index)
{
    struct ring *ring = &recorder->rings[index];
    uint64_t end = atomic_load_explicit(&ring->end, memory_order_relaxed);
    atomic_fetch_add_explicit(&ring->bytes, place_at(ring, end)->arena.used, memory_order_relaxed);
    atomic_store(&ring->end, end + 1);
    if (UNLIKELY(atomic_load(&recorder->asleep))) {
        atomic_store(&recorder->asleep, false);
        wake(recorder);
    }
}

/* --- the recorder's thread -------------------------------------------------------------------- */

/* Once until it changes: a store that is away fails every batch. */
static void tell(struct recorder *recorder, const char *message, const struct error *err)
{
    if (strcmp(recorder->told.message, err->message) == 0) return;
    recorder->told = *err;
    log_warning(message, LOG_TEXT("error", err->message));
}

/* Copies the records that wait, at most RECORDER_BATCH_MAX; they stay in their places. */
static size_t gather(struct ring *ring, struct record *records)
{
    uint64_t start = atomic_load_explicit(&ring->start, memory_order_relaxed);
    uint64_t count = atomic_load(&ring->end) - start;
    if (count > RECORDER_BATCH_MAX) count = RECORDER_BATCH_MAX;
    for (uint64_t i = 0; i < count; i++) records[i] = place_at(ring, start + i)->record;
    return (size_t)count;
}

static void give_back(struct ring *ring, size_t count)
{
    uint64_t start = atomic_load_explicit(&ring->start, memory_order_relaxed);
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        struct arena *arena = &place_at(ring, start + i)->arena;
        bytes += arena->used;
        arena_reset(arena);
    }
    atomic_fetch_sub_explicit(&ring->bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&ring->start, start + count, memory_order_release);
}

static enum status put(struct store *store, const struct record *records, size_t count,
                       struct error *err)
{
    struct store_call call = {.operation = STORE_PUT, .put = {.records = records, .count = count}};
    return store_run(store, &call, err);
}

/* A batch with a record that the store refuses is written record by record. */
static void write_records(struct recorder *recorder, struct store *store,
                          const struct record *records, size_t count)
{
    struct error err;
    enum status status = put(store, records, count, &err);
    if (status == STATUS_INVALID_ARGUMENT && count > 1) {
        for (size_t i = 0; i < count; i++) write_records(recorder, store, &records[i], 1);
        return;
    }
    recorder->store_full = status == STATUS_EXHAUSTED;
    if (status != STATUS_OK) tell(recorder, "results not recorded", &err);
    counter_add(status == STATUS_OK ? &recorder->written : &recorder->failed, count);
}

/* True if there may be more. */
static bool empty_ring(struct recorder *recorder, struct ring *ring, struct store *store,
                       size_t *total)
{
    static _Thread_local struct record records[RECORDER_BATCH_MAX];
    size_t count = gather(ring, records);
    if (count == 0) return false;
    if (store)
        write_records(recorder, store, records, count);
    else
        counter_add(&recorder->shed_away, count);
    give_back(ring, count);
    *total += count;
    return count == RECORDER_BATCH_MAX;
}

static size_t empty_rings(struct recorder *recorder)
{
    struct store *store = recorder->options.store(recorder->options.context);
    size_t total = 0;
    for (uint32_t i = 0; i < recorder->options.ring_count; i++)
        while (empty_ring(recorder, &recorder->rings[i], store, &total)) continue;
    return total;
}

static void pause_for(struct recorder *recorder, uint64_t ns)
{
    struct pollfd wait = {.fd = recorder->event, .events = POLLIN};
    struct timespec timeout = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
    uint64_t count;
    if (ppoll(&wait, 1, &timeout, NULL) == 1) (void)!read(recorder->event, &count, sizeof count);
}

static enum status prune_step(struct recorder *recorder, struct store *store, bool *ret_more,
                              struct error *err)
{
    const struct recorder_options *options = &recorder->options;
    uint64_t now_us = clock_wall_ns() / NS_PER_US, age_us = options->keep_age_ns / NS_PER_US;
    struct store_call call = {
        .operation = STORE_PRUNE,
        .prune = {.before_us = age_us && age_us < now_us ? now_us - age_us : 0,
                  .bytes_max = options->keep_bytes,
                  .loans_before_us = now_us - MIN(options->loan_ns / NS_PER_US, now_us),
                  .count_max = PRUNE_STEP},
    };
    TRY(store_run(store, &call, err));
    counter_add(&recorder->pruned, call.prune.deleted);
    *ret_more = call.prune.more;
    return STATUS_OK;
}

/* A loan is not to last much longer than it was meant to, nor a store to be full. */
static uint64_t prune_pause_ns(const struct recorder *recorder)
{
    const struct recorder_options *options = &recorder->options;
    uint64_t pause_ns = options->prune_ns ? options->prune_ns : PRUNE_MS * NS_PER_MS;
    if (recorder->store_full) pause_ns = MIN(pause_ns, PRUNE_FULL_MS * NS_PER_MS);
    if (options->loan_ns == 0) return pause_ns;
    return MIN(pause_ns, MAX(options->loan_ns, PRUNE_MS_MIN * NS_PER_MS));
}

static void prune(struct recorder *recorder)
{
    struct error err;
    struct store *store = recorder->options.store(recorder->options.context);
    uint64_t now_ns = clock_monotonic_ns();
    if (!store || now_ns - recorder->pruned_ns < prune_pause_ns(recorder)) return;
    recorder->pruned_ns = now_ns;
    bool more = true;
    while (more && !atomic_load(&recorder->ending)) {
        if (prune_step(recorder, store, &more, &err) != STATUS_OK) {
            tell(recorder, "old results not pruned", &err);
            return;
        }
        (void)empty_rings(recorder);
        if (more) pause_for(recorder, PRUNE_PAUSE_MS * NS_PER_MS);
    }
}

static bool something_waits(struct recorder *recorder)
{
    for (uint32_t i = 0; i < recorder->options.ring_count; i++) {
        struct ring *ring = &recorder->rings[i];
        if (atomic_load(&ring->end) != atomic_load_explicit(&ring->start, memory_order_relaxed))
            return true;
    }
    return false;
}

/* Until something is recorded, or it is time to prune. */
static void sleep_until_woken(struct recorder *recorder)
{
    atomic_store(&recorder->asleep, true);
    if (!something_waits(recorder) && !atomic_load(&recorder->ending))
        pause_for(recorder, prune_pause_ns(recorder));
    atomic_store(&recorder->asleep, false);
}

static void *run(void *context)
{
    struct recorder *recorder = context;
    uint64_t flush_ns =
        recorder->options.flush_ns ? recorder->options.flush_ns : FLUSH_MS * NS_PER_MS;
    int idle_rounds = 0;
    while (!atomic_load(&recorder->ending)) {
        idle_rounds = empty_rings(recorder) > 0 ? 0 : idle_rounds + 1;
        prune(recorder);
        if (atomic_load(&recorder->ending)) break; /* pruning took the event that said so */
        if (idle_rounds >= IDLE_ROUNDS)
            sleep_until_woken(recorder);
        else
            pause_for(recorder, flush_ns);
    }
    (void)empty_rings(recorder);
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------- */

static void free_parts(struct recorder *recorder)
{
    for (uint32_t i = 0; i < recorder->options.ring_count; i++) {
        struct place *places = recorder->rings[i].places;
        for (size_t k = 0; places && k < RECORDER_RING_MAX; k++) arena_clear(&places[k].arena);
        mem_free(places);
    }
    if (recorder->event >= 0) (void)close(recorder->event);
    mem_free(recorder);
}

enum status recorder_new(const struct recorder_options *options, struct recorder **ret_recorder,
                         struct error *err)
{
    size_t size = sizeof(struct recorder) + options->ring_count * sizeof(struct ring);
    struct recorder *recorder = mem_try_new_aligned(64, (size + 63) & ~(size_t)63);
    if (!recorder) return fail(err, STATUS_EXHAUSTED, "no memory for the recorder");
    memset(recorder, 0, size);
    recorder->options = *options;
    for (uint32_t i = 0; i < options->ring_count; i++) {
        struct place *places = MEM_NEW_ARRAY(struct place, RECORDER_RING_MAX);
        recorder->rings[i].places = places;
        for (size_t k = 0; k < RECORDER_RING_MAX; k++)
            arena_init(&places[k].arena, RECORDER_RECORD_BYTES_MAX);
    }
    recorder->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int problem = recorder->event < 0 ? errno : 0;
    if (!problem) problem = pthread_create(&recorder->thread, NULL, run, recorder);
    if (problem) {
        free_parts(recorder);
        return fail_errno(err, problem, "starting the thread that records results");
    }
    *ret_recorder = recorder;
    return STATUS_OK;
}

void recorder_free(struct recorder *recorder)
{
    if (!recorder) return;
    atomic_store(&recorder->ending, true);
    wake(recorder);
    (void)pthread_join(recorder->thread, NULL);
    free_parts(recorder);
}

bool recorder_flush(struct recorder *recorder, uint64_t timeout_ns)
{
    uint64_t until_ns = clock_monotonic_ns() + timeout_ns;
    const struct timespec pause = {0, FLUSH_LOOK_NS};
    while (something_waits(recorder)) {
        if (clock_monotonic_ns() >= until_ns) return false;
        wake(recorder);
        (void)nanosleep(&pause, NULL); /* interrupted: a shorter pause */
    }
    return true;
}

const struct recorder_options *recorder_options(const struct recorder *recorder)
{
    return &recorder->options;
}

void recorder_counters_read(const struct recorder *recorder, struct recorder_counters *ret_counters)
{
    struct recorder_counters sum = {
        .written = counter_get(&recorder->written),
        .failed = counter_get(&recorder->failed),
        .shed_away = counter_get(&recorder->shed_away),
        .pruned = counter_get(&recorder->pruned),
    };
    for (uint32_t i = 0; i < recorder->options.ring_count; i++) {
        sum.shed_full += counter_get(&recorder->rings[i].shed_full);
        sum.shed_rate += counter_get(&recorder->rings[i].shed_rate);
    }
    *ret_counters = sum;
}
