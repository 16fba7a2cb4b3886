/*
 * The inside of struct serve: what lanes, models and the repository share.
 */
#ifndef SERVE_CORE_H
#define SERVE_CORE_H

#include "serve/lane.h"

#include <pthread.h>

struct repository;
struct cache;

struct serve {
    struct serve_options options; /* defaults filled in; its pointers are not kept, but `engines` */
    uint64_t bytes_per_lane;
    _Atomic bool draining;

    pthread_mutex_t mutex; /* held briefly, never while a model loads */
    struct plan *plan;     /* the newest; under the mutex */
    uint32_t generation;
    uint32_t lane_count;
    struct serve_lane *lanes[SERVE_LANES_MAX]; /* NULL: not made, or freed */

    /* Models whose last reference is gone, on their way to the unloading thread. */
    pthread_mutex_t dispose_mutex;
    pthread_cond_t dispose_work;
    struct list disposed; /* by dispose_link */
    bool dispose_stopping;
    uint64_t unload_count;
    pthread_t dispose_thread;

    _Atomic uint64_t load_success;
    _Atomic uint64_t load_failure;
    struct cache *cache;           /* NULL: none */
    struct repository *repository; /* NULL in tests that publish by themselves */
};

/* Makes `models` (each borrowed) what can be asked for, in all lanes. Any thread. */
void serve_publish(struct serve *serve, struct model **models, size_t model_count,
                   struct plan_unready *unready, size_t unready_count);

/* A reference on the newest plan. Any thread. */
struct plan *serve_plan(struct serve *serve);

/* Gives a model without references to the unloading thread. Any thread. */
void serve_dispose(struct serve *serve, struct model *model);

/*
 * Without repository and loads: for serve_new, and for tests that publish models of their own.
 * Starts the unloading thread.
 */
enum status serve_core_new(const struct serve_options *options, struct serve **ret_serve,
                           struct error *err) FALLIBLE;
void serve_core_free(struct serve *serve);

#endif
