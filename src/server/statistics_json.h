/*
 * The statistics extension's answer: `{"model_stats":[...]}` from serve's counters. Pure.
 *
 * As Triton has it: `inference_count` counts rows, `execution_count` engine calls, both without
 * cache hits; `last_inference` is milliseconds since 1970; durations are nanoseconds.
 */
#ifndef SERVER_STATISTICS_JSON_H
#define SERVER_STATISTICS_JSON_H

#include "base/str.h"
#include "serve/serve.h"

void statistics_json_write(struct buffer *out, const struct serve_statistics *statistics);

#endif
