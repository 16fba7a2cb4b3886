/*
 * Warm-up samples as a model's configuration describes them: zeros, random numbers, or files of the
 * model's directory `warmup/`.
 */
#ifndef SERVE_SAMPLE_H
#define SERVE_SAMPLE_H

#include "serve/settings.h"

/* The configured samples, or zeros if none is. All memory from the arena. */
enum status sample_make(const struct model *model, const char *directory, struct arena *arena,
                        struct warmup *ret_warmup, struct error *err) FALLIBLE;

#endif
