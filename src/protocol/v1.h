/*
 * The V1 protocol of TensorFlow Serving and KServe: {"instances":[...]}, one per row, or columnar
 * {"inputs":...}; answered with {"predictions":[...]} or {"outputs":...}. Which types and how many
 * inputs is the model's to say. {"b64":"..."} stands for bytes.
 */
#ifndef PROTOCOL_V1_H
#define PROTOCOL_V1_H

#include "protocol/infer.h"

/* Reads a body. *ret_columnar says in which form to answer. */
enum status v1_read(struct str body, const struct infer_spec *spec, struct infer_request *request,
                    bool *ret_columnar, struct error *err) FALLIBLE;

/*
 * Appends the answer. One output: its values, nested by its shape. Several: rows are objects by
 * output name, or columnar one array per name. Row form needs the outputs' first dimensions equal.
 */
enum status v1_write(const struct infer_reply *reply, bool columnar, struct buffer *out,
                     struct error *err) FALLIBLE;

#endif
