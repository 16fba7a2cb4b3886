/*
 * The classification extension: an output tensor becomes its k largest values, each a string
 * "value:index" or "value:index:label", the value as C's %f.
 */
#ifndef PROTOCOL_CLASSIFICATION_H
#define PROTOCOL_CLASSIFICATION_H

#include "protocol/infer.h"

enum { CLASSIFICATION_ELEMENTS_MAX = 1000000 };

struct classification {
    uint32_t top_k;           /* >= 1; more than there are classes means all */
    bool batched;             /* dims[0] counts rows, each classified by itself */
    const struct str *labels; /* by index; missing or empty ones are left out */
    size_t label_count;
};

/* Replaces output->tensor by BYTES of shape [k] or [batch, k]; memory from the arena. */
enum status classification_apply(const struct classification *how, struct arena *arena,
                                 struct infer_tensor *output, struct error *err) FALLIBLE;

#endif
