/*
 * The response cache: answers of models whose config enables it, by what was asked. Bounded bytes,
 * least recently used goes first. One for the process, split into shards with a lock each; only
 * calls on models that enable it come here.
 *
 *   key = SHA-256(model's name, version and digest, every input's type, shape and bytes, wanted)
 */
#ifndef SERVE_CACHE_H
#define SERVE_CACHE_H

#include "serve/serve.h"

struct cache;

struct cache_totals {
    uint64_t bytes;
    uint64_t entries;
    uint64_t hits;
    uint64_t misses;
    uint64_t evictions;
};

/* `size_max` bytes for all entries together. */
struct cache *cache_new(uint64_t size_max);
void cache_free(struct cache *cache);

/*
 * Looks the call up. True: call->cached holds a reference on the answer. False: call->cache_key is
 * set, owned by the call, for cache_store.
 */
bool cache_find(struct cache *cache, struct serve_call *call);

/* Points call->outputs at the cached answer. */
void cache_show(struct serve_call *call);

/* Keeps a copy of call->outputs under call->cache_key, unless it is too large to be worth it. */
void cache_store(struct cache *cache, struct serve_call *call);

/* Drops what the call holds of the cache: its reference, its key. */
void cache_let_go(struct serve_call *call);

void cache_read_totals(struct cache *cache, struct cache_totals *ret_totals);

#endif
