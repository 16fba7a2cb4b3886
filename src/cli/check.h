/*
 * The gate before production: everything that can be known of a model without a client. Each
 * finding is an item of the report:
 *
 *   load         it loads, how long that took
 *   file         digest, permissions, what an archive holds
 *   signature    what goes in and out, as clients will see it
 *   case NAME    each file of the cases' directory
 *   determinism  the same input gives the same bits, run after run
 *   batching     a request's answer does not depend on its company in a batch
 *   nan          no NaN or infinity comes out unless the model's configuration allows it
 *   latency      within the budget of the command line or the model's configuration
 *   memory       the same for memory
 */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include "cli/report.h"

struct engine_registry;

struct check_options {
    const char *path; /* model file, model directory or repository */
    const char *engine_directory;
    uint32_t engine_threads;
    struct engine_registry *engines; /* borrowed; NULL: its own */
    const char *cases;               /* directory; NULL or "": cases/ in the model's own */
    uint64_t runs;                   /* of each input */
    /* Budgets; 0: the model's own, if it has one. */
    uint64_t latency_p50_max_ns;
    uint64_t latency_p99_max_ns;
    uint64_t memory_max;
};

/* Adds the findings for each model at the path. Fails only if there is nothing to check. */
enum status check_run(const struct check_options *options, struct report *report,
                      struct error *err) FALLIBLE;

#endif
