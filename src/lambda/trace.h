/*
 * X-Ray's trace header,
 * "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1", as W3C has it.
 * Pure.
 */
#ifndef LAMBDA_TRACE_H
#define LAMBDA_TRACE_H

#include "base/str.h"

enum { LAMBDA_TRACE_ID_SIZE = 32, LAMBDA_SPAN_ID_SIZE = 16, LAMBDA_TRACEPARENT_SIZE = 55 };

/* Texts are empty where the header does not say, or says nonsense. */
struct lambda_trace {
    char trace_id[LAMBDA_TRACE_ID_SIZE + 1];
    char parent_id[LAMBDA_SPAN_ID_SIZE + 1];
    bool sampled;
};

/* The keys may stand in any order; unknown ones are passed over. */
void lambda_trace_read(struct str header, struct lambda_trace *ret_trace);

/* "00-TRACE-PARENT-01"; empty if the trace has no id or no parent. */
void lambda_trace_parent(const struct lambda_trace *trace, char text[LAMBDA_TRACEPARENT_SIZE + 1]);

#endif
