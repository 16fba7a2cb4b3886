/* What a configuration must fulfil by itself, before any model is looked at. */
#ifndef CONFIG_MODEL_RULES_H
#define CONFIG_MODEL_RULES_H

#include "config/model_config.h"

/*
 * Checks ranges and relations, warns of what has no effect, and derives slipway.placement from the
 * parameter. INVALID_ARGUMENT names the field.
 */
enum status model_config_check(struct model_config *config, struct error *err) FALLIBLE;

/* A tensor's name, or a path such as $.parameters.user: what store/privacy.h can redact. */
enum status model_config_check_redact(struct str text, struct error *err) FALLIBLE;

/* Notes a warning; beyond MODEL_CONFIG_WARNINGS_MAX they are dropped. `context` is the config. */
void model_config_warn(void *context, const char *text);

#endif
