/*
 * From a model's configuration to what serve works with: batch policy, placement, the tensors as
 * clients see them, reshapes, labels.
 */
#ifndef SERVE_SETTINGS_H
#define SERVE_SETTINGS_H

#include "config/model_config.h"
#include "serve/warmup.h"

enum { SETTINGS_LABELS_MAX = 1000000, SETTINGS_LABEL_FILE_MAX = 16 * 1024 * 1024 };

/* What a model without any configuration gets; the base of settings_apply. */
void settings_init(struct model_settings *settings, const struct serve_options *options,
                   int64_t batch_size_max);

/*
 * Sets model->settings, spec, reshapes and labels from model->config, which is complete, and the
 * loaded engine_model. `directory` is where label files are; NULL: nowhere.
 */
enum status settings_apply(struct model *model, const char *directory, struct error *err) FALLIBLE;

/* Frees what settings_apply made, and the config. */
void settings_free_model_parts(struct model *model);

#endif
