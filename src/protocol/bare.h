/*
 * The bare body: a JSON array that is the only input of a model, answered by the array that is its
 * output: [1,2,3,4,5] -> [2,4,6,8,10]. Nesting gives the shape.
 */
#ifndef PROTOCOL_BARE_H
#define PROTOCOL_BARE_H

#include "protocol/infer.h"

/*
 * Reads a body into the model's one required input, of the model's type; where that is ANY, INT64
 * if every number is whole and fits, else FP32, BOOL or BYTES. Arrays must be regular.
 */
enum status bare_read(struct str body, const struct infer_spec *spec, struct infer_request *request,
                      struct error *err) FALLIBLE;

/* Appends the output nested by its shape; several outputs as an object by name. */
enum status bare_write(const struct infer_reply *reply, struct buffer *out,
                       struct error *err) FALLIBLE;

#endif
