/*
 * Inputs as a person gives them on the command line or in a file, to a request. Pure.
 *
 *   x=1,2,3             type and shape from the model
 *   x[2,3]=1,2,3,4,5,6  with a shape
 *   x:FP32[1,3]=1,2,3   with both
 *   x=[[1,2],[3,4]]     JSON
 *   text=good morning   one string
 */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include "protocol/infer.h"

enum input_format { INPUT_FORMAT_AUTO, INPUT_FORMAT_OIP, INPUT_FORMAT_ARRAY, INPUT_FORMAT_CSV };

/* Adds one input from `--input`'s text; the request's inputs have room for INFER_TENSORS_MAX. */
enum status input_read_flag(const char *text, const struct infer_spec *spec,
                            struct infer_request *request, struct error *err) FALLIBLE;

/* Fills in the request from a file's text. AUTO: by its first byte. */
enum status input_read_text(struct str text, enum input_format format,
                            const struct infer_spec *spec, struct infer_request *request,
                            struct error *err) FALLIBLE;

#endif
