/*
 * From a model's configuration to what serve works with: batch policy, placement, shapes as clients
 * see them, reshapes, labels, warm-up samples.
 */
#ifndef SERVE_SETTINGS_H
#define SERVE_SETTINGS_H

#include "serve/warmup.h"

/* What a model without any configuration gets; the base of settings_read. */
void settings_init(struct model_settings *settings, const struct serve_options *options,
                   int64_t batch_size_max);

/* Frees what settings made: config, spec, reshapes, labels. */
void settings_free_model_parts(struct model *model);

#endif
