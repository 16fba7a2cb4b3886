/* The tables of a model's configuration: Triton's message ModelConfig, and what is ours. */
#ifndef CONFIG_MODEL_SCHEMA_H
#define CONFIG_MODEL_SCHEMA_H

#include "config/model_config.h"
#include "config/schema.h"

extern const struct schema_message model_schema;

#endif
