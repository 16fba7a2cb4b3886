/* The response cache. */
#include "serve/cache.h"

#include "base/hash.h"
#include "base/mem.h"
#include "serve/model.h"

#include <pthread.h>

enum {
    SHARDS = 8,
    BUCKETS = 1024,      /* of one shard */
    ENTRY_SHARE_MAX = 8, /* an entry takes at most 1/8 of its shard */
    ENTRY_ALIGNMENT = 64,
};

_Static_assert((SHARDS & (SHARDS - 1)) == 0, "a shard is chosen by some bits of the key");

/* One answer: a single piece of memory that holds tensors, dims, data, and the texts of BYTES. */
struct serve_cached {
    _Atomic uint32_t references; /* the shard's, and calls on their way to be answered */
    uint8_t key[SHA256_SIZE];
    struct serve_cached *next; /* in the bucket */
    struct list recency;
    size_t size;
    size_t tensor_count;
    struct slipway_tensor *tensors;
};

struct shard {
    pthread_mutex_t mutex;
    struct serve_cached *buckets[BUCKETS];
    struct list recent; /* the most recently used first */
    uint64_t bytes;
    uint64_t entries;
    uint64_t hits;
    uint64_t misses;
    uint64_t evictions;
};

struct cache {
    uint64_t shard_size_max;
    struct shard shards[SHARDS];
};

struct cache *cache_new(uint64_t size_max)
{
    struct cache *cache = MEM_NEW(struct cache);
    cache->shard_size_max = size_max / SHARDS;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&cache->shards[i].mutex, NULL);
        list_init(&cache->shards[i].recent);
    }
    return cache;
}

static void unref(struct serve_cached *entry)
{
    if (atomic_fetch_sub_explicit(&entry->references, 1, memory_order_acq_rel) == 1)
        mem_free(entry);
}

void cache_free(struct cache *cache)
{
    if (!cache) return;
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        LIST_EACH_SAFE(link, &shard->recent)
        unref(CONTAINER_OF(link, struct serve_cached, recency));
        pthread_mutex_destroy(&shard->mutex);
    }
    mem_free(cache);
}

/* --- keys ----------------------------------------------------------------------------------- */

static void add_bytes(struct sha256 *hash, const void *data, size_t size)
{
    sha256_add(hash, (struct str){data, size});
}

static void add_number(struct sha256 *hash, uint64_t number)
{
    add_bytes(hash, &number, sizeof number);
}

static void add_tensor(struct sha256 *hash, const struct slipway_tensor *tensor)
{
    add_number(hash, ((uint64_t)tensor->dtype << 32) | tensor->rank);
    if (tensor->dtype == DTYPE_ANY) return;
    add_bytes(hash, tensor->dims, tensor->rank * sizeof *tensor->dims);
    add_number(hash, tensor->byte_size);
    if (tensor->dtype != DTYPE_BYTES) {
        if (tensor->byte_size) add_bytes(hash, tensor->data, (size_t)tensor->byte_size);
        return;
    }
    const struct slipway_bytes *texts = tensor->data;
    for (uint64_t i = 0; i < tensor->byte_size / sizeof *texts; i++) {
        add_number(hash, texts[i].size);
        if (texts[i].size) add_bytes(hash, texts[i].data, (size_t)texts[i].size);
    }
}

/* The model's digest covers its files and configuration, so a reload finds nothing old. */
static void make_key(const struct serve_call *call, uint8_t *key)
{
    const struct model *model = call->model->model;
    struct sha256 hash;
    sha256_init(&hash);
    add_number(&hash, model->name_text.size);
    sha256_add(&hash, model->name_text);
    add_number(&hash, (uint64_t)model->version);
    add_bytes(&hash, model->digest, sizeof model->digest);
    for (size_t i = 0; i < model->spec.input_count; i++) add_tensor(&hash, &call->bound.tensors[i]);
    if (call->bound.wanted) add_bytes(&hash, call->bound.wanted, model->spec.output_count);
    sha256_end(&hash, key);
}

static struct shard *shard_of(struct cache *cache, const uint8_t *key)
{
    return &cache->shards[key[0] & (SHARDS - 1)];
}

static struct serve_cached **bucket_of(struct shard *shard, const uint8_t *key)
{
    return &shard->buckets[(((size_t)key[1] << 8) | key[2]) % BUCKETS];
}

/* --- entries -------------------------------------------------------------------------------- */

static size_t align_up(size_t size)
{
    return (size + ENTRY_ALIGNMENT - 1) & ~(size_t)(ENTRY_ALIGNMENT - 1);
}

static size_t texts_size(const struct slipway_tensor *tensor)
{
    size_t total = 0;
    if (tensor->dtype != DTYPE_BYTES) return 0;
    const struct slipway_bytes *texts = tensor->data;
    for (uint64_t i = 0; i < tensor->byte_size / sizeof *texts; i++) total += texts[i].size;
    return total;
}

static size_t entry_size(const struct serve_call *call)
{
    size_t size =
        align_up(sizeof(struct serve_cached) + call->output_count * sizeof(struct slipway_tensor));
    for (size_t i = 0; i < call->output_count; i++) {
        const struct slipway_tensor *tensor = &call->outputs[i];
        if (tensor->dtype == DTYPE_ANY) continue;
        size += align_up(tensor->rank * sizeof *tensor->dims);
        size += align_up((size_t)tensor->byte_size) + align_up(texts_size(tensor));
    }
    return size;
}

static char *copy(char **at, const void *data, size_t size)
{
    char *target = *at;
    if (size) memcpy(target, data, size);
    *at += align_up(size);
    return target;
}

static void copy_texts(char **at, struct slipway_tensor *tensor, size_t size)
{
    struct slipway_bytes *texts = tensor->data;
    char *text = *at;
    for (uint64_t i = 0; i < tensor->byte_size / sizeof *texts; i++) {
        if (texts[i].size) memcpy(text, texts[i].data, (size_t)texts[i].size);
        texts[i].data = text;
        text += texts[i].size;
    }
    *at += align_up(size);
}

static struct serve_cached *copy_answer(const struct serve_call *call, size_t size)
{
    struct serve_cached *entry = mem_try_new_aligned(ENTRY_ALIGNMENT, size);
    if (!entry) return NULL;
    memset(entry, 0, sizeof *entry);
    atomic_init(&entry->references, 1);
    memcpy(entry->key, call->cache_key, SHA256_SIZE);
    entry->size = size;
    entry->tensor_count = call->output_count;
    entry->tensors = (struct slipway_tensor *)(void *)(entry + 1);
    char *at =
        (char *)entry + align_up(sizeof *entry + entry->tensor_count * sizeof *entry->tensors);
    for (size_t i = 0; i < entry->tensor_count; i++) {
        struct slipway_tensor *tensor = &entry->tensors[i];
        *tensor = call->outputs[i];
        if (tensor->dtype == DTYPE_ANY) continue;
        size_t texts = texts_size(tensor);
        tensor->dims = (void *)copy(&at, tensor->dims, tensor->rank * sizeof *tensor->dims);
        tensor->data = copy(&at, tensor->data, (size_t)tensor->byte_size);
        if (tensor->dtype == DTYPE_BYTES) copy_texts(&at, tensor, texts);
    }
    assert(at == (char *)entry + size);
    return entry;
}

/* --- the table; all under the shard's mutex -------------------------------------------------- */

static struct serve_cached *lookup(struct shard *shard, const uint8_t *key)
{
    struct serve_cached *entry = *bucket_of(shard, key);
    while (entry && memcmp(entry->key, key, SHA256_SIZE) != 0) entry = entry->next;
    return entry;
}

static void evict_oldest(struct shard *shard)
{
    struct serve_cached *entry = CONTAINER_OF(shard->recent.previous, struct serve_cached, recency);
    struct serve_cached **place = bucket_of(shard, entry->key);
    while (*place != entry) place = &(*place)->next;
    *place = entry->next;
    list_remove(&entry->recency);
    shard->bytes -= entry->size;
    shard->entries--;
    shard->evictions++;
    unref(entry);
}

static void insert(struct shard *shard, struct serve_cached *entry, uint64_t size_max)
{
    while (shard->bytes + entry->size > size_max) evict_oldest(shard);
    struct serve_cached **bucket = bucket_of(shard, entry->key);
    entry->next = *bucket;
    *bucket = entry;
    list_add_first(&shard->recent, &entry->recency);
    shard->bytes += entry->size;
    shard->entries++;
}

/* --- calls ---------------------------------------------------------------------------------- */

bool cache_find(struct cache *cache, struct serve_call *call)
{
    uint8_t key[SHA256_SIZE];
    make_key(call, key);
    struct shard *shard = shard_of(cache, key);
    pthread_mutex_lock(&shard->mutex);
    struct serve_cached *entry = lookup(shard, key);
    if (entry) {
        atomic_fetch_add_explicit(&entry->references, 1, memory_order_relaxed);
        list_remove(&entry->recency);
        list_add_first(&shard->recent, &entry->recency);
        shard->hits++;
    } else {
        shard->misses++;
    }
    pthread_mutex_unlock(&shard->mutex);
    call->cached = entry;
    if (!entry) call->cache_key = memcpy(mem_new(SHA256_SIZE), key, SHA256_SIZE);
    return entry != NULL;
}

void cache_show(struct serve_call *call)
{
    call->outputs = call->cached->tensors;
    call->output_count = call->cached->tensor_count;
    call->batch_rows = 0;
}

void cache_store(struct cache *cache, struct serve_call *call)
{
    size_t size = entry_size(call);
    if (size > cache->shard_size_max / ENTRY_SHARE_MAX) return;
    struct serve_cached *entry = copy_answer(call, size);
    if (!entry) return;
    struct shard *shard = shard_of(cache, entry->key);
    pthread_mutex_lock(&shard->mutex);
    bool known = lookup(shard, entry->key) != NULL;
    if (!known) insert(shard, entry, cache->shard_size_max);
    pthread_mutex_unlock(&shard->mutex);
    if (known) unref(entry);
}

void cache_let_go(struct serve_call *call)
{
    if (call->cached) unref(call->cached);
    call->cached = NULL;
    mem_free(call->cache_key);
    call->cache_key = NULL;
}

void cache_read_totals(struct cache *cache, struct cache_totals *ret_totals)
{
    struct cache_totals totals = {0};
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        pthread_mutex_lock(&shard->mutex);
        totals.bytes += shard->bytes;
        totals.entries += shard->entries;
        totals.hits += shard->hits;
        totals.misses += shard->misses;
        totals.evictions += shard->evictions;
        pthread_mutex_unlock(&shard->mutex);
    }
    *ret_totals = totals;
}
