/*
 * The binary tensor extension: a JSON header, and behind it the tensors' bytes in the order of the
 * header. Pure. The texts of failures are Triton's.
 *
 *   size_t header_size;
 *   TRY(oip_binary_header_size(value_of_the_header, body.size, &header_size, err));
 *   if (header_size) TRY(oip_binary_read(body, header_size, &request, err));
 *   else             TRY(oip_binary_read_raw(body, spec, &request, err));
 *   ...
 *   struct oip_binary_blobs blobs;
 *   TRY(oip_binary_write(&reply, &arena, &header, &blobs, err));  // then writev header and blobs
 *
 * Read tensors are views of the body, except BYTES, whose elements point into it, and data that the
 * body holds at an unaligned address, which is copied. Written blobs are views of the tensors,
 * except BYTES.
 */
#ifndef PROTOCOL_OIP_BINARY_H
#define PROTOCOL_OIP_BINARY_H

#include "protocol/infer.h"

#define OIP_BINARY_HEADER "Inference-Header-Content-Length"

/* Reads the header's value; 0 means a raw binary request. */
enum status oip_binary_header_size(struct str value, size_t body_size, size_t *ret_size,
                                   struct error *err) FALLIBLE;

enum status oip_binary_read(struct str body, size_t header_size, struct infer_request *request,
                            struct error *err) FALLIBLE;

/* A body that is one tensor: type and shape come from the model; all outputs go back binary. */
enum status oip_binary_read_raw(struct str body, const struct infer_spec *spec,
                                struct infer_request *request, struct error *err) FALLIBLE;

/*
 * What follows the header. No blob at all: plain JSON, and no OIP_BINARY_HEADER to send. Valid as
 * long as the arena and the tensors.
 */
struct oip_binary_blobs {
    struct str *items;
    size_t count;
    uint64_t byte_size; /* of all items */
};

/* Appends the header to `out`, and lists the bytes of the outputs marked binary. */
enum status oip_binary_write(const struct infer_reply *reply, struct arena *arena,
                             struct buffer *out, struct oip_binary_blobs *ret_blobs,
                             struct error *err) FALLIBLE;

/* The client's end: the same for a request's inputs, and the reading of a reply. */
enum status oip_binary_write_request(const struct infer_request *request, struct buffer *out,
                                     struct oip_binary_blobs *ret_blobs,
                                     struct error *err) FALLIBLE;
enum status oip_binary_read_reply(struct str body, size_t header_size, struct arena *arena,
                                  struct infer_reply *ret_reply, struct error *err) FALLIBLE;

/*
 * Gives the tensor, whose name, type and shape are set, the data that `bytes` encodes:
 * little-endian elements, or for BYTES u32 length and bytes each. Checks the size. The model's name
 * is for messages.
 */
enum status oip_binary_read_tensor(struct str bytes, struct str model_name,
                                   struct infer_tensor *tensor, struct arena *arena,
                                   struct error *err) FALLIBLE;

#endif
