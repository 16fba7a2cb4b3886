/*
 * The plan: which models can be asked for, as an immutable table that the control threads publish
 * and each lane reads without a lock. Reference-counted; holds one reference on each of its models.
 *
 *   names (hash table) -> "doubleit" -> models[first .. first + count), by ascending version
 *
 * Also knows the names and versions that exist but are not ready, for the answer's text only.
 */
#ifndef SERVE_PLAN_H
#define SERVE_PLAN_H

#include "serve/model.h"

/* A name or a version that cannot be asked for now. */
struct plan_unready {
    char *name;
    int64_t version; /* 0: the name as a whole */
};

struct plan_name {
    struct str name; /* the first model's own */
    uint32_t first;
    uint32_t count;
};

struct plan {
    _Atomic uint32_t references;
    uint32_t generation;
    struct model **models; /* by name, then version */
    struct str *versions;  /* the models' version texts, in the same order */
    size_t model_count;
    struct plan_name *names;
    size_t name_count;
    uint32_t *table; /* position in `names` plus one; 0: empty. Size is a power of two */
    uint32_t table_mask;
    struct plan_unready *unready; /* by name, then version */
    size_t unready_count;
};

/*
 * Takes a reference on each model; copies the names of `unready`. Both arrays are borrowed and
 * sorted in place.
 */
struct plan *plan_new(struct model **models, size_t model_count, struct plan_unready *unready,
                      size_t unready_count, uint32_t generation);
void plan_ref(struct plan *plan);
void plan_unref(struct plan *plan); /* NULL is fine */

/* The name's entry, NULL if none of its versions is ready. */
const struct plan_name *plan_find_name(const struct plan *plan, struct str name);

/* The model for a request, errors as serve_find has them. */
enum status plan_find(const struct plan *plan, struct str name, struct str version,
                      struct model **ret_model, struct error *err) FALLIBLE;

/* A version as clients write it, 1 or more digits; 0 if it is none (no model has version 0). */
int64_t plan_parse_version(struct str text);

#endif
