/* A job as JSON: what GET /v2/jobs/{id}, the list and the events show. Pure. */
#ifndef JOBS_JSON_H
#define JOBS_JSON_H

#include "base/json.h"
#include "store/record.h"

/* Appends one object. With `result` the output is embedded, if it is JSON and there whole. */
void job_json_write(const struct record *record, bool result, struct json_writer *json);

#endif
