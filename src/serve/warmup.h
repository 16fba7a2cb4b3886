/*
 * Running a model before its first request: the samples of `model_warmup`, or one of zeros when
 * every dimension is known. Also measures what one engine call costs, which decides where the model
 * runs at first.
 */
#ifndef SERVE_WARMUP_H
#define SERVE_WARMUP_H

#include "serve/model.h"

enum { WARMUP_SAMPLES_MAX = 256, WARMUP_COUNT_MAX = 10000 };

/* One sample: a whole set of inputs, in the model's order. */
struct warmup_sample {
    const char *name;
    struct slipway_tensor *inputs;
    uint32_t count; /* how often it runs */
};

struct warmup {
    struct arena *arena; /* everything below lives here */
    struct warmup_sample *samples;
    size_t sample_count;
    bool made_up; /* of zeros: a refusal is no failure of the model */
};

/* A sample of zeros, none if a dimension (but the batch) or a type is not known. */
enum status warmup_make_up(const struct infer_spec *spec, struct arena *arena,
                           struct warmup *ret_warmup, struct error *err) FALLIBLE;

/* Runs all samples; *ret_cost_ns is what the fastest run of one row or batch took, 0: none ran. */
enum status warmup_run(const struct warmup *warmup, const struct model *model,
                       struct engine_instance *instance, uint64_t *ret_cost_ns,
                       struct error *err) FALLIBLE;

#endif
