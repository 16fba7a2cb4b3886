/*
 * The Open Inference Protocol's JSON, both ways and for both ends. Pure: bytes in, structs out. The
 * texts of failures are Triton's.
 *
 *   struct infer_request request;
 *   infer_request_init(&request, &arena);
 *   TRY(oip_json_read(body, STR_EMPTY, &request, err));
 *   ...
 *   TRY(oip_json_write(&reply, &out, err));
 *
 * `data` may be nested or flat and may come before `datatype`; it is decoded straight into the
 * tensor's memory in the arena. Strings without escapes are views of the body. Members that the
 * protocol does not know are skipped, members given twice refused. Outputs are written flat; NaN
 * and the infinities as the tokens that Python's json reads.
 */
#ifndef PROTOCOL_OIP_JSON_H
#define PROTOCOL_OIP_JSON_H

#include "protocol/infer.h"

/*
 * Reads a request. `blobs` are the bytes behind the JSON, for inputs that have `binary_data_size`:
 * empty unless the binary extension is used (oip_binary_read splits a body). Whatever the request
 * held before, model_name and model_version excepted, is replaced.
 */
enum status oip_json_read(struct str json, struct str blobs, struct infer_request *request,
                          struct error *err) FALLIBLE;

/* Appends a reply, every output as JSON. FP16 and BF16 have none: INVALID_ARGUMENT. */
enum status oip_json_write(const struct infer_reply *reply, struct buffer *out,
                           struct error *err) FALLIBLE;

/*
 * What is the same in each answer of a model, escaped once, when the model is loaded:
 *
 *   {"model_name":"m","model_version":"1"        head
 *   {"name":"y","datatype":"INT64","shape":[     one description for each output of the spec
 */
struct oip_json_texts {
    struct str head;
    const struct oip_json_description *descriptions;
    size_t count;
};

struct oip_json_description {
    const char *name; /* the spec's own: told by its address */
    enum dtype dtype;
    struct str text;
};

/* All memory is from `arena`; names are the spec's and stay with it. */
enum status oip_json_prepare(const struct infer_spec *spec, struct str version, struct arena *arena,
                             struct oip_json_texts *ret_texts, struct error *err) FALLIBLE;

/*
 * As oip_json_write, of a reply of the model and version that the texts are of. Outputs in the
 * spec's order take their descriptions from them; one that stands elsewhere, has another name (a
 * client's alias) or type (a classification) is described anew.
 */
enum status oip_json_write_prepared(const struct infer_reply *reply,
                                    const struct oip_json_texts *texts, struct buffer *out,
                                    struct error *err) FALLIBLE;

/* --- the client's end ------------------------------------------------------------------------- */

/* Appends a request, every input as JSON. */
enum status oip_json_write_request(const struct infer_request *request, struct buffer *out,
                                   struct error *err) FALLIBLE;

/* Reads a reply; memory as for requests. */
enum status oip_json_read_reply(struct str json, struct str blobs, struct arena *arena,
                                struct infer_reply *ret_reply, struct error *err) FALLIBLE;

/* --- for oip_binary --------------------------------------------------------------------------- */

/*
 * As the two writers, but tensors marked binary get `binary_data_size` in place of `data`. That
 * size is in blob_sizes, one per tensor, which may be NULL if none is marked.
 */
enum status oip_json_write_header(const struct infer_reply *reply, const uint64_t *blob_sizes,
                                  struct buffer *out, struct error *err) FALLIBLE;
enum status oip_json_write_request_header(const struct infer_request *request,
                                          const uint64_t *blob_sizes, struct buffer *out,
                                          struct error *err) FALLIBLE;

#endif
