/*
 * One loaded version of a model, and what each lane has of it.
 *
 *   load (control thread) -> published in a plan -> ... -> in no plan, no call in flight -> unload
 *
 * Immutable once published but for two parts: `lanes[i]` belongs to lane i's thread, and `runners`
 * has a lock of its own. References are held by plans, by lanes that still have calls on a model
 * that left the plan, and by whoever loads; the last one to go hands the model to the control
 * thread, which unloads it: never the loop's thread.
 */
#ifndef SERVE_MODEL_H
#define SERVE_MODEL_H

#include "base/counter.h"
#include "base/hash.h"
#include "protocol/oip_json.h"
#include "serve/execute.h"
#include "serve/placement.h"

struct serve;
struct runners;
struct cache;

enum {
    MODEL_INSTANCES_MAX = 64, /* runners of one model */
    MODEL_VERSION_TEXT_SIZE = 21,
};

/* What one lane has of a model. Only that lane's thread touches it, but for counters. */
struct serve_model {
    struct model *model;
    struct batch_queue queue; /* calls of this turn, or left over from the last */
    struct list ready_link;   /* on the lane's list while something waits */
    struct list order;        /* calls by submission, by order_link; if the order is kept */
    struct list flush_link;   /* on the lane's list while the first of them is parked */
    uint32_t ordered_count;   /* in `order` */
    uint32_t holds;           /* calls in flight, and serve_model_hold */
    uint32_t generation;      /* of the newest plan that has it */
    bool retired;             /* in no plan any more; the holds keep one reference */
    struct placement placement;
    struct counter runs_inline;      /* placement.runs_inline, for other threads; so are these */
    struct counter running_since_ns; /* of the engine call inline; 0: none */
    struct counter stalls;
    uint64_t look_ns;      /* when to look next whether it stalls on other lanes */
    uint64_t known_stalls; /* of all lanes together, when it was last looked */
    struct statistics *statistics;
    struct engine_instance *instance; /* for inline execution; NULL if it never runs inline */
} __attribute__((aligned(64)));

/* What the configuration asks of serve; see settings.h. */
struct model_settings {
    struct batch_policy policy;
    struct placement_rule placement;
    uint32_t instance_count;
    bool shapes_vary; /* calls may differ in their shapes or in which inputs they bring */
    bool caches;      /* response_cache.enable */
    bool keeps_order; /* dynamic_batching.preserve_ordering */
};

struct model_labels {
    char *text;        /* the file; lines end in NUL */
    struct str *lines; /* NULL: no labels */
    size_t count;
};

struct model {
    _Atomic uint32_t references;
    struct serve *serve;
    struct list dispose_link; /* control thread's, when the last reference is gone */
    char *name;
    struct str name_text;
    int64_t version;
    char version_text[MODEL_VERSION_TEXT_SIZE];
    struct str version_str;
    uint8_t digest[SHA256_SIZE]; /* of files and configuration */
    struct model_config *config; /* owned */
    struct model_settings settings;
    struct engine_model *engine_model;
    struct infer_spec spec;      /* as clients see it: config's types and shapes */
    struct oip_json_texts texts; /* of its answers; in the config's arena */
    struct execute_plan plan;
    struct execute_reshape *input_reshapes;
    struct execute_reshape *output_reshapes;
    struct model_labels *labels; /* one per output */
    struct runners *runners;
    uint64_t warm_cost_ns; /* of one engine call; 0: no warm-up was possible */
    uint64_t load_ns;      /* without the trial */
    uint64_t trial_ns;     /* 0: none */
    uint32_t lane_count;
    struct serve_model *lanes;
};

static inline void model_ref(struct model *model)
{
    atomic_fetch_add_explicit(&model->references, 1, memory_order_relaxed);
}

/* Any thread. */
void model_unref(struct model *model);

struct warmup;

/* A model without anything but its name; one reference. */
struct model *model_new(struct serve *serve, const char *name, int64_t version);

/*
 * With settings, engine_model and spec set: makes runners, lanes and instances, warms up, and
 * decides where it runs first. Slow. On failure model_free is still the caller's to call.
 */
enum status model_assemble(struct model *model, const struct warmup *warmup,
                           struct error *err) FALLIBLE;

struct layout_model;
struct layout_version;

/*
 * Loads one version of what lies in a repository, from engine to warm-up: one reference, the
 * caller's. Slow; control threads.
 */
enum status model_load(struct serve *serve, const struct layout_model *layout,
                       const struct layout_version *version, const uint8_t digest[SHA256_SIZE],
                       struct model **ret_model, struct error *err) FALLIBLE;

/* Unloads; nothing refers to it any more. Slow. Accepts NULL and half-built ones. */
void model_free(struct model *model);

#endif
